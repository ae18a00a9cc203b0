"""Exports of other tools back to labels: literal files, and what is refused."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from formats.archive_rules import ArchiveLimits
from formats.coco_rle import compress, decompress, encode_mask, run_lengths
from formats.corrections.formats import READERS, class_map
from formats.corrections.label_studio import names_of_address
from formats.corrections.masks import FoundMask, ReadLimits
from formats.errors import InputRefused
from formats.index_png import encode_label_png
from formats.label_studio_brush import encode_brush
from formats.opening import ImageLimits
from tests.support.images import zip_bytes

NAMES = ["road", "sky", "traffic:light"]
PALETTE = [(128, 64, 128), (70, 130, 180), (250, 170, 30)]
LIMITS = ReadLimits(
    ImageLimits(max_pixels=10_000, max_bytes=10**6),
    ArchiveLimits(max_entries=100, max_total_bytes=10**7, max_member_bytes=10**6),
)
LABEL = np.array([[0, 0, 1, 255], [2, 2, 1, 255], [0, 255, 1, 1]], np.uint8)


WALKS: list[Any] = []


def read(kind: str, data: bytes) -> list[FoundMask]:
    return list(READERS[kind](io.BytesIO(data), class_map(NAMES), LIMITS))


def first(kind: str, data: bytes, **more: Any) -> FoundMask:
    """The first mask; its archive is closed with the walk over it, which is kept for that."""
    classes = class_map(NAMES, ignore_unknown=more.get("ignore_unknown", False))
    walk = READERS[kind](io.BytesIO(data), classes, LIMITS)
    WALKS.append(walk)
    return next(walk)


def one(kind: str, data: bytes, **more: Any) -> np.ndarray:
    return first(kind, data, **more).decode(*LABEL.shape)


def rgb_png(label: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> bytes:
    pixels = np.zeros((*label.shape, 3), np.uint8)
    for value, colour in colours.items():
        pixels[label == value] = colour
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def index_zip(label: np.ndarray = LABEL, names: list[str] | None = NAMES) -> bytes:
    files = {
        "out/a.png": encode_label_png(label, [(i, i, i) for i in range(9)]),
        "confidence/a.png": b"not looked at",
        "read.me": b"",
    }
    if names is not None:
        classes = [{"id": i, "name": name} for i, name in enumerate(names)]
        files["classes.json"] = json.dumps({"classes": classes}).encode()
    return zip_bytes(files)


def cvat_zip(label: np.ndarray = LABEL, label_map: str | None = None) -> bytes:
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "road:128,64,128::",
             "sky:70,130,180::", "traffic light:250,170,30::"]  # fmt: skip
    colours = dict(enumerate(PALETTE))
    files = {
        "labelmap.txt": (label_map or "\n".join(lines)).encode(),
        "ImageSets/Segmentation/default.txt": b"night/a\n",
        "SegmentationClass/night/a.png": rgb_png(label, colours),
        "SegmentationObject/night/a.png": rgb_png(label, {}),
    }
    return zip_bytes(files)


def coco(label: np.ndarray = LABEL, **changes: Any) -> dict[str, Any]:
    annotations = [
        {"id": i + 1, "image_id": 7, "category_id": i + 1, "segmentation": encode_mask(label == i)}
        for i in range(3)
    ]
    return {
        "images": [{"id": 7, "file_name": "night/a.jpg", "width": 4, "height": 3}],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)],
        "annotations": annotations,
        **changes,
    }


def region(index: int, label: np.ndarray = LABEL, **changes: Any) -> dict[str, Any]:
    value = {"format": "rle", "rle": encode_brush(label == index), "brushlabels": [NAMES[index]]}
    return {
        "type": "brushlabels",
        "original_width": 4,
        "original_height": 3,
        "image_rotation": 0,
        "value": value,
        **changes,
    }


def task(*regions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    annotations = [
        {"id": 1, "updated_at": "2026-01-01T00:00:00Z", "result": []},
        {"id": 2, "updated_at": "2026-01-02T00:00:00Z", "result": list(regions)},
        {"id": 3, "updated_at": "2026-01-03T00:00:00Z", "was_cancelled": True, "result": []},
    ]
    data = {"image": "/data/upload/1/0123abcd-a.jpg"}
    return {"id": 5, "data": data, "annotations": annotations, **changes}


class TestReaders:
    def test_index_pngs(self) -> None:
        found = first("index_png", index_zip())
        assert (found.name, found.image_names) == ("out/a.png", ("out/a", "a"))
        assert (found.decode(3, 4) == LABEL).all()

    def test_index_pngs_are_mapped_by_name(self) -> None:
        swapped = index_zip(names=["sky", "road", "traffic:light"])
        expected = np.array([[1, 1, 0, 255], [2, 2, 0, 255], [1, 255, 0, 0]])
        assert (one("index_png", swapped) == expected).all()
        assert (one("index_png", index_zip(names=None)) == LABEL).all()

    def test_cvat(self) -> None:
        found = first("cvat", cvat_zip())
        assert found.image_names == ("night/a", "a")
        label_map = "background:0,0,0::\nroad:128,64,128::\nsky:70,130,180::\n"
        with pytest.raises(InputRefused, match="250,170,30"):
            one("cvat", cvat_zip(label_map=label_map))
        with pytest.raises(InputRefused, match="no class 'traffic light'"):
            found.decode(3, 4)
        known = label_map + "traffic_light:250,170,30::"
        assert (one("cvat", cvat_zip(label_map=known)) == LABEL).all()

    def test_coco(self) -> None:
        found = first("coco", json.dumps(coco()).encode())
        assert found.image_names == ("night/a.jpg", "night/a", "a")
        assert (found.decode(3, 4) == LABEL).all()
        plain = coco()
        for entry in plain["annotations"]:
            mask = entry["category_id"] - 1 == LABEL
            entry["segmentation"] = {"size": [3, 4], "counts": run_lengths(mask).tolist()}
        assert (one("coco", json.dumps(plain).encode()) == LABEL).all()

    def test_coco_polygons(self) -> None:
        square = {
            "id": 1,
            "image_id": 7,
            "category_id": 2,
            "segmentation": [[1, 1, 2, 1, 2, 2, 1, 2]],
        }
        painted = one("coco", json.dumps(coco(annotations=[square])).encode())
        assert painted.tolist() == [[255] * 4, [255, 1, 1, 255], [255, 1, 1, 255]]

    def test_label_studio_takes_the_newest_annotation(self) -> None:
        document = [task(*(region(i) for i in range(3))), {"id": 6, "annotations": []}]
        found = first("label_studio", json.dumps(document).encode())
        assert found.image_names == ("/data/upload/1/0123abcd-a", "0123abcd-a", "a")
        assert (found.decode(3, 4) == LABEL).all()

    def test_unknown_classes_are_ignored_if_so_asked(self) -> None:
        data = index_zip(names=["road", "cloud", "traffic:light"])
        with pytest.raises(InputRefused, match="no class 'cloud'") as refused:
            one("index_png", data)
        assert refused.value.code == "classes-invalid"
        expected = np.where(LABEL == 1, 255, LABEL)
        assert (one("index_png", data, ignore_unknown=True) == expected).all()

    @pytest.mark.parametrize("kind", ["index_png", "cvat", "coco", "label_studio"])
    def test_another_size(self, kind: str) -> None:
        data = {
            "index_png": index_zip(),
            "cvat": cvat_zip(label_map="road:128,64,128\nsky:70,130,180\nsky:250,170,30"),
            "coco": json.dumps(coco()).encode(),
            "label_studio": json.dumps([task(region(0))]).encode(),
        }[kind]
        found = first(kind, data)
        with pytest.raises(InputRefused, match=r"4×3 pixels, its image 4×5") as refused:
            found.decode(5, 4)
        assert refused.value.code == "label-invalid"

    @pytest.mark.parametrize("kind", ["index_png", "cvat"])
    def test_no_zip(self, kind: str) -> None:
        with pytest.raises(InputRefused):
            read(kind, b"PK\x03\x04 and nothing")

    @pytest.mark.parametrize("kind", ["coco", "label_studio"])
    @pytest.mark.parametrize(
        "data",
        [b"", b"{", b"1", b"[1]", b'{"images": 1}', b"[" * 10_000, b'{"images": [{"id": [1]}]}',
         b'{"images":[],"categories":[],"annotations":[{"image_id":true,"category_id":1}]}'],
    )  # fmt: skip
    def test_no_such_document(self, kind: str, data: bytes) -> None:
        with pytest.raises(InputRefused) as refused:
            read(kind, data)
        assert refused.value.code == "manifest-invalid"

    @pytest.mark.parametrize(
        "segmentation",
        [
            None,
            3,
            {"size": [3, 4], "counts": "1"},
            {"size": [3, 4], "counts": "\u00fc"},
            {"size": [3, 4], "counts": ""},
            {"size": [3, 4], "counts": [5, -1, 8]},
            {"size": [3, 4], "counts": [2**70]},
            {"size": [3, 4], "counts": [[1], [2, 3]]},
            {"size": [3, 4], "counts": {"a": 1}},
            {"size": [3], "counts": "13"},
            [[1, 2, 3]],
            [[1, 2, 3, 4, 5, 1e9]],
            ["abc"],
        ],
        ids=str,
    )
    def test_bad_segmentation(self, segmentation: Any) -> None:
        entry = {"id": 1, "image_id": 7, "category_id": 1, "segmentation": segmentation}
        with pytest.raises(InputRefused):
            one("coco", json.dumps(coco(annotations=[entry])).encode())

    @pytest.mark.parametrize(
        "changed",
        [
            {"type": "polygonlabels"},
            {"image_rotation": 90},
            {"value": {"format": "rle", "rle": [0], "brushlabels": ["road"]}},
            {"value": {"format": "rle", "rle": "abc", "brushlabels": ["road"]}},
            {"value": {"format": "rle", "rle": [1, 2], "brushlabels": ["road", "sky"]}},
            {"value": None},
            {"original_width": "4"},
        ],
        ids=str,
    )
    def test_bad_region(self, changed: dict[str, Any]) -> None:
        with pytest.raises(InputRefused):
            one("label_studio", json.dumps([task(region(0, **changed))]).encode())

    @pytest.mark.parametrize(
        "label_map", ["road", "road:1,2::", "road:1,2,300::", "road:a,2,3::", "a:1,2,3\nb:1,2,3"]
    )
    def test_bad_label_map(self, label_map: str) -> None:
        with pytest.raises(InputRefused, match=r"labelmap\.txt"):
            read("cvat", cvat_zip(label_map=label_map))


@pytest.mark.parametrize(
    ("address", "last"),
    [
        ("/data/local-files/?d=night/a%20b.jpg", "a b"),
        ("https://host/x/a.jpg?sig=1", "a"),
        ("s3://bucket/a/b.c.png", "b.c"),
        ("http://[", None),
    ],
)
def test_names_of_address(address: str, last: str | None) -> None:
    names = names_of_address(address)
    assert (names[-1] if names else None) == last


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=40))
def test_runs_come_back(runs: list[int]) -> None:
    assert decompress(compress(np.array(runs, np.int64))).tolist() == runs


@given(st.text(st.characters(codec="ascii"), max_size=30))
def test_any_text_is_runs_or_refused(text: str) -> None:
    try:
        decompress(text)
    except ValueError:
        return
