import numpy as np

from benchmarks.region_model.sources import SceneSources


def test_scenes_drawn_ahead_are_those_that_are_drawn_when_asked_for():
    ahead, later = SceneSources(range(3), (48, 64)), SceneSources(range(3), (48, 64))
    ahead.draw_all(2)
    first = ahead[0]
    assert ahead[0] is first
    for index in range(3):
        for one, other in zip(ahead[index], later[index], strict=True):
            assert one is not None
            assert other is not None
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(ahead[0][0], ahead[1][0])
