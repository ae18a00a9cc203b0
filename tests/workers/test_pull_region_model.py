"""`selvage models pull`: fetched or given, checked, converted apart, registered once."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from api_schemas.problems import StateConflict
from domain.settings import Settings
from models.errors import ModelRefused
from models.promptable.folder import write_region_model
from models.promptable.sam_architecture import build_sam
from storage.catalog.engine import Catalog
from storage.catalog.models import list_versions
from storage.catalog.tables import ModelVersionRow
from tests.models.promptable.tiny import TINY
from tests.support.http_server import WebServer, serve
from tests.support.tiny_model import write_tiny_bundle
from workers import add_model, resumable_download
from workers.convert_checkpoint import convert_apart
from workers.official_checkpoints import Checkpoint
from workers.pull_region_model import downloads_folder, explain, pull
from workers.resumable_download import ChecksumMismatch, DownloadFailed


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """What stands for a published checkpoint: weights of a tiny SAM, pickled."""
    torch.manual_seed(0)
    path = tmp_path / "sam_tiny.pth"
    torch.save(build_sam(TINY).state_dict(), path)
    return path


@pytest.fixture
def web(weights: Path) -> Iterator[WebServer]:
    with serve({"/sam_tiny.pth": weights.read_bytes()}) as server:
        yield server


@pytest.fixture
def checkpoint(web: WebServer, weights: Path) -> Checkpoint:
    data = weights.read_bytes()
    url = f"{web.url}/sam_tiny.pth"
    return Checkpoint("sam_vit_b", url, hashlib.sha256(data).hexdigest(), len(data))


def convert_tiny(name: str, source: Path, folder: Path) -> None:
    sam = build_sam(TINY)
    sam.load_state_dict(torch.load(source, weights_only=True))
    write_region_model(folder, sam, TINY, {"converted_from": name})


def pulled(settings: Settings, checkpoint: Checkpoint, **changes: Any) -> ModelVersionRow:
    given: dict[str, Any] = {
        "name": "sam",
        "file": None,
        "promote": True,
        "on_bytes": lambda *_: None,
        "convert": convert_tiny,
    }
    return pull(settings, checkpoint, **(given | changes))


def versions(settings: Settings, name: str = "sam") -> list[ModelVersionRow]:
    catalog = Catalog(settings.catalog_url)
    with catalog.read() as session:
        found = list_versions(session, name)
    catalog.close()
    return found


class TestPull:
    def test_once(self, settings: Settings, checkpoint: Checkpoint, web: WebServer) -> None:
        row = pulled(settings, checkpoint)
        assert (row.model_name, row.version, row.kind) == ("sam", 1, "region-model")
        assert (row.ontology, row.status) == ({}, "ready")
        assert set(row.files) == {"region_model.json", "region_model.safetensors"}
        assert row.facts["architecture"] == TINY.to_dict()
        assert row.provenance["sha256"] == checkpoint.sha256
        assert list(downloads_folder(settings).iterdir()) == []
        again = pulled(settings, checkpoint)
        assert (again.id, len(web.seen)) == (row.id, 1)
        assert len(versions(settings)) == 1

    def test_a_file_that_was_brought_along(
        self, settings: Settings, checkpoint: Checkpoint, web: WebServer, weights: Path
    ) -> None:
        assert pulled(settings, checkpoint, file=weights).version == 1
        assert web.seen == []
        assert weights.exists()

    def test_the_wrong_file(
        self, settings: Settings, checkpoint: Checkpoint, weights: Path
    ) -> None:
        weights.write_bytes(weights.read_bytes() + b"!")
        with pytest.raises(ChecksumMismatch) as raised:
            pulled(settings, checkpoint, file=weights)
        assert weights.exists()
        assert versions(settings) == []
        assert checkpoint.url in explain(raised.value, settings, checkpoint)

    def test_without_network_it_says_what_to_do(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resumable_download, "PAUSE_SECONDS", 0.0)
        checkpoint = Checkpoint("sam_vit_b", "http://127.0.0.1:1/sam_vit_b_01ec64.pth", "0" * 64, 7)
        part = downloads_folder(settings) / "sam_vit_b_01ec64.pth.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"abc")
        with pytest.raises(DownloadFailed) as raised:
            pulled(settings, checkpoint)
        text = explain(raised.value, settings, checkpoint)
        assert checkpoint.url in text
        assert "7 bytes, SHA-256 000" in text
        assert "selvage models pull sam_vit_b --file sam_vit_b_01ec64.pth" in text
        assert "3 bytes are kept" in text

    def test_a_name_that_is_taken_is_refused_before_anything_is_fetched(
        self, settings: Settings, checkpoint: Checkpoint, web: WebServer
    ) -> None:
        with pytest.raises(StateConflict, match="built in"):
            pulled(settings, checkpoint, name="nano")
        assert web.seen == []


class TestConvertApart:
    def test_what_is_no_checkpoint(self, tmp_path: Path) -> None:
        source = tmp_path / "sam.pth"
        source.write_bytes(b"no pickle")
        with pytest.raises(ModelRefused, match=r"sam\.pth cannot be converted: ."):
            convert_apart("sam_vit_b", source, tmp_path / "model")
        assert not (tmp_path / "model" / "region_model.json").exists()


class TestAdd:
    def test_a_folder_of_a_region_model(
        self,
        tmp_path: Path,
        settings: Settings,
        weights: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        folder = tmp_path / "model"
        convert_tiny("x", weights, folder)
        monkeypatch.setenv("SELVAGE_DATA_DIR", str(settings.data_dir))
        monkeypatch.setattr("sys.argv", ["add", str(folder), "--name", "mine"])
        add_model.main()
        assert capsys.readouterr().out.startswith("mine:1 is ready: region-model, ")
        assert [v.kind for v in versions(settings, "mine")] == ["region-model"]
        write_tiny_bundle(tmp_path / "segmenter")
        monkeypatch.setattr("sys.argv", ["add", str(tmp_path / "segmenter"), "--name", "mine"])
        with pytest.raises(SystemExit, match="are region models"):
            add_model.main()

    def test_a_damaged_one(
        self,
        tmp_path: Path,
        settings: Settings,
        weights: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        folder = tmp_path / "model"
        convert_tiny("x", weights, folder)
        file = folder / "region_model.safetensors"
        file.write_bytes(file.read_bytes()[:-8])
        monkeypatch.setenv("SELVAGE_DATA_DIR", str(settings.data_dir))
        monkeypatch.setattr("sys.argv", ["add", str(folder), "--name", "mine"])
        with pytest.raises(SystemExit, match="region-model-unreadable"):
            add_model.main()
