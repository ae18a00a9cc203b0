"""Checkpoints go to the store, and come back whole or not at all."""

from pathlib import Path

import pytest

from api_schemas.ids import new_id
from api_schemas.problems import StorageUnavailable
from storage.objects import Objects, checkpoint_key
from workers.training.checkpoints import CheckpointUploads, restore_newest
from workers.training.run_folder import RunFolder

JOB = new_id("job")


@pytest.fixture
def objects() -> Objects:
    return Objects.open("memory://")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def leave(run: RunFolder, step: int, weights: bytes | None = None) -> None:
    folder = run.checkpoint(step)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights or b"weights %d" % step)
    (folder / "state.json").write_bytes(b"{}")


def upload(uploads: CheckpointUploads) -> bool:
    """Whether there is a new one in the store."""
    found = uploads.finish(10)
    if found:
        uploads.forget_old()
    return found


def keys(objects: Objects) -> set[str]:
    return {found.key for found in objects.list(f"checkpoints/{JOB}")}


def nothing() -> None:
    return


def restored(objects: Objects, folder: Path, uploads: CheckpointUploads) -> RunFolder:
    """The run on another machine."""
    other = RunFolder(folder)
    restore_newest(objects, JOB, other, uploads.stored, nothing)
    return other


def test_the_newest_two_are_kept(objects: Objects, run: RunFolder, tmp_path: Path) -> None:
    uploads = CheckpointUploads(objects, JOB, run, [])
    assert not upload(uploads)
    for step in (10, 20, 30):
        leave(run, step)
        assert upload(uploads)
    assert [one.step for one in uploads.stored] == [20, 30]
    assert len(keys(objects)) == 3  # state.json is the same in both
    other = restored(objects, tmp_path / "other", uploads)
    assert list(other.whole_checkpoints()) == [30]
    assert (other.checkpoint(30) / "model.safetensors").read_bytes() == b"weights 30"
    uploads.delete_all(1)
    assert keys(objects) == set()


def test_what_is_damaged_or_gone_is_not_taken(
    objects: Objects, run: RunFolder, tmp_path: Path
) -> None:
    uploads = CheckpointUploads(objects, JOB, run, [])
    for step in (10, 20):
        leave(run, step)
        assert upload(uploads)
    newest = checkpoint_key(JOB, uploads.stored[1].files["model.safetensors"])
    objects.put_stream(newest, [b"others"])
    assert list(restored(objects, tmp_path / "a", uploads).whole_checkpoints()) == [10]
    objects.delete([newest])
    assert list(restored(objects, tmp_path / "b", uploads).whole_checkpoints()) == [10]
    objects.delete(keys(objects))
    assert list(restored(objects, tmp_path / "c", uploads).whole_checkpoints()) == []


def test_a_newer_one_on_this_machine_stays(objects: Objects, run: RunFolder) -> None:
    uploads = CheckpointUploads(objects, JOB, run, [])
    leave(run, 10)
    assert upload(uploads)
    leave(run, 20)
    assert restore_newest(objects, JOB, run, uploads.stored, nothing) == 20


def test_a_store_that_is_away_costs_no_training(
    objects: Objects, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = CheckpointUploads(objects, JOB, run, [])
    leave(run, 10)

    def away(*_: object) -> bool:
        raise StorageUnavailable("The store is away.")

    with monkeypatch.context() as patched:
        patched.setattr(objects, "put_file", away)
        assert not upload(uploads)
    assert upload(uploads)
    assert [one.step for one in uploads.stored] == [10]


def test_half_a_checkpoint_is_none(run: RunFolder) -> None:
    leave(run, 10)
    run.checkpoint(20).with_name(".tmp-20").mkdir()
    run.checkpoint(30).with_name("step-00000030.tmp").mkdir()
    assert list(run.whole_checkpoints()) == [10]


def test_one_process_at_a_time_has_a_folder(run: RunFolder) -> None:
    lock = run.lock()
    assert lock is not None
    assert run.lock() is None
