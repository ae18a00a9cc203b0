import io
import json

import numpy as np
import pytest
from PIL import Image

from storage.catalog.annotations import list_annotations
from storage.catalog.evaluation_annotations import list_all_annotations
from tests.support.api import classes_json, index_png, post_annotations, post_set
from tests.support.images import png_bytes
from tests.support.installation import Installation

IMAGES = {
    "a.png": png_bytes(1, 2, 3),
    "b.jpg.png": png_bytes(2, 2, 3),
    "in/c.png": png_bytes(3, 2, 3),
}
GOOD = index_png([[0, 1, 2], [2, 255, 0]])


@pytest.fixture
def image_set(sqlite_site: Installation) -> str:
    return str(post_set(sqlite_site, IMAGES)["id"])


def stored(site: Installation, annotation_set: str) -> list[np.ndarray]:
    with site.catalog.read() as session:
        rows = list_all_annotations(session, annotation_set)
    return [np.asarray(Image.open(io.BytesIO(site.objects.get(r.object_key)))) for r in rows]


class TestUpload:
    @pytest.mark.parametrize("purpose", ["source", "validation", "evaluation", "initial"])
    def test_purposes(self, sqlite_site: Installation, image_set: str, purpose: str) -> None:
        answer = post_annotations(sqlite_site, image_set, {"a.png": GOOD}, purpose=purpose)
        assert answer.status_code == 201, answer.text
        report = answer.json()
        assert (report["purpose"], report["accepted"], report["rejected"]) == (purpose, 1, 0)
        assert [c["name"] for c in report["ontology"]["classes"]] == ["road", "sky", "car"]
        assert answer.headers["Location"] == f"/v1/annotation-sets/{report['id']}"
        read = sqlite_site.client.get(answer.headers["Location"]).json()
        assert read == {k: v for k, v in report.items() if k != "files"}
        with sqlite_site.catalog.read() as session:
            visible = list_annotations(session, report["id"])
        assert len(visible) == (0 if purpose == "evaluation" else 1)
        np.testing.assert_array_equal(
            stored(sqlite_site, report["id"])[0], [[0, 1, 2], [2, 255, 0]]
        )

    def test_one_bad_file_harms_one_file(self, sqlite_site: Installation, image_set: str) -> None:
        labels = {
            "a.png": GOOD,
            "c.png": GOOD,  # of in/c.png
            "b.jpg.png": index_png([[0, 1], [1, 0]]),
            "nobody.png": GOOD,
            "deep/a.png": GOOD,
        }
        report = post_annotations(sqlite_site, image_set, labels).json()
        assert (report["accepted"], report["rejected"]) == (2, 3)
        found = {f["file_name"]: f for f in report["files"]}
        assert found["c.png"]["external_id"] == "in/c.png"
        details = {name: f["problem"]["detail"] for name, f in found.items() if f["problem"]}
        assert details["b.jpg.png"].startswith("The label is 2×2 pixels, its image 3×2")
        assert details["nobody.png"].startswith("No image of the set is named 'nobody'")
        assert details["deep/a.png"] == "Another file of the zip labels the same image."

    @pytest.mark.parametrize(
        ("label", "words"),
        [
            (png_bytes(1, 2, 3), "colour"),
            (index_png([[0, 1, 3], [0, 0, 0]]), "3"),
            (b"", "empty"),
            (png_bytes(1, 2, 3)[:30], "damaged"),
        ],
    )
    def test_unusable_label(
        self, sqlite_site: Installation, image_set: str, label: bytes, words: str
    ) -> None:
        answer = post_annotations(sqlite_site, image_set, {"a.png": label})
        assert (answer.status_code, answer.json()["code"]) == (422, "no-usable-image")
        (error,) = answer.json()["errors"]
        assert error["pointer"] == "a.png"
        assert words in error["detail"]

    @pytest.mark.parametrize("said_by", ["field", "classes.json"])
    def test_stored_ignore_value(
        self, sqlite_site: Installation, image_set: str, said_by: str
    ) -> None:
        label = {"a.png": index_png([[0, 11, 2], [11, 1, 0]])}
        if said_by == "field":
            answer = post_annotations(sqlite_site, image_set, label, stored_ignore_value="11")
        else:
            classes = classes_json(stored_ignore_value=11)
            answer = post_annotations(sqlite_site, image_set, label, classes=classes)
        assert answer.status_code == 201, answer.text
        (found,) = stored(sqlite_site, answer.json()["id"])
        np.testing.assert_array_equal(found, [[0, 255, 2], [255, 1, 0]])

    @pytest.mark.parametrize(
        ("value", "word"), [("2", "is a class"), ("256", "0 to 255"), ("x", "0")]
    )
    def test_impossible_ignore_value(
        self, sqlite_site: Installation, image_set: str, value: str, word: str
    ) -> None:
        answer = post_annotations(
            sqlite_site, image_set, {"a.png": GOOD}, stored_ignore_value=value
        )
        assert answer.status_code == 422
        assert word in answer.json()["detail"]

    def test_over_255_classes(self, sqlite_site: Installation, image_set: str) -> None:
        classes = classes_json(tuple(f"c{i}" for i in range(256)))
        answer = post_annotations(sqlite_site, image_set, {"a.png": GOOD}, classes=classes)
        assert (answer.status_code, answer.json()["code"]) == (422, "classes-invalid")
        assert "at most 255" in answer.json()["detail"]

    def test_what_is_missing(self, sqlite_site: Installation, image_set: str) -> None:
        from tests.support.images import zip_bytes

        path = f"/v1/image-sets/{image_set}/annotations"
        archive = zip_bytes({"a.png": GOOD})
        no_classes = sqlite_site.client.post(
            path, files=[("file", ("l.zip", archive))], data={"purpose": "initial"}
        )
        assert "classes.json" in no_classes.json()["detail"]
        no_purpose = sqlite_site.client.post(path, files=[("file", ("l.zip", archive))])
        assert no_purpose.json()["errors"][0]["pointer"] == "/purpose"
        no_zip = sqlite_site.client.post(
            path, files=[("file", ("l.png", GOOD))], data={"purpose": "initial"}
        )
        assert (no_zip.status_code, no_zip.json()["code"]) == (422, "not-an-archive")
        assert post_annotations(sqlite_site, "set_unknown", {"a.png": GOOD}).status_code == 404

    def test_bad_classes_json(self, sqlite_site: Installation, image_set: str) -> None:
        answer = post_annotations(
            sqlite_site, image_set, {"a.png": GOOD}, classes=json.dumps([1]).encode()
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "classes-invalid")
