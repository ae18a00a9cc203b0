"""kill -9 of the light worker while it fetches images: none is lost, none is there twice."""

import time

import pytest

from tests.faults.running import Running, wait_until
from tests.support.http_server import Handler, serve
from tests.support.images import png_bytes

IMAGES = 120
PAGE_SECONDS = 0.2


def slow_page(data: bytes):
    def page(handler: Handler) -> None:
        time.sleep(PAGE_SECONDS)
        handler.answer(200, data)

    return page


@pytest.mark.parametrize("marker", ["workers.light_child", "--queue light"])
def test_kill_9_of_a_light_worker(running: Running, marker: str) -> None:
    pages = {f"/{i:03d}.png": slow_page(png_bytes(i)) for i in range(IMAGES)}
    with serve(pages) as web:
        source = {"type": "urls", "urls": [web.url + path for path in pages]}
        asked = running.call("POST", "/v1/image-sets", json={"source": source}).json()
        job_id, set_id = asked["job"]["id"], asked["image_set"]["id"]
        wait_until(lambda: running.job(job_id)["counts"]["succeeded"], 60, "a first batch")
        running.kill(marker)
        assert not running.job(job_id)["done"], "the job was over before the fault"
        job = running.wait_done(job_id)
    assert (job["status"], job["counts"]["succeeded"], job["counts"]["total"]) == (
        "succeeded",
        IMAGES,
        IMAGES,
    )
    listed = running.call("GET", f"/v1/image-sets/{set_id}/images?page_size=1000").json()["images"]
    assert [entry["external_id"] for entry in listed] == [path[1:] for path in pages]
    assert {entry["status"] for entry in listed} == {"accepted"}
    assert running.call("GET", f"/v1/image-sets/{set_id}").json()["status"] == "ready"
