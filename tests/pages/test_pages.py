"""What the pages answer: nothing that runs, few questions to the catalog, each to whom it may."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from service.pages.assets import FOLDER
from service.pages.templating import FOLDER as TEMPLATES
from service.pages.templating import duration, percent, size_text, thousands
from tests.pages.conftest import EVIL, Shown
from tests.support import campaigns
from tests.support.api import multipart
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.rows import add_job, add_set, add_version

HTML = {"Accept": "text/html"}


def get(site: Installation, path: str, status: int = 200) -> str:
    answer = site.client.get(path, headers=HTML)
    assert answer.status_code == status, (path, answer.text[:500])
    assert answer.headers["content-type"].startswith("text/html")
    return str(answer.text)


def pages_of(shown: Shown) -> list[str]:
    base = f"/jobs/{shown.job}"
    return [
        "/", "/jobs", "/jobs?show=troubled", "/jobs/new", base, f"{base}?show=failed",
        f"{base}/live", f"/jobs/{shown.evaluation}", f"/labels/{shown.label}",
        f"/labels/{shown.label}?job={shown.job}&position={shown.position}", "/review",
        "/review?order_by=quality",
        "/campaigns", f"/campaigns/{shown.campaign}", "/models", "/models/tiny", "/models/tiny/2",
        "/models/demo/1",
    ]  # fmt: skip


class TestNothingRuns:
    def test_names_are_escaped_on_every_page(self, shown: Shown) -> None:
        """Names of files, campaigns, sets and metadata are whatever somebody wrote."""
        seen = 0
        for path in pages_of(shown):
            page = get(shown.site, path)
            assert "<img src=x" not in page, path
            seen += "&lt;img src=x" in page
        assert seen >= 4

    def test_a_name_in_every_field_of_a_job(
        self, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        site = sqlite_site
        site.add_tiny_model(tmp_path / "tiny")
        answer = site.client.post(
            "/v1/image-sets", files=multipart({f"{EVIL}.png": png_bytes(1), EVIL: b"no"}),
            data={"name": EVIL},
        )  # fmt: skip
        started = site.client.post(
            "/v1/jobs",
            json={"type": "generate", "image_set": answer.json()["id"], "model": "tiny",
                  "metadata": {EVIL: EVIL}},
        )  # fmt: skip
        assert started.status_code == 202, started.text
        site.settle()
        for path in ("/", "/jobs", f"/jobs/{started.json()['id']}"):
            page = get(site, path)
            assert "<img src=x" not in page
            assert "&lt;img src=x" in page

    def test_errors_are_escaped(self, shown: Shown) -> None:
        page = get(shown.site, f"/jobs/{EVIL}".replace("/", "%2F").replace("%2F", "/", 2), 404)
        assert "<img src=x" not in page

    @pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/none", "/sign-out-of-nothing"])
    def test_only_our_own_scripts_are_allowed(self, shown: Shown, path: str) -> None:
        answer = shown.site.client.get(path, headers=HTML)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "http" not in policy

    @pytest.mark.parametrize("file", sorted(TEMPLATES.iterdir()), ids=lambda p: p.name)
    def test_templates_have_no_script_and_no_style_of_their_own(self, file: Path) -> None:
        text = file.read_text()
        assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|\|\s*safe", text)
        scripts = re.findall(r"<script[^>]*>", text)
        assert all('src="/assets/' in s or 'type="application/json"' in s for s in scripts)

    @pytest.mark.parametrize(
        "file", [*FOLDER.iterdir(), *TEMPLATES.iterdir()], ids=lambda p: p.name
    )
    def test_nothing_comes_from_elsewhere(self, file: Path) -> None:
        found = re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}[^\s\"']*", file.read_text())
        assert [a for a in found if "www.w3.org/2000/svg" not in a] == []


class TestFewQuestions:
    """As many questions to the catalog for many rows as for few."""

    def count(self, site: Installation, path: str) -> int:
        with statements(site) as seen:
            get(site, path)
        return len(seen)

    def test_jobs(self, sqlite_site: Installation) -> None:
        counts = []
        for _ in range(2):
            for _ in range(3):
                add_job(sqlite_site.catalog, 2, image_set=add_set(sqlite_site.catalog))
            counts.append([self.count(sqlite_site, path) for path in ("/", "/jobs")])
        assert counts[0] == counts[1]
        assert max(counts[1]) <= 16

    def test_models(self, sqlite_site: Installation) -> None:
        counts = []
        for number in range(2):
            for name in range(4):
                add_version(sqlite_site.catalog, f"m{number}{name}")
            counts.append(self.count(sqlite_site, "/models"))
        assert counts[0] == counts[1] <= 6

    def test_the_rounds_of_a_campaign(self, sqlite_site: Installation) -> None:
        counts = []
        for rounds in (1, 4):
            add_version(sqlite_site.catalog)
            target = add_set(sqlite_site.catalog)
            truth = campaigns.annotated(sqlite_site.catalog, target, "evaluation")
            found = campaigns.start(sqlite_site.catalog, target, evaluation=truth, rounds=rounds)
            campaigns.run(sqlite_site.catalog, found)
            paths = (f"/campaigns/{found}", "/campaigns", "/models/tiny", "/models/tiny/2")
            counts.append([self.count(sqlite_site, path) for path in paths])
        assert counts[0] == counts[1]

    def test_a_job_with_many_labels(self, shown: Shown) -> None:
        with statements(shown.site) as seen:
            get(shown.site, f"/jobs/{shown.job}")
        assert len(seen) <= 14
        assert len([s for s in seen if "FROM label \nWHERE label.id IN" in s]) == 1


@contextmanager
def statements(site: Installation) -> Iterator[list[str]]:
    """What the catalog is asked meanwhile."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT") and "FROM api_key" not in statement:  # asked now and then
            seen.append(statement)

    event.listen(site.catalog.engine, "before_cursor_execute", note)
    yield seen
    event.remove(site.catalog.engine, "before_cursor_execute", note)


class TestJobs:
    def test_filters_and_pages(self, sqlite_site: Installation) -> None:
        ids = [add_job(sqlite_site.catalog, 1) for _ in range(27)]
        first = get(sqlite_site, "/jobs?show=open")
        (older,) = re.findall(r'href="(/jobs\?[^"]*after=[^"]*)"', first)
        second = get(sqlite_site, older.replace("&amp;", "&"))
        shown = re.findall(r'href="/jobs/(job_\w+)"', first + second)
        assert shown == ids[::-1]
        assert "No job here in this state" in get(sqlite_site, "/jobs?show=succeeded")

    def test_failures_tell_their_reasons(self, shown: Shown) -> None:
        page = get(shown.site, f"/jobs/{shown.job}")
        assert "1 image failed" in page
        assert re.search(r"broken\.png</b><p>[^<]{20,}", page)
        assert 'data-done="true"' in page

    def test_an_evaluation_shows_its_confusions(self, shown: Shown) -> None:
        page = get(shown.site, f"/jobs/{shown.evaluation}")
        assert "What was taken for what" in page
        cells = re.findall(r'class="l5 hit" title="(\w+) as (\w+): 100.0 %', page)
        assert cells
        assert all(true == labelled for true, labelled in cells)  # labels against themselves

    def test_what_is_unknown(self, shown: Shown) -> None:
        for path in ("/jobs/job_none", "/labels/lab_none", "/campaigns/cmp_none", "/models/none",
                     "/models/demo/99", "/jobs?after=%21"):  # fmt: skip
            page = get(shown.site, path, 422 if "after" in path else 404)
            assert "request req_" in page

    def test_programs_get_problem_documents(self, shown: Shown) -> None:
        answer = shown.site.client.get("/jobs/job_none")
        assert answer.headers["content-type"] == "application/problem+json"


class TestLabels:
    def test_only_what_is_stored_is_offered(self, shown: Shown, sqlite_site: Installation,
                                            tmp_path: Path) -> None:  # fmt: skip
        page = get(shown.site, f"/labels/{shown.label}")
        for title in ("Predicted", "Rectified", "Selected", "Aggregated", "Corrected"):
            assert f">{title}</button>" in page
        sqlite_site.add_tiny_model(tmp_path / "tiny")
        files = multipart({"a.png": png_bytes(1)})
        job = sqlite_site.client.post(
            "/v1/pseudo-labels", files=files, data={"model": "tiny"}
        ).json()["job"]["id"]
        sqlite_site.settle()
        item = sqlite_site.client.get(f"/v1/jobs/{job}/items").json()["items"][0]
        plain = get(sqlite_site, f"/labels/{item['label_id']}")
        assert ">Label</button>" in plain
        assert ">Predicted</button>" not in plain
        assert "keep_stages" in plain

    def test_lineage_leads_to_the_model_and_the_job(self, shown: Shown) -> None:
        page = get(shown.site, f"/labels/{shown.label}")
        assert 'href="/models/demo/1"' in page
        assert f'href="/jobs/{shown.job}"' in page


class TestCampaigns:
    def test_curves_and_gates(self, shown: Shown) -> None:
        page = get(shown.site, f"/campaigns/{shown.campaign}")
        assert page.count('<svg class="curve"') == 2
        assert "mIoU of the models" in page
        assert "42.0" in page
        assert page.count('id="round-') == 2

    def test_a_campaign_that_has_not_begun(self, sqlite_site: Installation) -> None:
        add_version(sqlite_site.catalog)
        found = campaigns.start(sqlite_site.catalog, add_set(sqlite_site.catalog))
        page = get(sqlite_site, f"/campaigns/{found}")
        assert '<svg class="curve"' not in page
        assert 'data-done="false"' in page


def test_the_start_says_what_to_do_first(sqlite_site: Installation) -> None:
    empty = get(sqlite_site, "/")
    assert "selvage models add" in empty
    assert "is-done" not in empty
    assert "There is no model yet" in get(sqlite_site, "/jobs/new")
    add_version(sqlite_site.catalog)
    assert get(sqlite_site, "/").count("is-done") == 1


def test_assets_are_asked_for_anew_and_answered_briefly(sqlite_site: Installation) -> None:
    answer = sqlite_site.client.get("/assets/style.css")
    assert answer.headers["content-type"].startswith("text/css")
    again = sqlite_site.client.get(
        "/assets/style.css", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    for name in ("none.css", "..%2Ftemplates%2Fbase.html", "%2e%2e%2fassets.py"):
        assert sqlite_site.client.get(f"/assets/{name}").status_code == 404


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.25, "0.2 s"), (9.96, "10.0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"),
     (3600, "1 h"), (5400, "1 h 30 min"), (90000, "1 d 1 h"), (-1, "0.0 s")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_numbers() -> None:
    assert (percent(0.1234), percent(None), percent(1, 0)) == ("12.3 %", "–", "100 %")
    assert thousands(1234567) == "1\u202f234\u202f567"
    assert [size_text(n) for n in (0, 999, 1500, 7_600_000)] == ["0 B", "999 B", "1.5 kB", "7.6 MB"]
