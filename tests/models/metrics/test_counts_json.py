import json

import numpy as np
import pytest

from models.metrics.counts_json import counts_from_json, counts_to_json


def test_writes_only_cells_that_are_not_0():
    counts = np.array([[0, 7, 0], [0, 0, 2]])
    assert counts_to_json(counts) == {"shape": [2, 3], "index": [1, 5], "count": [7, 2]}


def test_comes_back_from_json():
    counts = np.array([[0, 7, 0], [0, 0, 5_000_000_000]])
    text = json.dumps(counts_to_json(counts))
    np.testing.assert_array_equal(counts_from_json(json.loads(text), (2, 3)), counts)
    empty = counts_to_json(np.zeros((2, 3), dtype=np.int64))
    assert counts_from_json(empty, (2, 3)).sum() == 0


def test_refuses_another_shape_and_positions_outside():
    document = {"shape": [2, 3], "index": [6], "count": [1]}
    with pytest.raises(ValueError, match="shape"):
        counts_from_json(document, (3, 3))
    with pytest.raises(ValueError, match="outside"):
        counts_from_json(document, (2, 3))
