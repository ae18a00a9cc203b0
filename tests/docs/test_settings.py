"""docs/settings.md is what the settings say."""

from pathlib import Path

from domain.settings import settings_table

ROOT = Path(__file__).parents[2]


def test_the_table_is_up_to_date() -> None:
    document = (ROOT / "docs" / "settings.md").read_text()
    assert document.endswith(settings_table()), "run: python -m domain.settings"
