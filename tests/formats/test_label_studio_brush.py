import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from formats.errors import InputRefused
from formats.label_studio_brush import decode_brush, encode_brush, encode_class
from formats.runs import row_runs

MASK = np.array([[0, 1, 1], [1, 0, 0]], bool)


def reference(mask: np.ndarray) -> list[int]:
    """Written bit by bit, as the description says."""
    flat = [255 * int(pixel) for pixel in mask.ravel() for _ in range(4)]
    bits = f"{len(flat):032b}" + f"{7:05b}" + "".join(f"{w - 1:04b}" for w in (3, 4, 8, 16))
    at = 0
    while at < len(flat):
        length = 1
        while at + length < len(flat) and flat[at + length] == flat[at] and length < 65536:
            length += 1
        which, width = next((i, w) for i, w in enumerate((3, 4, 8, 16)) if length <= 2**w)
        bits += "1" + f"{which:02b}" + f"{length - 1:0{width}b}" + f"{flat[at]:08b}"
        at += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@pytest.mark.parametrize("mask", [MASK, ~MASK, np.zeros((1, 1), bool), np.ones((200, 300), bool)])
def test_the_code_is_that_of_the_description(mask):
    assert encode_brush(mask) == reference(mask)


@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))
)
def test_what_is_written_is_read_again(label):
    runs = row_runs(label)
    for class_id in range(4):
        alpha = decode_brush(encode_class(runs, class_id), *label.shape)
        np.testing.assert_array_equal(alpha == 255, label == class_id)
        assert set(np.unique(alpha)) <= {0, 255}


def test_literals_are_read():
    # one pixel of 4 values, as literals 1 2 3 9: the fourth counts
    bits = f"{4:032b}" + f"{7:05b}" + "0010001101111111" + "0" + "00" + "011"
    bits += "".join(f"{v:08b}" for v in (1, 2, 3, 9))
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert decode_brush(rle, 1, 1).tolist() == [[9]]


@pytest.mark.parametrize(
    ("rle", "says"),
    [
        ([], "too short"),
        ([1, 2, 300], "no list of bytes"),
        (["a"], "no list of bytes"),
        (encode_brush(MASK)[:-2], "ends too early"),
        (encode_brush(MASK[:, :2]), "3 × 2 pixels have 24"),
        ([*encode_brush(MASK)[:4], 255, *encode_brush(MASK)[5:]], "bits; 8 are read"),
    ],
)
def test_what_is_no_such_code_is_refused(rle, says):
    with pytest.raises(InputRefused, match=says):
        decode_brush(rle, 2, 3)


def test_a_large_label_of_many_classes_takes_little_time():
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 19, (64, 128)), np.ones((16, 16), int)).astype(np.uint8)
    runs = row_runs(label)
    codes = [encode_class(runs, c) for c in range(19)]
    seconds = []
    for _ in range(3):
        start = time.process_time()
        runs = row_runs(label)
        codes = [encode_class(runs, c) for c in range(19)]
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.3  # 0.1 on a quiet machine: benchmarks.speed has the figure
    alpha = decode_brush(codes[3], *label.shape)
    np.testing.assert_array_equal(alpha == 255, label == 3)
