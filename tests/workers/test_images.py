import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.objects import image_key
from tests.support.images import image_array, png_bytes
from tests.support.installation import Installation
from workers.images import AHEAD_IMAGES, fetch_image, prefetch

DIGESTS = [f"{i:02d}" for i in range(20)]


class TestPrefetch:
    def test_in_order_and_bounded(self, sqlite_site: Installation) -> None:
        lock = threading.Lock()
        fetched = 0
        most_ahead = 0

        def fetch(_runtime: object, digest: str) -> str:
            nonlocal fetched
            time.sleep(0.002 * (int(digest) % 3))  # later ones may be ready earlier
            with lock:
                fetched += 1
            return digest

        used: list[str] = []
        for digest in prefetch(sqlite_site.runtime, DIGESTS, fetch):
            time.sleep(0.005)
            with lock:
                most_ahead = max(most_ahead, fetched - len(used))
            used.append(digest)
        assert used == DIGESTS
        assert 1 < most_ahead <= AHEAD_IMAGES

    def test_stops_when_nobody_listens(self, sqlite_site: Installation) -> None:
        fetched: list[str] = []

        def fetch(_runtime: object, digest: str) -> str:
            fetched.append(digest)
            return digest

        images = prefetch(sqlite_site.runtime, DIGESTS, fetch)
        next(images)
        images.close()  # type: ignore[attr-defined]
        assert len(fetched) <= AHEAD_IMAGES

    def test_failure_comes_in_its_turn(self, sqlite_site: Installation) -> None:
        def fetch(_runtime: object, digest: str) -> str:
            if digest == "02":
                raise OSError("store")
            return digest

        images = prefetch(sqlite_site.runtime, DIGESTS, fetch)
        assert [next(images), next(images)] == ["00", "01"]
        with pytest.raises(OSError, match="store"):
            next(images)


class TestFetchImage:
    def test_good_bad_and_missing(self, sqlite_site: Installation, tmp_path: Path) -> None:
        runtime = sqlite_site.runtime
        runtime.objects.put_new(image_key("aa"), png_bytes(1))
        runtime.objects.put_new(image_key("bb"), png_bytes(1)[:-60])
        digest, image, problem = fetch_image(runtime, "aa")
        assert (digest, problem) == ("aa", None)
        np.testing.assert_array_equal(image, image_array(1))
        damaged: Any = fetch_image(runtime, "bb")[2]
        assert damaged["code"] == "image-undecodable"
        gone: Any = fetch_image(runtime, "cc")[2]
        assert "Upload it again" in gone["detail"]
