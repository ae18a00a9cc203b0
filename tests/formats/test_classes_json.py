"""`classes.json`: the classes of index PNGs, and every way to get them wrong."""

import json
from typing import Any

import pytest

from formats.classes_json import (
    OntologyFile,
    OntologyFileClass,
    default_palette,
    parse_classes_json,
)
from formats.errors import InputRefused


def parse(document: Any) -> OntologyFile:
    return parse_classes_json(json.dumps(document).encode())


def numbered(count: int) -> dict[str, Any]:
    return {"classes": [{"id": i, "name": f"class {i}"} for i in range(count)]}


def test_a_full_file() -> None:
    parsed = parse(
        {
            "name": "camvid",
            "ignore_index": 255,
            "stored_ignore_value": 11,
            "classes": [
                {"id": 1, "name": "pole", "kind": "thing", "color": [192, 192, 128], "train_id": 7},
                {"id": 0, "name": "sky", "kind": "stuff", "color": [128, 128, 128]},
            ],
        }
    )
    assert parsed == OntologyFile(
        name="camvid",
        classes=(
            OntologyFileClass(0, "sky", "stuff", (128, 128, 128)),
            OntologyFileClass(1, "pole", "thing", (192, 192, 128)),
        ),
        stored_ignore_value=11,
    )
    assert parsed.palette == ((128, 128, 128), (192, 192, 128))


def test_defaults() -> None:
    parsed = parse(numbered(3))
    assert (parsed.name, parsed.stored_ignore_value) == ("classes", 255)
    assert {entry.kind for entry in parsed.classes} == {"stuff"}
    assert parsed.palette == default_palette(3)


def test_255_classes_fit_and_256_do_not() -> None:
    assert len(parse(numbered(255)).classes) == 255
    with pytest.raises(InputRefused, match="256 classes; at most 255"):
        parse(numbered(256))


def one(**changes: Any) -> dict[str, Any]:
    return {"classes": [{"id": 0, "name": "road", **changes}]}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "must be a JSON object"),
        ({}, "'classes' must be a list"),
        ({"classes": []}, "at least one class"),
        ({"classes": {"0": "road"}}, "'classes' must be a list"),
        ({"classes": ["road"]}, r"classes\[0\] must be an object"),
        (one(id="0"), r"classes\[0\]: 'id' must be a whole number"),
        (one(id=True), "'id' must be a whole number"),
        (one(id=255), "'id' must be a whole number 0 ... 254"),
        (one(id=1), "0 ... 0 without gaps; 0 is missing"),
        (one(name=""), "'name' must be a text"),
        (one(name="x" * 129), "1 ... 128"),
        (one(name="\ud800"), "printable"),
        (one(name=None), "'name' must be a text"),
        (one(kind="object"), "'stuff' or 'thing'"),
        (one(kind=["stuff"]), "'stuff' or 'thing'"),
        (one(color="#ff0000"), r"\[red, green, blue\]"),
        (one(color=[1, 2]), r"\[red, green, blue\]"),
        (one(color=[0, 0, 256]), "each 0 ... 255"),
        (one(color=[0, 0, 1.5]), "each 0 ... 255"),
        ({**numbered(2), "stored_ignore_value": 1}, "also the id of a class"),
        ({**numbered(2), "stored_ignore_value": 256}, "whole number 0 ... 255"),
        ({**numbered(2), "ignore_index": 0}, "'ignore_index' must be 255"),
        ({**numbered(2), "name": 7}, "'name' must be a text"),
        ({"classes": [*numbered(2)["classes"], {"id": 1, "name": "x"}]}, "id 1 occurs 2 times"),
        (
            {"classes": [{"id": 0, "name": "road"}, {"id": 1, "name": "road "}]},
            "name 'road' occurs 2 times",
        ),
    ],
)
def test_what_is_wrong_is_said(document: Any, says: str) -> None:
    with pytest.raises(InputRefused, match=says) as caught:
        parse(document)
    assert caught.value.code == "classes-invalid"
    assert caught.value.detail.startswith("classes.json: ")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"NaN", b"null"]
)
def test_no_json_object(data: bytes) -> None:
    with pytest.raises(InputRefused):
        parse_classes_json(data)


def test_a_file_that_is_far_too_large() -> None:
    with pytest.raises(InputRefused, match="larger than 1 MB"):
        parse_classes_json(b" " * 1_000_001)


def test_the_default_palette_is_distinct_and_leaves_black_to_ignore() -> None:
    palette = default_palette(255)
    assert len(set(palette)) == 255
    assert (0, 0, 0) not in palette
    assert palette[:3] == ((128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert default_palette(7) == palette[:7]
    with pytest.raises(ValueError, match="0 ... 255"):
        default_palette(256)
