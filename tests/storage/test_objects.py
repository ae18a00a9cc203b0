import io
from pathlib import Path

import pytest

from api_schemas.problems import StorageUnavailable
from storage import objects as module
from storage.objects import ObjectMissing, Objects, file_sha256

DIGEST = "ab" * 32


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "memory":
        return Objects.open("memory://")
    return Objects.open(f"file://{tmp_path / 'objects'}")


class TestObjects:
    def test_first_bytes_stay(self, store: Objects) -> None:
        assert store.put_new("images/ab/x", b"first")
        assert not store.put_new("images/ab/x", b"second")
        assert store.get("images/ab/x") == b"first"

    def test_file_is_put_from_its_position(self, store: Objects) -> None:
        assert store.put_new("images/ab/x", io.BytesIO(b"0123456789" * 1000))
        assert store.get("images/ab/x") == b"0123456789" * 1000

    def test_stream_gives_the_same_bytes(self, store: Objects) -> None:
        data = bytes(range(256)) * 100
        store.put_new("images/ab/x", data)
        assert b"".join(store.stream("images/ab/x", chunk_bytes=1000)) == data

    def test_missing(self, store: Objects) -> None:
        assert not store.exists("images/ab/none")
        with pytest.raises(ObjectMissing):
            store.get("images/ab/none")
        with pytest.raises(ObjectMissing):
            list(store.stream("images/ab/none"))
        store.check()

    @pytest.mark.parametrize(
        "key",
        ["", "/images/a", "images", "images/", "images//a", "../a", "images/../a", "images/..",
         "images/.hidden", "images/a b", "images/a\n", "Images/a", "images/a\x00",
         "a/b/c/d/e/f/g/h"],
    )  # fmt: skip
    def test_keys_of_another_form_are_refused(self, store: Objects, key: str) -> None:
        with pytest.raises(ValueError, match="not a key"):
            store.put_new(key, b"")
        with pytest.raises(ValueError, match="not a key"):
            store.get(key)

    def test_a_store_that_fails_says_so(self, tmp_path: Path) -> None:
        store = Objects.open(f"file://{tmp_path / 'objects'}")
        (tmp_path / "objects" / "images").write_bytes(b"a file where a folder should be")
        with pytest.raises(StorageUnavailable, match="try again"):
            store.put_new("images/ab/x", b"")

    @pytest.mark.parametrize("name", ["with space", "with#hash", "with%41percent", "with?mark"])
    def test_any_folder_name_works(self, tmp_path: Path, name: str) -> None:
        store = Objects.open((tmp_path / name).as_uri())
        store.put_new("images/ab/x", b"data")
        assert (tmp_path / name / "images" / "ab" / "x").read_bytes() == b"data"


class TestKeys:
    def test_every_key_of_ours_has_the_form_of_keys(self) -> None:
        assert module.image_key(DIGEST) == f"images/ab/{DIGEST}"
        assert module.label_key(DIGEST, "stages/predict.png") == (
            f"labels/ab/{DIGEST}/stages/predict.png"
        )
        keys = [
            module.image_key(DIGEST),
            module.label_key(DIGEST, "label.png"),
            module.label_key(DIGEST, "stages/predict.png"),
            module.evidence_key(DIGEST),
            module.fit_key("pilot", DIGEST),
            module.model_key(DIGEST, "segmenter.safetensors"),
            module.annotation_key(DIGEST),
        ]
        store = Objects.open("memory://")
        assert [store.put_new(key, b"") for key in keys] == [True] * 7


def test_file_sha256_reads_from_the_start_and_rewinds() -> None:
    file = io.BytesIO(b"abc")
    file.read(2)
    # of "abc", FIPS 180-2 appendix B.1
    assert file_sha256(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file.tell() == 0
