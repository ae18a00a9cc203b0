"""What the viewer draws from: the numbers in the pictures are those of the label."""

import io

import numpy as np
import pytest
from PIL import Image

from service.pages.label_pictures import shrunk_hw
from tests.pages.conftest import SCENE_HW, Shown
from tests.support.api import get_png


def picture(shown: Shown, path: str) -> np.ndarray:
    answer = shown.site.client.get(f"/labels/{shown.label}/{path}")
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


@pytest.mark.parametrize(
    ("name", "artefact"),
    [("label", "label.png"), ("confidence", "confidence.png"), ("select", "stages/select.png")],
)
def test_maps_hold_the_numbers_of_their_files(shown: Shown, name: str, artefact: str) -> None:
    found = picture(shown, f"maps/{name}")
    assert found.ndim == 2
    np.testing.assert_array_equal(found, get_png(shown.site, shown.label, artefact))


def test_regions_are_numbered_as_in_their_list(shown: Shown) -> None:
    found = picture(shown, "maps/regions").astype(np.int64)
    numbers = found[..., 0] + 256 * found[..., 1] + 65536 * found[..., 2]
    listed = shown.site.client.get(f"/labels/{shown.label}/regions").json()["regions"]
    assert numbers.max() == len(listed)
    areas = np.bincount(numbers.ravel())[1:]
    assert areas.tolist() == [region["area"] for region in listed]
    assert {"decision", "class_before", "class_after"} <= listed[0].keys()
    assert "segmentation" not in listed[0]


def test_image_and_thumbnail(shown: Shown) -> None:
    height, width = SCENE_HW
    assert picture(shown, "picture").shape == (height, width, 3)
    assert picture(shown, "thumbnail").shape == (height, width, 3)


def test_a_picture_is_sent_once(shown: Shown) -> None:
    path = f"/labels/{shown.label}/maps/label"
    etag = shown.site.client.get(path).headers["etag"]
    again = shown.site.client.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["maps/none", "maps/..%2Flabel", "maps/regions.json"])
def test_what_no_label_has(shown: Shown, path: str) -> None:
    assert shown.site.client.get(f"/labels/{shown.label}/{path}").status_code == 404


@pytest.mark.parametrize(
    ("hw", "expected"),
    [((10, 20), (10, 20)), ((1024, 2048), (1024, 2048)), ((2048, 4096), (1024, 2048)),
     ((60000, 10), (2048, 1)), ((4096, 4096), (2048, 2048))],
)  # fmt: skip
def test_sizes(hw: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shrunk_hw(*hw) == expected
