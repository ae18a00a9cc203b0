"""`filter` and `order_by` of lists, through the data base."""

from itertools import product
from typing import Any

import pytest
from sqlalchemy import update

from storage.catalog.tables import JobRow
from tests.support.api import get_items, post_images, post_set, start_job
from tests.support.images import png_bytes
from tests.support.installation import Installation

IMAGES = {f"{i}.png": png_bytes(i) for i in range(2)}


@pytest.fixture
def jobs(both_site: Installation) -> list[dict[str, Any]]:
    """Five jobs: 0 and 1 are done, 2 is cancelled, 3 and 4 wait."""
    site = both_site
    sets = [post_set(site, IMAGES)["id"] for _ in range(2)]
    made = []
    for i in range(5):
        body: dict[str, Any] = {
            "type": "adapt" if i == 4 else "generate",
            "image_set": sets[i % 2],
            "model": "tiny",
            "priority": (0, 5, 5, -1, 0)[i],
            "metadata": [{"ticket": "ML-1"}, {"ticket": "ML-2", "my key": "ü 'x'"}, {}, {}, {}][i],
        }
        if i == 3:
            body["schedule_at"] = "2030-01-01T00:00:00Z"
        made.append(start_job(site, **body))
        if i == 1:
            site.settle()
        if i == 2:
            site.client.post(f"/v1/jobs/{made[2]['id']}:cancel")
    with site.catalog.write() as session:
        for i, job in enumerate(made):
            session.execute(
                update(JobRow).where(JobRow.id == job["id"]).values(created_at=1_800_000_000.0 + i)
            )
    return made


def found(site: Installation, jobs: list[dict[str, Any]], **params: Any) -> list[int]:
    """Numbers of the jobs of a list, page by page."""
    numbers = {job["id"]: i for i, job in enumerate(jobs)}
    seen: list[int] = []
    token = None
    while True:
        more: dict[str, str] = {"page_token": token} if token else {}
        answer = site.client.get("/v1/jobs", params={"page_size": 2, **params, **more})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen += [numbers[job["id"]] for job in page["jobs"]]
        token = page["next_page_token"]
        if token is None:
            return seen


def test_filters_and_orders(both_site: Installation, jobs: list[dict[str, Any]]) -> None:
    site = both_site
    image_set = jobs[1]["image_set"]
    for text, expected in {
        "status=succeeded": [1, 0],
        "status!=succeeded": [4, 3, 2],
        "status=queued AND type=generate": [3],
        "type=adapt": [4],
        "metadata.ticket=ML-1": [0],
        "metadata.ticket!=ML-1": [4, 3, 2, 1],
        'metadata."my key"="ü \'x\'"': [1],
        "metadata.nothing=x": [],
        f"image_set={image_set}": [3, 1],
        'image_set="\' OR 1=1 --"': [],
        "model=tiny": [4, 3, 2, 1, 0],
        "model=tiny:1 AND priority=5": [2, 1],
        "model!=tiny:1": [],
        "model=tiny:2": [],
        "model=tiny:x": [],
        "model!=tiny:99999999999": [4, 3, 2, 1, 0],
        "priority>0": [2, 1],
        "priority<=-1": [3],
        "created_by=local": [4, 3, 2, 1, 0],
        "created_by!=local": [],
        "created_at>2027-01-15T08:00:02Z": [4, 3],
        "created_at>=2027-01-15T09:00:02+01:00 AND created_at<2027-01-15T08:00:04Z": [3, 2],
        "finished_at>2020-01-01T00:00:00Z": [2, 1, 0],
        "schedule=sch_x": [],
        "error=deadline-exceeded": [],
        "error!=deadline-exceeded AND priority=5": [2, 1],
    }.items():
        assert found(site, jobs, filter=text) == expected, text
    for order, expected in {
        "created_at": [0, 1, 2, 3, 4],
        "created_at desc": [4, 3, 2, 1, 0],
        "priority desc": [2, 1, 4, 0, 3],
        "priority": [3, 0, 4, 1, 2],
        "finished_at": [1, 0, 2, 3, 4],  # those without an end come last, both ways
        "finished_at desc": [2, 0, 1, 4, 3],
    }.items():
        by_id = sorted(range(5), key=lambda i: jobs[i]["id"])
        assert by_id == [0, 1, 2, 3, 4]
        for size in (1, 2, 5):
            assert found(site, jobs, order_by=order, page_size=size) == expected, order
    assert found(site, jobs, filter="priority>=0", order_by="priority", status="queued") == [4]


def test_equal_values_are_neither_lost_nor_repeated(
    both_site: Installation, jobs: list[dict[str, Any]]
) -> None:
    with both_site.catalog.write() as session:
        session.execute(update(JobRow).values(priority=0, created_at=0.1 + 0.2, finished_at=None))
    for field, direction in product(("priority", "created_at", "finished_at"), ("asc", "desc")):
        order = f"{field} {direction}"
        seen = found(both_site, jobs, order_by=order, page_size=1)
        assert seen == ([0, 1, 2, 3, 4] if direction == "asc" else [4, 3, 2, 1, 0])


def test_a_token_is_good_for_its_list_alone(
    both_site: Installation, jobs: list[dict[str, Any]]
) -> None:
    site = both_site
    lists: list[dict[str, Any]] = [
        {},
        {"filter": "type=generate"},
        {"type": "generate"},
        {"order_by": "priority"},
        {"order_by": "priority desc"},
        {"filter": "type!=adapt", "order_by": "priority"},
    ]
    tokens = [
        site.client.get("/v1/jobs", params={"page_size": 1, **params}).json()["next_page_token"]
        for params in lists
    ]
    for (i, params), (j, token) in product(enumerate(lists), enumerate(tokens)):
        answer = site.client.get("/v1/jobs", params={**params, "page_token": token})
        same = i == j or {i, j} == {1, 2}  # two ways to write one list
        assert answer.status_code == (200 if same else 422), (params, lists[j])
    first = site.client.get("/v1/jobs", params={"page_size": 1}).json()["next_page_token"]
    for bad in (first[:-4], first + "A", "bnVsbA", "WzEsMiwzXQ", "W10", "e30", "%00", "W1tdXQ"):
        answer = site.client.get("/v1/jobs", params={"page_token": bad})
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error"), bad


def test_items_and_entries(both_site: Installation) -> None:
    site = both_site
    made = post_images(site, {**IMAGES, "bad.png": b"", "note.txt": b"hello"})
    job_id, image_set = made["job"]["id"], made["image_set"]["id"]
    site.settle()
    quality = sorted(i["quality"] for i in get_items(site, job_id).values() if i["quality"])
    between = sum(quality) / 2

    def names(path: str, key: str, text: str) -> list[str]:
        answer = site.client.get(path, params={"filter": text})
        assert answer.status_code == 200, answer.text
        return [entry["external_id"] for entry in answer.json()[key]]

    for text, expected in {
        "status=skipped": ["bad.png", "note.txt"],
        "status=skipped AND error=empty-file": ["bad.png"],
        "error!=empty-file AND status=skipped": ["note.txt"],
        "status=succeeded AND attempts>=1": ["0.png", "1.png"],
        "attempts=0": ["bad.png", "note.txt"],
        "external_id=1.png": ["1.png"],
    }.items():
        assert names(f"/v1/jobs/{job_id}/items", "items", text) == expected, text
    assert len(names(f"/v1/jobs/{job_id}/items", "items", f"quality<{between}")) == 1
    for text, expected in {
        "status=rejected": ["bad.png", "note.txt"],
        "problem=empty-file": ["bad.png"],
        "file_name=0.png": ["0.png"],
    }.items():
        path = f"/v1/image-sets/{image_set}/images"
        assert names(path, "images", text) == expected, text


@pytest.mark.parametrize(
    ("path", "params", "pointer"),
    [
        ("/v1/jobs", {"filter": "status=asleep"}, "/filter"),
        ("/v1/jobs", {"filter": "status = running OR status=failed"}, "/filter"),
        ("/v1/jobs", {"filter": "metadata.a=b\x01"}, "/filter"),
        ("/v1/jobs", {"filter": "priority=99999999999999999999"}, "/filter"),
        ("/v1/jobs", {"filter": "x" * 1001}, "/query/filter"),
        ("/v1/jobs", {"order_by": "id; drop table job"}, "/order_by"),
        ("/v1/jobs", {"order_by": "x" * 100}, "/query/order_by"),
        ("/v1/jobs/{job}/items", {"filter": "priority=1"}, "/filter"),
        ("/v1/image-sets/{set}/images", {"filter": "(status=accepted)"}, "/filter"),
    ],
)
def test_refused(tiny_site: Installation, path: str, params: dict[str, str], pointer: str) -> None:
    made = post_images(tiny_site, IMAGES)
    path = path.replace("{job}", made["job"]["id"]).replace("{set}", made["image_set"]["id"])
    answer = tiny_site.client.get(path, params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
    assert answer.json()["errors"][0]["pointer"] == pointer
