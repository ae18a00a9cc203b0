"""The site builds without a warning, loads nothing from elsewhere, and holds the whole API."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs_site.anchors import slug
from docs_site.api_reference import markdown_of
from service.app import create_app

ROOT = Path(__file__).parents[2]
# a script, style, font or picture that a page would fetch
LOADED = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//|"
    r"<link[^>]*\shref=[\"']?(?:https?:)?//|@import|url\([\"']?https?:"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        # its theme says on every build that it has a successor
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"reference"}
    assert pages <= {path.name for path in site.iterdir()}
    assert "Post the images." in (site / "index.html").read_text()


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 20
    assert {path.name for path in pages if LOADED.search(path.read_text())} == set()


def test_the_pattern_would_find_something() -> None:
    for text in ('<script src="https://cdn.example.com/x.js">', "<link rel=x href=//fonts.x/>",
                 "@import 'x'", "url(https://x)"):  # fmt: skip
        assert LOADED.search(text)


def test_every_operation_and_schema_is_in_the_reference(site: Path) -> None:
    document = create_app().openapi()
    page = (site / "reference" / "index.html").read_text()
    paths = document["paths"].items()
    operations = {f"{method.upper()} {path}" for path, methods in paths for method in methods}
    assert operations <= set(re.findall(r"<h3[^>]*><code>([^<]*)</code>", page))
    schemas = {name.lower() for name in document["components"]["schemas"]}
    assert schemas <= set(re.findall(r'<h3 id="([^"]*)"', page))


def test_what_a_description_says_is_no_html() -> None:
    operation = {"summary": "a <b>", "description": "x <script> `<y>`", "responses": {}}
    page = markdown_of(
        {"info": {"title": "T", "version": "1"}, "paths": {"/x": {"get": operation}}}
    )
    assert "**a &lt;b&gt;**" in page
    assert "x &lt;script&gt; `<y>`" in page


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Looks at CamVid dusk", "looks-at-camvid-dusk"),
        ("PULL: T2S-DA", "pull-t2s-da"),
        ("`regions.json`", "regionsjson"),
        ("Prototypes (CONFETI)", "prototypes-confeti"),
        ("A & b", "a--b"),
    ],
)
def test_anchors_are_those_of_the_repository(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor
