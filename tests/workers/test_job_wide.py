"""The two passes and the join of a job-wide correction, with a stand-in that counts regions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api_schemas.pipelines import PipelineConfig
from domain import sweep
from domain.jobs import new_job_row
from domain.models import resolve
from models.connectivity.evidence import RegionEvidence
from models.label_maps import LabelMaps
from storage.catalog.engine import Catalog
from storage.catalog.workers import add_worker
from storage.objects import sample_key
from tests.support import rows
from tests.support.api import get_items, get_job, get_png, label_bytes, nonzero, post_set
from tests.support.catalogs import new_sqlite_catalog
from tests.support.counting_stage import CountingStage, count_regions
from tests.support.images import png_bytes
from tests.support.installation import ALL_HANDLERS, WORKER_ID, Installation, installation
from workers.identity import Recipe, early_digest_of
from workers.npz import Arrays
from workers.run_chunk import run_chunk

PIPELINE = PipelineConfig.model_validate({"select": None, "correct": {}})
IMAGES = {f"{i}.png": png_bytes(i) for i in range(9)}


class Killed(BaseException):
    """The worker process is gone, between two instructions."""


class DyingStage(CountingStage):
    """Kills its process at the given call of one kind, once."""

    def __init__(self, kind: str, call: int) -> None:
        super().__init__()
        self._at: tuple[str, int] | None = (kind, call)

    def _die_if_due(self) -> None:
        if self._at and self.calls.count(self._at[0]) == self._at[1]:
            self._at = None
            raise Killed

    def evidence(self, found: RegionEvidence) -> Arrays:
        arrays = super().evidence(found)
        self._die_if_due()
        return arrays

    def finish(self, evidence: Arrays, fit: dict[str, Any]) -> LabelMaps:
        maps = super().finish(evidence, fit)
        self._die_if_due()
        return maps


def start(site: Installation, folder: Path, stage: CountingStage) -> str:
    """A job with the stand-in in place of the real stage."""
    site.add_tiny_model(folder)
    site.runtime.job_wide = stage
    image_set = post_set(site, IMAGES)["id"]
    with site.catalog.write() as session:
        return new_job_row(
            session,
            job_type="generate",
            image_set_id=image_set,
            total=len(IMAGES),
            params={},
            priority=0,
            failure_policy={"max_failed_fraction": 0.5, "min_failed_images": 20},
            metadata={},
            version=resolve(session, "tiny"),
            pipeline=PIPELINE,
        ).id


@contextmanager
def fresh_site(folder: Path, **changes: Any) -> Iterator[Installation]:
    folder.mkdir()
    url = new_sqlite_catalog(folder / "catalog.sqlite3")
    with installation(url, folder / "data", **changes) as site:
        yield site


def settle_with_deaths(site: Installation) -> int:
    """Work to the end; a worker that dies is buried and another one comes. Returns the deaths."""
    deaths = 0
    while True:
        try:
            site.settle()
            return deaths
        except Killed:
            deaths += 1
            sweep.bury_worker(site.catalog, WORKER_ID, 3)
            with site.catalog.write() as session:
                add_worker(session, WORKER_ID, queue="label", host="h", pid=1, device="cpu")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Digest of the fit and bytes of the labels of a run in which nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with fresh_site(folder / "site") as site:
        job_id = start(site, folder / "m", CountingStage())
        site.settle()
        return fit_of(site.catalog, job_id), label_bytes(site, job_id)


def fit_of(catalog: Catalog, job_id: str) -> Any:
    digest = rows.get_job(catalog, job_id).job_fit_digest
    assert digest is not None
    return digest


class TestTwoPasses:
    def test_every_item_goes_through_both(self, site: Installation, tmp_path: Path) -> None:
        stage = CountingStage()
        job_id = start(site, tmp_path / "m", stage)
        site.settle()
        assert stage.calls == ["evidence"] * 9 + ["fit"] + ["finish"] * 9
        job = get_job(site, job_id)
        assert (job["status"], nonzero(job["counts"])) == (
            "succeeded",
            {"total": 9, "succeeded": 9},
        )
        assert job["stages"] == [
            {"name": "predict", "done": 9, "failed": 0},
            {"name": "correct", "done": 9, "failed": 0},
        ]
        rows.assert_consistent(site.catalog, job_id)

    def test_the_fit_decides(self, sqlite_site: Installation, tmp_path: Path) -> None:
        site = sqlite_site
        job_id = start(site, tmp_path / "m", CountingStage())
        site.settle()
        plain = _argmax_labels(site)
        mean = sum(count_regions(label) for label in plain.values()) / len(plain)
        dropped = 0
        for name, item in get_items(site, job_id).items():
            label = get_png(site, item["label_id"])
            if count_regions(plain[name]) > mean:
                assert (label == 255).all()
                dropped += 1
            else:
                np.testing.assert_array_equal(label, plain[name])
        assert 0 < dropped < 9

    def test_digests_name_the_fit(self, sqlite_site: Installation, tmp_path: Path) -> None:
        site = sqlite_site
        job_id = start(site, tmp_path / "m", CountingStage())
        site.settle()
        fit = fit_of(site.catalog, job_id)
        for item in get_items(site, job_id).values():
            label = site.client.get(f"/v1/labels/{item['label_id']}").json()
            lineage = label["lineage"]
            recipe = Recipe(
                lineage["pipeline_digest"],
                early_digest_of(PIPELINE),
                lineage["model_digest"],
                None,
                {"predict": 1, "correct": 1},
                "float32",
            )
            assert lineage["job_fit"] == fit
            assert label["digest"] == recipe.label_digest(item["image_digest"], fit)


def _argmax_labels(site: Installation) -> dict[str, np.ndarray]:
    """The labels before the correction."""
    from tests.support.api import post_images

    job_id = post_images(site, IMAGES)["job"]["id"]
    site.settle()
    return {n: get_png(site, i["label_id"]) for n, i in get_items(site, job_id).items()}


class TestDisturbed:
    @pytest.mark.parametrize("chunk_max_images", [1, 2, 64])
    def test_chunking_changes_nothing(
        self, tmp_path: Path, undisturbed: tuple[str, dict[str, Any]], chunk_max_images: int
    ) -> None:
        with fresh_site(tmp_path / "s", chunk_max_images=chunk_max_images) as site:
            job_id = start(site, tmp_path / "m", CountingStage())
            site.settle()
            assert (fit_of(site.catalog, job_id), label_bytes(site, job_id)) == undisturbed

    @pytest.mark.parametrize("kind", ["evidence", "finish"])
    @pytest.mark.parametrize("flush_seconds", [0.0, 60.0])
    def test_death_in_the_middle_of_a_pass(
        self,
        tmp_path: Path,
        undisturbed: tuple[str, dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        kind: str,
        flush_seconds: float,
    ) -> None:
        """Whether the work before the death was committed or not."""
        monkeypatch.setattr("workers.committing.FLUSH_SECONDS", flush_seconds)
        with fresh_site(tmp_path / "s") as site:
            job_id = start(site, tmp_path / "m", DyingStage(kind, call=6))
            assert settle_with_deaths(site) == 1
            assert get_job(site, job_id)["status"] == "succeeded"
            assert (fit_of(site.catalog, job_id), label_bytes(site, job_id)) == undisturbed
            rows.assert_consistent(site.catalog, job_id)

    def test_evidence_of_a_dead_worker_is_found_again(self, tmp_path: Path) -> None:
        with fresh_site(tmp_path / "s") as site:
            stage = DyingStage("evidence", call=6)
            start(site, tmp_path / "m", stage)
            settle_with_deaths(site)
            assert stage.calls.count("evidence") == 10  # only the sixth was lost before its put


class TestRetry:
    def test_evidence_is_found_by_its_digest(
        self, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        site = sqlite_site
        stage = CountingStage()
        old = start(site, tmp_path / "m", stage)
        site.settle()
        stage.calls.clear()
        answer = site.client.post(f"/v1/jobs/{old}:retry", json={"only": "all"})
        assert answer.status_code == 202
        new = answer.json()["id"]
        site.settle()
        assert stage.calls == ["finish"] * 9  # neither evidence nor fit is made anew
        assert fit_of(site.catalog, new) == fit_of(site.catalog, old)
        assert label_bytes(site, new) == label_bytes(site, old)


class TestSampleParts:
    def test_a_chunk_leaves_one_object_and_its_name(
        self, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        site = sqlite_site
        job_id = start(site, tmp_path / "m", CountingStage())
        site.settle()
        results = [c.result for c in rows.get_chunks(site.catalog, job_id) if c.kind == "label"]
        stored = {found.key for found in site.objects.list("samples")}
        assert stored == {sample_key(job_id, r["sample"]) for r in results if r}
        assert sorted(p for r in results if r for p in r["positions"]) == list(range(9))

    def test_a_lost_part_is_made_up_from_evidence(
        self, tmp_path: Path, undisturbed: tuple[str, dict[str, Any]]
    ) -> None:
        with fresh_site(tmp_path / "s", chunk_max_images=2) as site:
            job_id = start(site, tmp_path / "m", CountingStage())
            while not (stored := [f.key for f in site.objects.list("samples")]):
                site.schedule()
                run_chunk(site.runtime, ALL_HANDLERS, site.queue.sent.pop(0))
            site.objects.delete(stored)
            site.settle()
            assert (fit_of(site.catalog, job_id), label_bytes(site, job_id)) == undisturbed
