import hashlib
import json

from models.digest import file_sha256, folder_digest, model_files


def test_digest_is_over_names_and_contents_of_the_files_that_count(tmp_path):
    (tmp_path / "b.json").write_bytes(b"{}")
    (tmp_path / "a.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("not part of the model")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "b.json")
    lines = (
        f"a.safetensors\0{hashlib.sha256(b'weights').hexdigest()}\n"
        f"b.json\0{hashlib.sha256(b'{}').hexdigest()}\n"
    )
    assert [path.name for path in model_files(tmp_path)] == ["a.safetensors", "b.json"]
    assert folder_digest(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()
    (tmp_path / "b.json").write_bytes(b"{ }")
    assert folder_digest(tmp_path) != hashlib.sha256(lines.encode()).hexdigest()


def test_the_exported_program_that_the_manifest_names_counts(tmp_path):
    (tmp_path / "model.pt2").write_bytes(b"program")
    (tmp_path / "other.pt2").write_bytes(b"stray")
    (tmp_path / "selvage-model.json").write_text(json.dumps({"file": "model.pt2"}))
    assert [path.name for path in model_files(tmp_path)] == ["model.pt2", "selvage-model.json"]
    (tmp_path / "selvage-model.json").write_text("not JSON")
    assert [path.name for path in model_files(tmp_path)] == ["selvage-model.json"]


def test_file_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
