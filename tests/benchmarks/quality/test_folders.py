from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from benchmarks.quality.folders import (
    ClassList,
    LabelledFolder,
    list_images,
    read_index_png,
)
from tests.benchmarks.quality.tiny_data import CLASSES, write_classes, write_data


@pytest.fixture
def classes(tmp_path):
    write_classes(tmp_path / "classes.json")
    return ClassList.read(tmp_path / "classes.json")


def folder_with_label(
    tmp_path: Path, classes: ClassList, stored: npt.NDArray[np.uint8]
) -> LabelledFolder:
    Image.fromarray(np.zeros((*stored.shape, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels" / "a.png"), stored)
    return LabelledFolder((tmp_path / "a.png",), tmp_path / "labels", classes)


def test_class_list_knows_names_and_the_stored_ignore_value(classes):
    assert classes.names == CLASSES
    assert classes.stored_ignore == 3


def test_stored_ignore_value_becomes_255(tmp_path, classes):
    stored = np.array([[0, 1, 3], [2, 255, 3]], dtype=np.uint8)
    folder = folder_with_label(tmp_path, classes, stored)
    np.testing.assert_array_equal(folder.label(0), [[0, 1, 255], [2, 255, 255]])


def test_a_value_that_is_no_class_is_refused(tmp_path, classes):
    folder = folder_with_label(tmp_path, classes, np.array([[0, 4]], dtype=np.uint8))
    with pytest.raises(ValueError, match="holds 4, which is no class"):
        folder.label(0)


def test_palette_png_gives_its_indices_and_colour_png_is_refused(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 200, 0, 0])
    palette.putdata([1, 0])
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_index_png(tmp_path / "palette.png"), [[1, 0]])
    Image.new("RGB", (2, 1)).save(tmp_path / "colour.png")
    with pytest.raises(ValueError, match="RGB image"):
        read_index_png(tmp_path / "colour.png")


def test_limit_thins_evenly(tmp_path):
    for index in range(6):
        (tmp_path / f"{index}.jpg").touch()
    (tmp_path / "notes.txt").touch()
    assert [p.stem for p in list_images(tmp_path)] == list("012345")
    assert [p.stem for p in list_images(tmp_path, 3)] == list("024")
    assert len(list_images(tmp_path, 9)) == 6


def test_folder_without_images_and_ambiguous_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no images"):
        list_images(tmp_path)
    (tmp_path / "a.png").touch()
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match="same name"):
        list_images(tmp_path)


def test_digest_changes_with_a_label(tmp_path):
    data = write_data(tmp_path / "data")
    classes = ClassList.read(data / "classes.json")
    images = tuple(list_images(data / "source" / "images"))
    folder = LabelledFolder(images, data / "source" / "labels", classes)
    before = folder.digest()
    assert before == folder.digest()
    cv2.imwrite(str(folder.label_path(2)), np.zeros((32, 40), np.uint8))
    assert folder.digest() != before
