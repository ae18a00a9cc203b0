"""Who refers to a thing and who deletes it at the same moment: one of both sees the other."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from api_schemas.jobs import GenerateJobCreate
from api_schemas.problems import Gone, ProblemError, StateConflict
from domain import deletion, jobs
from storage.catalog.engine import Catalog
from storage.catalog.locks import claim
from storage.catalog.tables import ImageSetRow, JobRow, ModelVersionRow
from tests.support.rows import add_job, add_set, add_version, get_job


class Other(threading.Thread):
    """Somebody else's request; `problem` is how it was refused."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.problem: ProblemError | None = None
        self.start()
        self.join(timeout=0.7)
        assert self.is_alive(), "it did not wait"

    def run(self) -> None:
        try:
            self._work()
        except ProblemError as problem:
            self.problem = problem

    def end(self) -> ProblemError | None:
        self.join(timeout=30)
        assert not self.is_alive()
        return self.problem


@pytest.fixture
def image_set(catalog: Catalog) -> str:
    add_version(catalog)
    return add_set(catalog, 2)


def create(catalog: Catalog, image_set: str) -> None:
    request = GenerateJobCreate(type="generate", image_set=image_set, model="tiny:1")
    with catalog.write() as session:
        jobs.create_generate(session, request, 10**6)


DELETE: dict[str, Callable[[Catalog, str], None]] = {
    "set": lambda catalog, image_set: deletion.delete_image_set(catalog, image_set, force=True),
    "version": lambda catalog, _: deletion.delete_model_version(catalog, "tiny", 1, force=True),
}


@pytest.mark.parametrize("thing", ["set", "version"])
def test_a_job_is_being_created(catalog: Catalog, image_set: str, thing: str) -> None:
    request = GenerateJobCreate(type="generate", image_set=image_set, model="tiny:1")
    with catalog.write() as session:
        jobs.create_generate(session, request, 10**6)
        other = Other(lambda: DELETE[thing](catalog, image_set))
    assert isinstance(other.end(), StateConflict)


@pytest.mark.parametrize("thing", ["set", "version"])
def test_it_is_being_deleted(catalog: Catalog, image_set: str, thing: str) -> None:
    version_id = add_version(catalog).id
    with catalog.write() as session:
        row: Any = (
            claim(session, ImageSetRow, image_set)
            if thing == "set"
            else claim(session, ModelVersionRow, version_id)
        )
        row.deleted_at = 1.0
        session.flush()
        other = Other(lambda: create(catalog, image_set))
    assert isinstance(other.end(), Gone)
    with catalog.read() as session:
        assert session.query(JobRow).count() == 0


def test_a_retry_is_being_created(catalog: Catalog) -> None:
    job_id = add_job(catalog, 2)
    jobs.cancel(catalog, job_id)
    assert get_job(catalog, job_id).status == "cancelled"
    with catalog.write() as session:
        jobs.create_retry(session, job_id, "all", 10**6)
        other = Other(lambda: deletion.delete_job(catalog, job_id, force=True))
    assert isinstance(other.end(), StateConflict)
