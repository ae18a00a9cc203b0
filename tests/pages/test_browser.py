"""The pages in a real browser: a whole job by clicks, the viewer, every page at every width."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.pages.conftest import ROOT, SCENE_HW, Shown, add_demo_model, scene_png
from tests.support.api import index_png, post_images
from tests.support.chromium import Tab, open_chromium, open_tab
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.keys import make_key
from tests.support.live_server import LiveServer, live_server

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
SCREENSHOTS = Path(os.environ.get("SELVAGE_SCREENSHOTS", ROOT / "build" / "screenshots"))
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as opened:
        yield opened


@pytest.fixture
def tab(browser: Browser, live: LiveServer) -> Iterator[Tab]:
    with open_tab(browser, live.url) as opened:
        yield opened


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with a page."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"][:3]
    ]


def addresses(shown: Shown) -> dict[str, str]:
    return {
        "home": "/",
        "jobs": "/jobs",
        "new-job": "/jobs/new",
        "job": f"/jobs/{shown.job}",
        "evaluation": f"/jobs/{shown.evaluation}",
        "label": f"/labels/{shown.label}?job={shown.job}&position={shown.position}",
        "review": f"/review?job={shown.job}",
        "campaigns": "/campaigns",
        "campaign": f"/campaigns/{shown.campaign}",
        "models": "/models",
        "model": "/models/tiny",
        "version": "/models/tiny/4",
    }


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_at_every_width(
    browser: Browser, live: LiveServer, shown: Shown, width: int, scheme: Any
) -> None:
    """No complaint of the browser or of axe-core, nothing wider than the window; a screenshot."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    viewport = {"width": width, "height": 844}
    with open_tab(browser, live.url, viewport=viewport, color_scheme=scheme,
                  reduced_motion="reduce") as tab:  # fmt: skip
        for name, path in addresses(shown).items():
            tab.go(path)
            if name in ("label", "review"):
                expect(tab.page.locator("#canvas")).to_have_attribute("data-drawn", "5 classes")
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert tab.page.evaluate("window.pwned") is None, name
            tab.page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
            assert violations(tab.page) == [], name


def test_a_whole_job_by_clicks(browser: Browser, sqlite_site: Installation, scenes: Path) -> None:
    """From the start to a label: files chosen, progress seen live, failures with their reasons."""
    site = sqlite_site
    add_demo_model(site)
    broken = scenes / "broken.png"
    broken.write_bytes(scene_png(scenes, 6)[:3000])
    scene_png(scenes, 7)
    with live_server(site) as server, open_tab(browser, server.url) as tab:
        page = tab.page
        tab.go("/")
        page.get_by_role("link", name="Label images").click()
        page.get_by_label("Images, or a zip of them").set_input_files(
            [scenes / "scene7.png", broken]
        )
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/jobs/job_*")
        expect(page.locator("#live .badge")).to_have_text("queued")
        site.settle()
        expect(page.locator("#live .badge")).to_have_text("partial")  # without a click
        expect(page.locator(".failures")).to_contain_text("broken.png")
        page.get_by_role("link", name="scene7.png").click()
        expect(page.locator("#canvas")).to_have_attribute("data-drawn", "4 classes")
        expect(page.get_by_role("heading", level=1)).to_have_text("scene7.png")


def test_progress_without_events(
    browser: Browser, sqlite_site: Installation, tmp_path: Path
) -> None:
    """Some proxies hold events back; the page then asks again and again."""
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    job = post_images(sqlite_site, {"a.png": png_bytes(1)})["job"]["id"]
    with live_server(sqlite_site) as server, browser.new_context() as context:
        page = context.new_page()
        page.route("**/events", lambda route: route.abort())
        page.goto(f"{server.url}/jobs/{job}")
        expect(page.locator("#live .badge")).to_have_text("queued")
        sqlite_site.settle()
        expect(page.locator("#live .badge")).to_have_text("succeeded", timeout=20_000)
        expect(page.get_by_role("link", name="a.png")).to_be_visible()


class TestViewer:
    @pytest.fixture
    def opened(self, tab: Tab, shown: Shown) -> Page:
        tab.go(addresses(shown)["label"])
        expect(tab.page.locator("#canvas")).to_have_attribute("data-drawn", "5 classes")
        return tab.page

    def test_stages_by_keyboard(self, opened: Page) -> None:
        canvas = opened.locator("#canvas")
        opened.get_by_label("Stage", exact=True).focus()
        for stage in (4, 3, 2, 1):
            opened.keyboard.press("ArrowLeft")
            expect(canvas).to_have_attribute("data-drawn", f"{stage} classes")
        opened.keyboard.press("Home")
        expect(canvas).to_have_attribute("data-drawn", "0 image")
        expect(opened.get_by_role("button", name="Image")).to_have_attribute("aria-pressed", "true")

    def test_stages_differ_and_the_opacity_counts(self, opened: Page) -> None:
        pictures = []
        for name in ("Image", "Predicted", "Selected", "Corrected"):
            opened.get_by_role("button", name=name).click()
            expect(opened.get_by_role("button", name=name)).to_have_attribute(
                "aria-pressed", "true"
            )
            opened.wait_for_load_state("networkidle")
            opened.wait_for_timeout(100)
            pictures.append(opened.evaluate("document.getElementById('canvas').toDataURL()"))
        assert len(set(pictures)) == 4
        opened.get_by_label("Opacity").fill("0")
        opened.wait_for_timeout(100)
        assert opened.evaluate("document.getElementById('canvas').toDataURL()") == pictures[0]

    def test_what_stands_at_a_point_is_said_in_words(self, opened: Page) -> None:
        opened.locator("#canvas").focus()
        opened.keyboard.press("ArrowDown")
        reading = opened.locator("#reading")
        expect(reading).to_contain_text("% sure")
        expect(reading).to_contain_text("Corrected at 80, 68")
        box = opened.locator("#canvas").bounding_box()
        assert box is not None
        opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.9 * box["height"])
        expect(opened.locator("#tip")).to_contain_text("road")
        expect(opened.locator("#tip")).to_contain_text("region")

    def test_confidence_and_regions(self, opened: Page) -> None:
        opened.get_by_role("button", name="Confidence").click()
        expect(opened.locator("#canvas")).to_have_attribute("data-drawn", "5 heat")
        expect(opened.locator("#heat-scale")).to_be_visible()
        before = opened.evaluate("document.getElementById('canvas').toDataURL()")
        opened.get_by_role("button", name="Regions").click()
        opened.wait_for_load_state("networkidle")
        opened.wait_for_timeout(200)
        assert opened.evaluate("document.getElementById('canvas').toDataURL()") != before

    def test_the_legend_shows_one_class(self, opened: Page) -> None:
        before = opened.evaluate("document.getElementById('canvas').toDataURL()")
        opened.get_by_role("button", name="road").click()
        opened.wait_for_timeout(150)
        assert opened.evaluate("document.getElementById('canvas').toDataURL()") != before

    def test_the_next_label(self, opened: Page, shown: Shown) -> None:
        opened.keyboard.press("j")
        opened.wait_for_url("**position=1")
        expect(opened.get_by_role("heading", level=1)).to_have_text("night/2.png")


def test_a_review_by_keyboard(browser: Browser, sqlite_site: Installation, scenes: Path) -> None:
    """Accept, skip, reject: each decision is in the API, and the queue gets shorter."""
    site = sqlite_site
    add_demo_model(site)
    files = {f"{i}.png": scene_png(scenes, i) for i in (1, 2, 3)}
    job = post_images(site, files, model="demo")["job"]["id"]
    site.settle()
    queue = [one["external_id"] for one in site.client.get("/v1/review").json()["items"]]
    ids = {
        one["external_id"]: one["label"] for one in site.client.get("/v1/review").json()["items"]
    }
    with live_server(site) as server, open_tab(browser, server.url) as tab:
        page, heading = tab.page, tab.page.get_by_role("heading", level=1)
        tab.go(f"/review?job={job}")
        expect(heading).to_have_text(queue[0])
        page.keyboard.press("a")
        expect(heading).to_have_text(queue[1])
        expect(page.locator("#before")).to_have_text(f"Accepted just now: {queue[0]}")
        page.keyboard.press("s")
        expect(heading).to_have_text(queue[2])
        page.get_by_role("button", name="Reject").click()
        expect(page.get_by_role("heading", name="That was the last one")).to_be_visible()
        page.get_by_role("link", name="Begin again").click()
        expect(heading).to_have_text(queue[1])
        mask = scenes / "mask.png"
        mask.write_bytes(index_png(np.zeros(SCENE_HW)))
        page.get_by_text("Send a corrected mask").click()
        page.get_by_label("Index PNG").set_input_files(mask)
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("heading", name="Nothing waits for a look")).to_be_visible()
    decided = [
        site.client.get(f"/v1/labels/{ids[name]}/reviews").json()["reviews"][-1]["decision"]
        for name in queue
    ]
    assert decided == ["accepted", "corrected", "rejected"]


def test_a_click_before_the_script_runs(
    browser: Browser, sqlite_site: Installation, scenes: Path
) -> None:
    """A decision waits for the script that sends it, however late that comes."""
    site = sqlite_site
    add_demo_model(site)
    job = post_images(site, {"1.png": scene_png(scenes, 1)}, model="demo")["job"]["id"]
    site.settle()
    with live_server(site) as server, open_tab(browser, server.url) as tab:
        held: list[Route] = []
        tab.page.route("**/assets/review.js", lambda route: held.append(route))
        with tab.page.expect_request("**/assets/review.js"):
            tab.page.goto(f"{server.url}/review?job={job}", wait_until="commit")
        reject = tab.page.get_by_role("button", name="Reject")
        expect(reject).to_be_disabled()
        held.pop().continue_()
        reject.click()
        expect(tab.page.get_by_role("heading", name="Nothing waits for a look")).to_be_visible()


def test_signing_in(browser: Browser, sqlite_site: Installation) -> None:
    _, headers = make_key(sqlite_site.catalog, "read", name="a reader")
    key = headers["Authorization"].removeprefix("Bearer ")
    with (
        live_server(sqlite_site, require_keys="always") as server,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.goto(f"{server.url}/campaigns?after=")
        assert page.url.startswith(f"{server.url}/sign-in?next=")
        assert violations(page) == []
        page.get_by_label("API key").fill("sv_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not an API key")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/campaigns?after=")
        expect(page.get_by_text("Signed in as a reader")).to_be_visible()
        assert page.evaluate("document.cookie") == ""
        page.goto(f"{server.url}/jobs")
        assert page.get_by_role("link", name="Label images").count() == 0  # a key that reads
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
        page.goto(f"{server.url}/jobs")
        assert "/sign-in?next=" in page.url
