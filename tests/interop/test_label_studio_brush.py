import json

import numpy as np

from formats.label_studio_brush import decode_brush, encode_class
from formats.runs import row_runs
from tests.support.interop import needs_peers, read_with


@needs_peers
def test_the_sdk_reads_our_code_and_we_read_theirs(tmp_path):
    label = np.random.default_rng(0).integers(0, 4, (24, 40)).astype(np.uint8)
    label[5:20, 3:30] = 2
    codes = [encode_class(row_runs(label), c) for c in range(5)]  # class 4 has no pixel
    (tmp_path / "rle.json").write_text(json.dumps([label.shape, codes]))
    theirs = read_with("label_studio_brush", tmp_path / "rle.json", tmp_path / "planes.npy")
    planes = np.load(tmp_path / "planes.npy")
    for class_id in range(5):
        wanted = np.where(label == class_id, 255, 0)
        np.testing.assert_array_equal(planes[class_id], wanted)
        np.testing.assert_array_equal(decode_brush(theirs[class_id], *label.shape), wanted)
        # theirs has a byte too many where the bits end with a byte
        assert theirs[class_id][: len(codes[class_id])] == codes[class_id]
