"""Every error is a problem document that names the request and says what to do."""

from pathlib import Path
from typing import Any

import pytest

from service.paging import encode_token
from tests.support.api import post_images, post_set
from tests.support.catalogs import new_sqlite_catalog
from tests.support.images import png_bytes
from tests.support.installation import Installation, installation

JOB = "/v1/jobs/job_00000000000000000000000000"


def assert_problem(answer: Any, status: int, code: str) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"/problems/{code}"
    assert document["request_id"].startswith("req_")
    assert document["instance"].startswith("/")
    assert len(document["detail"]) > 10
    return document


class TestProblems:
    @pytest.mark.parametrize(
        "path",
        [
            JOB, f"{JOB}/items", f"{JOB}/results", "/v1/image-sets/set_x", "/v1/models/nobody",
            "/v1/image-sets/set_x/images", "/v1/annotation-sets/ann_x", "/v1/labels/lab_x",
            "/v1/labels/lab_x/artifacts/label.png", f"/v1/images/{'0' * 64}", "/v1/nothing",
            "/v1/models/nobody/versions", "/v1/models/nobody/versions/1", "/v1/images/../secret",
            "/nothing",
        ],
    )  # fmt: skip
    def test_not_found(self, sqlite_site: Installation, path: str) -> None:
        answer = sqlite_site.client.get(path)
        document = assert_problem(answer, 404, "not-found")
        assert answer.headers["X-Request-Id"] == document["request_id"]

    @pytest.mark.parametrize("path", [f"{JOB}:cancel", f"{JOB}:retry",
                                      "/v1/models/nobody/versions/1:promote"])  # fmt: skip
    def test_not_found_by_post(self, sqlite_site: Installation, path: str) -> None:
        assert_problem(sqlite_site.client.post(path), 404, "not-found")

    @pytest.mark.parametrize(
        "path",
        ["/v1/jobs/%00", "/v1/models/%00", "/v1/labels/a%00b", "/v1/images/%00",
         "/v1/image-sets/%00", "/v1/annotation-sets/%00"],
    )  # fmt: skip
    def test_zero_bytes_in_a_path(self, site: Installation, path: str) -> None:
        assert_problem(site.client.get(path), 404, "not-found")

    def test_zero_bytes_in_fields(self, both_site: Installation) -> None:
        files = [("files", ("a.png", png_bytes(1)))]
        for data in (
            {"model": "tiny", "name": "a\x00b"},
            {"model": "ti\x00ny"},
        ):
            answer = both_site.client.post("/v1/pseudo-labels", files=files, data=data)
            assert_problem(answer, 422, "validation-error")

    def test_wrong_method(self, sqlite_site: Installation) -> None:
        assert_problem(sqlite_site.client.delete("/v1/jobs"), 405, "method-not-allowed")

    def test_bodies_that_are_no_json_or_no_form(self, sqlite_site: Installation) -> None:
        client = sqlite_site.client
        json_type = {"Content-Type": "application/json"}
        assert_problem(
            client.post("/v1/jobs", content=b"{", headers=json_type), 422, "validation-error"
        )
        for path in ("/v1/pseudo-labels", "/v1/image-sets"):
            assert_problem(client.post(path, json={}), 422, "validation-error")
            form = {"Content-Type": "multipart/form-data"}
            answer = client.post(path, content=b"no boundary", headers=form)
            assert_problem(answer, 400, "bad-request")

    @pytest.mark.parametrize(
        ("data", "pointer"),
        [
            ({}, "/model"),
            ({"model": "tiny", "modle": "x"}, "/modle"),
            ({"model": "tiny", "pipeline": "{"}, "/pipeline"),
            ({"model": "tiny", "metadata": '{"a": 1}'}, "/generate/metadata/a"),
            ({"model": "tiny", "priority": "high"}, "/priority"),
        ],
    )
    def test_wrong_fields(
        self, tiny_site: Installation, data: dict[str, Any], pointer: str
    ) -> None:
        files = [("files", ("a.png", png_bytes(1)))]
        answer = tiny_site.client.post("/v1/pseudo-labels", files=files, data=data)
        document = assert_problem(answer, 422, "validation-error")
        assert document["errors"][0]["pointer"].endswith(pointer.rsplit("/", 1)[-1])

    def test_wrong_part_name(self, tiny_site: Installation) -> None:
        answer = tiny_site.client.post(
            "/v1/pseudo-labels", files=[("file", ("a.png", png_bytes(1)))], data={"model": "tiny"}
        )
        document = assert_problem(answer, 422, "validation-error")
        assert document["detail"].startswith("Unexpected part 'file'. Files go in 'files'")

    def test_no_file(self, tiny_site: Installation) -> None:
        answer = tiny_site.client.post("/v1/pseudo-labels", files=[("model", (None, b"tiny"))])
        assert_problem(answer, 422, "validation-error")

    def test_failure_of_our_own(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("service.rendering.job", lambda *_: 1 / 0)
        job_id = post_set(tiny_site, {"a.png": png_bytes(1)})["id"]
        body = {"type": "generate", "image_set": job_id, "model": "tiny"}
        answer = tiny_site.client.post("/v1/jobs", json=body)
        document = assert_problem(answer, 500, "internal")
        assert "ZeroDivision" not in answer.text
        assert "request id" in document["detail"]

    def test_body_that_is_too_large(self, tmp_path: Path) -> None:
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        with installation(url, tmp_path / "data", max_upload_bytes=5000) as site:
            files = [("files", ("a.bin", b"x" * 6000))]
            answer = site.client.post("/v1/image-sets", files=files)
            document = assert_problem(answer, 413, "payload-too-large")
            assert "SELVAGE_MAX_UPLOAD_BYTES" in document["detail"]
            pieces = (b"x" * 1000 for _ in range(6))  # sent without a length
            form = {"Content-Type": "multipart/form-data; boundary=b"}
            for path in ("/v1/image-sets", "/v1/jobs"):
                answer = site.client.post(path, content=pieces, headers=form)
                assert_problem(answer, 413, "payload-too-large")
                pieces = (b"x" * 1000 for _ in range(6))
            small = [("files", ("a.png", png_bytes(1)))]
            assert site.client.post("/v1/image-sets", files=small).status_code == 201


class TestPageTokens:
    @pytest.mark.parametrize(
        "token", ["!", "a", "_w", "€", "-" * 7, encode_token("x\x00y"), encode_token("\x00")]
    )
    @pytest.mark.parametrize("path", ["/v1/jobs", "/v1/image-sets", "/v1/models"])
    def test_junk(self, site: Installation, path: str, token: str) -> None:
        answer = site.client.get(path, params={"page_token": token})
        assert_problem(answer, 422, "validation-error")

    def test_junk_positions(self, tiny_site: Installation) -> None:
        created = post_images(tiny_site, {"a.png": png_bytes(1)})
        for path in (created["job"]["links"]["items"], created["image_set"]["links"]["images"]):
            for token in (encode_token("-5"), encode_token("x"), encode_token("9" * 19), "!!"):
                answer = tiny_site.client.get(path, params={"page_token": token})
                assert_problem(answer, 422, "validation-error")

    @pytest.mark.parametrize("size", [0, 1001, "many"])
    def test_page_size(self, sqlite_site: Installation, size: Any) -> None:
        answer = sqlite_site.client.get("/v1/jobs", params={"page_size": size})
        document = assert_problem(answer, 422, "validation-error")
        assert document["errors"][0]["pointer"] == "/query/page_size"
