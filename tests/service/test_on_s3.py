"""What the service is for, with its objects on S3 over HTTP, in memory and in a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.objects import image_key
from tests.support.api import (
    classes_json,
    get_items,
    get_job,
    get_png,
    index_png,
    label_bytes,
    post_annotations,
    post_images,
    post_set,
    start_job,
)
from tests.support.catalogs import new_sqlite_catalog
from tests.support.images import jpeg_bytes, png_bytes, zip_bytes
from tests.support.installation import Installation, installation
from tests.support.s3 import S3Server
from tests.support.tiny_model import write_tiny_bundle
from tests.support.uploads import upload

IMAGES = {f"{n}.png": png_bytes(n) for n in range(4)} | {"x.jpg": jpeg_bytes(9)}
KEEP_HALF = {"select": {"keep_fraction": 0.5}, "pilot_images": 4}


@pytest.fixture(params=["folder", "memory", "s3"])
def site(
    request: pytest.FixtureRequest, catalog_url: str, tmp_path: Path
) -> Iterator[Installation]:
    """An installation with the model `tiny`, on every pair of catalog and store."""
    changes: dict[str, Any] = {}
    if request.param == "memory":
        changes["objects_url"] = "memory://"
    elif request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        changes = server.settings(server.new_bucket())
    with installation(catalog_url, tmp_path / "data", **changes) as opened:
        opened.add_tiny_model(tmp_path / "tiny")
        yield opened


class TestJobs:
    def test_labels_of_all_images(self, site: Installation) -> None:
        """Pilot, thresholds and pass 1: images, fits and labels go through the store."""
        created = post_images(site, {"all.zip": zip_bytes(IMAGES)}, pipeline=KEEP_HALF)
        site.settle()
        job = get_job(site, created["job"]["id"])
        assert (job["status"], job["counts"]["succeeded"]) == ("succeeded", 5)
        for label, confidence in label_bytes(site, job["id"]).values():
            assert label.startswith(b"\x89PNG")
            assert confidence.startswith(b"\x89PNG")
        kinds = {facts.key.split("/")[1] for facts in site.objects.list("fits")}
        assert kinds == {"pilot"}

    def test_an_image_that_is_gone_harms_itself_alone(self, site: Installation) -> None:
        created = post_set(site, IMAGES)
        entries = site.client.get(f"/v1/image-sets/{created['id']}/images").json()["images"]
        site.objects.delete([image_key(entries[0]["image_digest"])])
        job = start_job(site, type="generate", image_set=created["id"], model="tiny")
        site.settle()
        job = get_job(site, job["id"])
        assert (job["status"], job["counts"]["failed"]) == ("partial", 1)

    def test_evaluation(self, site: Installation) -> None:
        created = post_images(site, IMAGES)
        site.settle()
        items = get_items(site, created["job"]["id"])
        truths = {name: index_png(get_png(site, i["label_id"])) for name, i in items.items()}
        annotations = post_annotations(
            site, created["image_set"]["id"], truths, classes=classes_json()
        ).json()["id"]
        job = start_job(site, type="evaluate", annotation_set=annotations, model="tiny")
        site.settle()
        job = get_job(site, job["id"])
        assert job["status"] == "succeeded"
        assert job["result"]["quality"]["accuracy_kept"] == 1.0

    def test_adaptation_makes_a_model_that_labels(self, site: Installation) -> None:
        image_set = post_set(site, IMAGES)["id"]
        job = start_job(site, type="adapt", image_set=image_set, model="tiny", promote=False)
        site.settle()
        job = get_job(site, job["id"])
        assert job["status"] == "succeeded"
        model = job["result"]["model"]
        labelled = start_job(site, type="generate", image_set=image_set, model=model)
        site.settle()
        assert get_job(site, labelled["id"])["status"] == "succeeded"

    def test_an_uploaded_archive_is_taken_in_and_labelled(self, site: Installation) -> None:
        """On S3 the client sends the parts to the store, past the API."""
        archive = upload(site, zip_bytes(IMAGES), "images.zip")
        source = {"type": "upload", "upload": archive}
        answer = site.client.post("/v1/image-sets", json={"source": source})
        assert answer.status_code == 202, answer.text
        image_set = answer.json()["image_set"]["id"]
        site.settle()
        job = start_job(site, type="generate", image_set=image_set, model="tiny")
        site.settle()
        job = get_job(site, job["id"])
        assert (job["status"], job["counts"]["succeeded"]) == ("succeeded", 5)

    def test_an_uploaded_model_labels(self, site: Installation, tmp_path: Path) -> None:
        folder = write_tiny_bundle(tmp_path / "other", seed=1)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        answer = site.client.post(
            "/v1/models/other/versions", files=[("file", ("model.zip", zip_bytes(files)))]
        )
        assert answer.status_code == 202, answer.text
        site.settle()
        job = post_images(site, IMAGES, model="other")["job"]
        site.settle()
        assert get_job(site, job["id"])["status"] == "succeeded"


def test_the_bytes_of_a_label_do_not_depend_on_the_store(
    s3_server: S3Server, tmp_path: Path
) -> None:
    found = []
    for name, changes in (
        ("folder", {}),
        ("s3", s3_server.settings(s3_server.new_bucket())),
        ("s3-at-root", s3_server.settings(bucket := s3_server.new_bucket()) | {
            "objects_url": f"s3://{bucket}"
        }),
    ):  # fmt: skip
        url = new_sqlite_catalog(tmp_path / f"{name}.sqlite3")
        with installation(url, tmp_path / name, **changes) as site:
            site.add_tiny_model(tmp_path / "tiny")
            job = post_images(site, IMAGES, pipeline=KEEP_HALF)["job"]
            site.settle()
            found.append(label_bytes(site, job["id"]))
    assert len(found[0]) == 5
    assert found[0] == found[1] == found[2]
