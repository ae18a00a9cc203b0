"""A large job with some bad files: all others are labelled, and each bad one has its reason."""

from collections import Counter

import pytest
from sqlalchemy import update

from storage.catalog.engine import db_now
from storage.catalog.tables import WorkerRow
from tests.support.api import get_job, nonzero, post_images
from tests.support.images import png_bytes, zip_bytes
from tests.support.installation import Installation


def run(site: Installation, images: int) -> None:
    """`images` files, of which one in a hundred is bad: half by their header, half by pixels."""
    files = {}
    for i in range(images):
        data = png_bytes(i)
        if i % 200 == 7:
            data = data[: len(data) // 2]  # its header is fine
        elif i % 200 == 107:
            data = b"not an image"
        files[f"{i:05}.png"] = data
    job_id = post_images(site, {"all.zip": zip_bytes(files)}, pipeline={"seed": 1})["job"]["id"]
    while not (job := get_job(site, job_id))["done"]:
        with site.catalog.write() as session:  # the heartbeat: it takes longer than silence may
            session.execute(update(WorkerRow).values(seen_at=db_now()))
        site.settle(max_turns=images)
    bad = images // 200
    assert job["status"] == "partial"
    assert nonzero(job["counts"]) == {
        "total": images, "succeeded": images - 2 * bad, "failed": bad, "skipped": bad,
    }  # fmt: skip
    reasons: Counter[str] = Counter()
    token, unlabelled = None, 0
    for status in ("failed", "skipped", "succeeded"):
        while True:
            params = {
                "status": status,
                "page_size": 1000,
                **({"page_token": token} if token else {}),
            }
            page = site.client.get(f"/v1/jobs/{job_id}/items", params=params).json()
            for item in page["items"]:
                if status == "succeeded":
                    unlabelled += item["label_id"] is None
                else:
                    assert len(item["error"]["detail"]) > 20
                    reasons[item["error"]["code"]] += 1
            if (token := page["next_page_token"]) is None:
                break
    assert unlabelled == 0
    assert sum(reasons.values()) == 2 * bad
    assert reasons == {"image-undecodable": bad, "not-an-image": bad}


def test_four_hundred(both_site: Installation) -> None:
    run(both_site, 400)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand(both_site: Installation) -> None:
    run(both_site, 10_000)
