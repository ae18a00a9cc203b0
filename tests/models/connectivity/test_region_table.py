import numpy as np

from models.connectivity.correction_fit import Decisions
from models.connectivity.region_table import region_document
from models.connectivity.regions import Regions
from models.rle import Rle

LEFT = np.array([[1, 0, 0], [1, 0, 0]], bool)
TOP = np.array([[0, 1, 1], [0, 0, 0]], bool)


def two_regions() -> Regions:
    return Regions(
        size_hw=(2, 3),
        rles=[Rle.encode(LEFT), Rle.encode(TOP)],
        boxes_xyxy=np.array([[0, 0, 1, 2], [1, 0, 3, 1]], np.int32),
        areas_px=np.array([2, 2], np.int64),
        classes=np.array([4, 1], np.uint8),
        votes=np.array([[0, 0, 0, 0, 1.5], [0.5, 0.5, 0, 0, 0]], np.float32),
        quality=np.array([1.0, 0.75], np.float32),
        confidence=np.array([0.9, 0.5], np.float32),
    )


def test_without_a_correction_all_are_kept() -> None:
    document = region_document(two_regions())
    assert (document["size"], document["decided_by"]) == ([2, 3], None)
    assert document["regions"][1] == {
        "id": 2,
        "segmentation": {"size": [2, 3], "counts": Rle.encode(TOP).to_coco()["counts"]},
        "bbox": [1, 0, 2, 1],
        "area": 2,
        "class_before": 1,
        "class_after": 1,
        "decision": "kept",
        "posterior": None,
        "probability": None,
        "vote_share": 0.5,
        "quality": 0.75,
        "confidence": 0.5,
    }


def test_what_became_of_each() -> None:
    decisions = Decisions(
        decisions=np.array([1, 2], np.uint8),
        classes_after=np.array([3, 255], np.uint8),
        posterior=np.array([0.75, 0.875], np.float32),
        probability=np.array([0.96875, 0.5], np.float32),
        decided_by="model",
        reason="the job has 2 regions, 2000 are needed",
    )
    document = region_document(two_regions(), decisions)
    assert document["decided_by"] == "model"
    found = [
        (r["class_before"], r["class_after"], r["decision"], r["posterior"], r["probability"])
        for r in document["regions"]
    ]
    assert found == [(4, 3, "relabelled", 0.75, 0.96875), (1, None, "rejected", 0.875, 0.5)]
