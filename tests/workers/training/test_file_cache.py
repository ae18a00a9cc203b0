"""Copies for trainings: checked, shared, bounded."""

import hashlib
import os
from pathlib import Path

import pytest

from storage.objects import ObjectMissing, Objects, image_key
from workers.training.file_cache import DataTooLarge, FileCache, FileDamaged, link


def nothing() -> None:
    return


def put(objects: Objects, data: bytes) -> tuple[str, str]:
    digest = hashlib.sha256(data).hexdigest()
    objects.put_new(image_key(digest), data)
    return image_key(digest), digest


@pytest.fixture
def objects() -> Objects:
    return Objects.open("memory://")


@pytest.fixture
def cache(objects: Objects, tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "files", objects, max_bytes=100)


def test_fetched_once(cache: FileCache, objects: Objects) -> None:
    key, digest = put(objects, b"one")
    assert cache.fetch(key, digest, nothing).read_bytes() == b"one"
    objects.delete([key])
    assert cache.fetch(key, digest, nothing).read_bytes() == b"one"


def test_missing_and_damaged(cache: FileCache, objects: Objects) -> None:
    key, digest = put(objects, b"one")
    with pytest.raises(FileDamaged):
        cache.fetch(key, "0" * 64, nothing)
    with pytest.raises(ObjectMissing):
        cache.fetch(image_key("1" * 64), None, nothing)
    cache.fetch(key, digest, nothing).write_bytes(b"two")  # the disk has changed it
    assert cache.fetch(key, digest, nothing).read_bytes() == b"one"


def test_a_fetch_that_is_ended_leaves_nothing(cache: FileCache, objects: Objects) -> None:
    key, digest = put(objects, b"one")

    def end() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.fetch(key, digest, end)
    assert cache.clear() == 0


def test_the_oldest_go_first_and_what_a_run_links_to_stays(
    cache: FileCache, objects: Objects, tmp_path: Path
) -> None:
    files = []
    for number in range(4):
        key, digest = put(objects, bytes([number]) * 30)
        path = cache.fetch(key, digest, nothing)
        os.utime(path, (number, number))
        files.append(path)
    link(files[0], tmp_path / "linked")
    link(files[0], tmp_path / "linked")  # twice does no harm
    cache.make_room(0)
    assert [path.exists() for path in files] == [True, False, True, True]
    assert cache.clear() == 60
    assert (tmp_path / "linked").read_bytes() == bytes(30)
    with pytest.raises(DataTooLarge):
        cache.make_room(101)
