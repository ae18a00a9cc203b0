from pathlib import Path

import pytest

from tests.support.installation import Installation


@pytest.fixture
def tiny_site(sqlite_site: Installation, tmp_path: Path) -> Installation:
    """An installation with the model `tiny`, whose label of an image is the same each time."""
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    return sqlite_site


@pytest.fixture
def both_site(site: Installation, tmp_path: Path) -> Installation:
    """The same on both databases."""
    site.add_tiny_model(tmp_path / "tiny")
    return site
