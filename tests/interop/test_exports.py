"""Exports in the peers' own readers: every label comes back pixel by pixel."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from formats.classes_json import OntologyFileClass
from tests.support.exports import CLASSES, street, write_export
from tests.support.interop import needs_peers, read_with

LABELS = {"night/0.png": street(0), "night/1.jpg": street(1, 31, 17), "2.png": street(2)}
NAMES = [c.name for c in CLASSES]
pytestmark = needs_peers


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as found:
        return {name.replace("|", "/"): found[name] for name in found.files}


def check_by_name(found: dict[str, np.ndarray], names: list[str], wanted: dict[str, Any]) -> None:
    """Compare labels whose numbers are those of a reader; what it calls background is ignored."""
    table = np.full(256, 255, np.uint8)
    for number, name in enumerate(names):
        table[number] = NAMES.index(name) if name in NAMES else 255
    assert sorted(found) == sorted(wanted)
    for name, label in wanted.items():
        np.testing.assert_array_equal(table[found[name]], label, err_msg=name)


def stems(suffix: str = "") -> dict[str, np.ndarray]:
    return {f"{name.rpartition('.')[0]}{suffix}": label for name, label in LABELS.items()}


@pytest.mark.parametrize("components", [False, True])
def test_coco_instances_in_pycocotools(tmp_path: Path, components: bool):
    write_export(tmp_path, "coco", LABELS, components=components)
    document = tmp_path / "annotations" / "instances_train.json"
    said = read_with("coco_labels", document, tmp_path / "out.npz")
    check_by_name(arrays_of(tmp_path / "out.npz"), said["names"], LABELS)
    assert all(area == counted and box for area, counted, box in said["facts"])
    scores = [a["score"] for a in json.loads(document.read_text())["annotations"]]
    assert set(scores) == {round(200 / 255, 6)}


def test_coco_panoptic_in_datumaro(tmp_path: Path):
    write_export(tmp_path, "coco-panoptic", LABELS, include_images=True)
    said = read_with("datumaro_labels", "coco_panoptic", tmp_path, tmp_path / "out.npz")
    wanted = {name.replace("/", "_"): label for name, label in stems().items()}
    check_by_name(arrays_of(tmp_path / "out.npz"), said["names"], wanted)


def test_cvat_masks_in_datumaro(tmp_path: Path):
    write_export(tmp_path, "cvat-mask", LABELS, include_images=True)
    said = read_with("datumaro_labels", "voc_segmentation", tmp_path, tmp_path / "out.npz")
    assert said["names"] == ["background", *NAMES]
    check_by_name(arrays_of(tmp_path / "out.npz"), said["names"], stems())


def test_cvat_masks_of_hostile_names_and_colours(tmp_path: Path):
    hostile = [
        OntologyFileClass(0, "a:b\nc", "stuff", (0, 0, 0)),
        OntologyFileClass(1, "background", "stuff", (9, 9, 9)),
        OntologyFileClass(2, "#x", "thing", (9, 9, 9)),
        OntologyFileClass(3, "Straße", "thing", (9, 9, 9)),
    ]
    write_export(tmp_path, "cvat-mask", LABELS, hostile, include_images=True)
    said = read_with("datumaro_labels", "voc_segmentation", tmp_path, tmp_path / "out.npz")
    assert said["names"] == ["background", "a_b_c", "background_2", "_x", "Straße"]
    for name, label in stems().items():
        found = arrays_of(tmp_path / "out.npz")[name]
        np.testing.assert_array_equal(np.where(label == 255, 0, label + 1), found % 255)


def test_cityscapes_of_cvat_in_datumaro(tmp_path: Path):
    write_export(tmp_path, "cityscapes-cvat", LABELS, include_images=True)
    (tmp_path / "imgsFine" / "leftImg8bit").rename(tmp_path / "leftImg8bit")  # where it looks
    said = read_with("datumaro_labels", "cityscapes", tmp_path, tmp_path / "out.npz")
    names = [{"trafficlight": "traffic light"}.get(name, name) for name in said["names"]]
    check_by_name(arrays_of(tmp_path / "out.npz"), names, stems())


def test_label_studio_tasks_in_its_sdk(tmp_path: Path):
    for components in (False, True):
        folder = tmp_path / str(components)
        write_export(
            folder, "label-studio", LABELS, components=components,
            image_url="s3://bucket/{external_id}",
        )  # fmt: skip
        tasks = json.loads((folder / "tasks.json").read_text())
        assert [task["data"]["image"] for task in tasks] == [f"s3://bucket/{n}" for n in LABELS]
        said = read_with(
            "label_studio_tasks", folder / "config.xml", folder / "tasks.json", folder / "out.npz"
        )
        assert (said["problems"], said["tasks"]) == ([], 3)
        wanted = {f"t{number}": label for number, label in enumerate(LABELS.values())}
        check_by_name(arrays_of(folder / "out.npz"), said["names"], wanted)


def test_an_image_folder_in_datasets(tmp_path: Path):
    write_export(tmp_path / "set", "hf-datasets", LABELS, include_images=True)
    said = read_with("hf_image_folder", tmp_path / "set", tmp_path / "cache", tmp_path / "out.npz")
    assert said["rows"] == 3
    assert {"image", "label", "confidence", "quality", "external_id"} <= set(said["columns"])
    found = arrays_of(tmp_path / "out.npz")
    for name, label in LABELS.items():
        np.testing.assert_array_equal(found[name], label)
