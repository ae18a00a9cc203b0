import os
from pathlib import Path

import pytest

from domain.models import resolve
from storage.catalog.tables import ModelVersionRow
from storage.objects import Objects, model_key
from tests.support.installation import Installation
from workers.model_cache import ModelCache
from workers.model_files import ModelDamaged

WEIGHTS = "segmenter.safetensors"


@pytest.fixture
def versions(sqlite_site: Installation, tmp_path: Path) -> list[ModelVersionRow]:
    for seed in range(3):
        sqlite_site.add_tiny_model(tmp_path / f"m{seed}", seed=seed)
    with sqlite_site.catalog.read() as session:
        return [resolve(session, f"tiny:{n}") for n in (1, 2, 3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def cached(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class TestModelCache:
    def test_fetch_once(
        self, sqlite_site: Installation, versions: list[ModelVersionRow], folder: Path
    ) -> None:
        cache = ModelCache(folder, sqlite_site.objects, 10**9, "cpu")
        version = versions[0]
        assert not cache.is_loaded(version)
        path = cache.folder_of(version)
        assert path == folder / version.digest
        assert {p.name for p in path.iterdir()} == set(version.files) == {"bundle.json", WEIGHTS}
        emptied = ModelCache(folder, Objects.open("memory://"), 10**9, "cpu")
        assert emptied.folder_of(version) == path  # nothing is fetched
        model = cache.load(version)
        assert cache.load(version) is model
        assert cache.is_loaded(version)
        assert cache.load_unshared(version) is not model

    def test_damaged_copy_is_repaired(
        self, sqlite_site: Installation, versions: list[ModelVersionRow], folder: Path
    ) -> None:
        cache = ModelCache(folder, sqlite_site.objects, 10**9, "cpu")
        path = cache.folder_of(versions[0])
        good = (path / WEIGHTS).read_bytes()
        (path / WEIGHTS).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        assert (cache.folder_of(versions[0]) / WEIGHTS).read_bytes() == good
        (path / "bundle.json").unlink()
        assert (cache.folder_of(versions[0]) / "bundle.json").is_file()

    def test_damaged_object_is_refused(
        self, sqlite_site: Installation, versions: list[ModelVersionRow], folder: Path
    ) -> None:
        store = Objects.open("memory://")
        for name in versions[0].files:
            data = sqlite_site.objects.get(model_key(versions[0].digest, name))
            store.put_new(model_key(versions[0].digest, name), data + b"!")
        with pytest.raises(ModelDamaged, match="tiny:1 is damaged in the object store"):
            ModelCache(folder, store, 10**9, "cpu").folder_of(versions[0])
        assert cached(folder) == set()

    def test_missing_object_is_refused(self, versions: list[ModelVersionRow], folder: Path) -> None:
        cache = ModelCache(folder, Objects.open("memory://"), 10**9, "cpu")
        with pytest.raises(ModelDamaged, match="is missing in the object store"):
            cache.folder_of(versions[0])
        assert cached(folder) == set()

    def test_least_recently_used_goes(
        self, sqlite_site: Installation, versions: list[ModelVersionRow], folder: Path
    ) -> None:
        two = sum(v.size_bytes for v in versions[:2]) + 100
        cache = ModelCache(folder, sqlite_site.objects, two, "cpu")
        first, second, third = versions
        for age, version in enumerate((first, second)):
            os.utime(cache.folder_of(version), (age, age))
        cache.folder_of(first)  # used again, so that the second is the oldest
        cache.folder_of(third)
        assert cached(folder) == {first.digest, third.digest}

    def test_few_models_stay_in_memory(
        self, sqlite_site: Installation, versions: list[ModelVersionRow], folder: Path
    ) -> None:
        cache = ModelCache(folder, sqlite_site.objects, 10**9, "cpu")
        for version in versions:
            cache.load(version)
        assert [cache.is_loaded(v) for v in versions] == [False, True, True]
