import numpy as np

from benchmarks.quality.remembering import RememberingRegionModel
from models.promptable.base import ProposalConfig
from tests.benchmarks.quality.tile_region_model import TileRegionModel


def picture(value: int):
    return np.full((16, 16, 3), value, np.uint8)


def test_each_image_is_encoded_and_asked_once():
    tiles = TileRegionModel()
    model = RememberingRegionModel(tiles)
    for _ in range(2):
        for value in (1, 2):
            proposals = model.proposals(model.encode(picture(value)), ProposalConfig())
            assert [rle.area_px for rle in proposals.rles] == [64] * 4
    assert (tiles.encoded, tiles.proposed) == (2, 2)
    model.proposals(model.encode(picture(1)), ProposalConfig(mode="exact"))
    assert (tiles.encoded, tiles.proposed) == (2, 3)


def test_with_one_image_too_many_all_are_forgotten():
    tiles = TileRegionModel()
    model = RememberingRegionModel(tiles, most_images=1)
    first = model.encode(picture(1))
    model.encode(picture(2))
    model.proposals(first, ProposalConfig())
    assert model.encode(picture(1)) is not first
    assert (tiles.encoded, tiles.proposed) == (3, 1)
