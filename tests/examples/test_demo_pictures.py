import numpy as np

from examples.demo_pictures import (
    OUTLINE,
    STRIPE_PX,
    corrected_picture,
    inner_outline,
    pictures_of,
    sheet,
)

RED, BLUE, BLACK = (200, 0, 0), (0, 0, 200), (0, 0, 0)
PALETTE = [RED, BLUE]


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(int(channel) for channel in pixel) for pixel in picture.reshape(-1, 3)}


def test_a_rejected_region_is_striped_in_the_colour_that_it_had():
    before = np.zeros((STRIPE_PX, STRIPE_PX), np.uint8)
    picture = corrected_picture(before, np.full_like(before, 255), PALETTE)
    assert colours(picture) == {RED, BLACK}
    assert (picture[..., 0] > 0).mean() == 1 / 3


def test_a_relabelled_region_has_an_outline_and_its_new_colour():
    before = np.zeros((4, 6), np.uint8)
    after = before.copy()
    after[:, :3] = 1
    picture = corrected_picture(before, after, PALETTE)
    assert colours(picture[1:3, 1:2]) == {BLUE}
    assert colours(picture[:, :1]) == {OUTLINE}
    assert colours(picture[:, 3:]) == {RED}


def test_what_nobody_had_a_class_for_stays_black():
    nothing = np.full((4, 4), 255, np.uint8)
    assert colours(corrected_picture(nothing, nothing, PALETTE)) == {BLACK}


def test_an_outline_lies_inside():
    mask = np.zeros((5, 5), bool)
    mask[1:4, 1:4] = True
    assert inner_outline(mask).astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 0, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]


def test_pictures_come_in_the_order_of_the_report():
    image = np.full((4, 4, 3), 100, np.uint8)
    label = np.zeros((4, 4), np.uint8)
    stages = {"predict": label, "select": label, "aggregate": label, "correct": label + 255}
    pictures = pictures_of(image, stages, label, PALETTE)
    assert list(pictures) == ["image", *stages, "confidence", "overlay"]
    assert {picture.shape for picture in pictures.values()} == {(4, 4, 3)}
    assert (pictures["overlay"] == image).all()  # nothing of the last stage is left
    before = pictures_of(image, stages, label, PALETTE, label + 255)
    assert list(before) == ["image", *stages, "max-softmax", "confidence", "overlay"]
    assert (before["max-softmax"] > before["confidence"]).any()


def test_a_sheet_has_a_tile_for_each_picture():
    red = np.broadcast_to(np.array(RED, np.uint8), (30, 40, 3))
    page = sheet([[red, red], [red, red], [red, red]], ["one", "two"], 20)
    assert page.shape == (22 + 3 * 15 + 2 * 4, 2 * 20 + 4, 3)
    assert (page == red[0, 0]).all(axis=-1).sum() == 6 * 15 * 20
