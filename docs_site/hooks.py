"""Hooks of mkdocs: pages that are made while building, and no page that nobody finds."""

import re
import sys
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[1]
MADE: Final = ("index.md", "reference.md")
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put pages that stand nowhere in the navigation under "More"."""
    there = set(_pages(config.nav))
    more = sorted(p.name for p in Path(config.docs_dir).glob("*.md") if p.name not in there)
    if more and config.nav is not None:
        config.nav.append({"More": more})
    return config


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav or []
    return [page for entry in entries for page in _pages(entry)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the home page and the API reference."""
    for name, content in zip(MADE, (home_page(), reference()), strict=True):
        files.append(File.generated(config, name, content=content))
    return files


def home_page() -> str:
    """Return the README, with links as they are from among the other pages."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](", text)
    # what is not among the pages is named, not linked
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)", _linked, text)


def _linked(match: re.Match[str]) -> str:
    is_page = (ROOT / "docs" / match[2].partition("#")[0]).exists()
    return match[0] if is_page else match[1]


def reference() -> str:
    """Return the API reference of the service as it is in this checkout."""
    from docs_site.api_reference import markdown_of
    from service.app import create_app

    return markdown_of(create_app().openapi())
