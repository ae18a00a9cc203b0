"""The regions of one label for people and programs: where, which class, what became of each."""

from typing import Any

from models.connectivity.correction_fit import Decisions
from models.connectivity.regions import Regions
from models.connectivity.rules import Decision


def region_document(regions: Regions, decisions: Decisions | None = None) -> dict[str, Any]:
    """The regions as JSON, in their order; without `decisions` each keeps the class it was given.

    Each has its mask as COCO's RLE, `bbox` [x, y, width, height] in pixels, `area` in pixels.
    """
    shares = regions.vote_share()
    entries = []
    for i, rle in enumerate(regions.rles):
        x0, y0, x1, y1 = (int(value) for value in regions.boxes_xyxy[i])
        before = int(regions.classes[i])
        entry = {
            "id": i + 1,
            "segmentation": rle.to_coco(),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": int(regions.areas_px[i]),
            "class_before": before,
            "vote_share": float(shares[i]),
            "quality": float(regions.quality[i]),
            "confidence": float(regions.confidence[i]),
        }
        entries.append(entry | (_kept(before) if decisions is None else _decided(decisions, i)))
    return {
        "size": list(regions.size_hw),
        "decided_by": None if decisions is None else decisions.decided_by,
        "reason": None if decisions is None else decisions.reason,
        "regions": entries,
    }


def _kept(before: int) -> dict[str, Any]:
    return {"class_after": before, "decision": "kept", "posterior": None, "probability": None}


def _decided(decisions: Decisions, index: int) -> dict[str, Any]:
    decision = Decision(int(decisions.decisions[index]))
    rejected = decision is Decision.REJECTED
    return {
        "class_after": None if rejected else int(decisions.classes_after[index]),
        "decision": decision.name.lower(),
        "posterior": float(decisions.posterior[index]),
        "probability": float(decisions.probability[index]),
    }
