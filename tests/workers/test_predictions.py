"""Predictions kept between pilot and pass 1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.pipeline import LabelPipeline
from models.prediction import Prediction, RgbImage
from tests.service.test_main_job import post
from tests.support.images import png_bytes
from tests.support.installation import Installation
from workers.predictions import PredictionCache


def prediction(value: int) -> Prediction:
    """Ten pixels: 10 bytes of label and 40 of probabilities."""
    return Prediction(
        np.full((2, 5), value, np.uint8), np.full((2, 5), 0.5, np.float32), window_px=64
    )


class TestPredictionCache:
    def test_hands_out_once(self) -> None:
        cache = PredictionCache(100)
        cache.put(("m", "a"), prediction(1))
        found = cache.pop(("m", "a"))
        assert found is not None
        assert found.label[0, 0] == 1
        assert cache.pop(("m", "a")) is None

    def test_the_oldest_goes_beyond_the_bound(self) -> None:
        cache = PredictionCache(100)
        for name in "abc":
            cache.put(("m", name), prediction(0))
        assert [("m", name) in cache for name in "abc"] == [False, True, True]

    def test_putting_again_does_not_count_twice(self) -> None:
        cache = PredictionCache(100)
        for _ in range(5):
            cache.put(("m", "a"), prediction(0))
        cache.put(("m", "b"), prediction(0))
        assert ("m", "a") in cache
        assert ("m", "b") in cache

    def test_nothing_is_kept_that_is_too_large(self) -> None:
        cache = PredictionCache(49)
        cache.put(("m", "a"), prediction(0))
        assert ("m", "a") not in cache


def test_pilot_images_are_predicted_once_and_bytes_stay(
    sqlite_site: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    look = LabelPipeline.look

    def counting(self: LabelPipeline, images: Sequence[RgbImage]) -> list[Prediction]:
        calls.append(len(images))
        return look(self, images)

    monkeypatch.setattr(LabelPipeline, "look", counting)
    site = sqlite_site
    site.add_tiny_model(tmp_path / "m")
    files = {f"{i}.png": png_bytes(i) for i in range(3)}
    bytes_of_run = []
    for kept_bytes, expected in ((1 << 20, 3), (0, 6)):
        site.runtime.predictions = PredictionCache(kept_bytes)
        calls.clear()
        job = post(site, files, pipeline=f'{{"seed": {kept_bytes}}}')["job"]
        site.settle()
        assert sum(calls) == expected
        items = site.client.get(f"/v1/jobs/{job['id']}/items").json()["items"]
        artefacts = [f"/v1/labels/{i['label_id']}/artifacts/confidence.png" for i in items]
        bytes_of_run.append([site.client.get(a).content for a in artefacts])
    assert bytes_of_run[0] == bytes_of_run[1]
