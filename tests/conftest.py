"""Fixtures that several folders share: catalogs on both databases, a whole installation."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import structlog

# Before torch is imported: threads that wait for each other by spinning make a busy machine crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from storage.catalog.engine import Catalog
from tests.support.catalogs import QuickCatalog, new_sqlite_catalog
from tests.support.installation import Installation, installation
from tests.support.postgres import Postgres, start_postgres
from tests.support.s3 import S3Server, start_s3

_DATABASE_NUMBERS = count()

# By default structlog draws tracebacks with all local variables, which takes seconds each.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, started for the suite."""
    with start_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 service over HTTP, started for the suite."""
    with start_s3() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a fresh catalog, built by the migrations; each test runs on both databases."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        with server.lent() as url:
            yield url
    else:
        yield new_sqlite_catalog(tmp_path / "catalog.sqlite3")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a database without any table."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_database(f"test_{next(_DATABASE_NUMBERS)}", template="template1")
    return f"sqlite:///{tmp_path / 'empty.sqlite3'}"


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    opened = QuickCatalog(catalog_url)
    yield opened
    opened.close()


@pytest.fixture
def site(catalog_url: str, tmp_path: Path) -> Iterator[Installation]:
    """A whole installation in this process."""
    with installation(catalog_url, tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def sqlite_site(tmp_path: Path) -> Iterator[Installation]:
    """The same on SQLite alone, for what does not depend on the database."""
    url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    with installation(url, tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def s3_site(s3_server: S3Server, tmp_path: Path) -> Iterator[Installation]:
    """The same with its objects on S3."""
    url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    changes = s3_server.settings(s3_server.new_bucket())
    with installation(url, tmp_path / "data", **changes) as opened:
        yield opened
