"""What a request is called, and what its line in the log says."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.api import multipart
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.rows import add_job

INSANE = (
    "", " ", "a b", "x" * 129, "-a", "a-", "a\tb", "a;b", 'a"b', "<script>", "a/b", "${jndi:x}",
)  # fmt: skip


def lines_of(site: Installation, method: str, path: str, **options: Any) -> list[dict[str, Any]]:
    with capture_logs() as lines:
        site.client.request(method, path, **options)
    return [dict(line) for line in lines]


class TestRequestId:
    @pytest.mark.parametrize(
        "given", ["r", "req-1", "01J9Z3N6V1QG8T2B4C5D6E7F8G", "a.b_c-D9", "x" * 128]
    )
    def test_a_sane_one_is_kept(self, sqlite_site: Installation, given: str) -> None:
        answer = sqlite_site.client.get("/v1/jobs/job_none", headers={"X-Request-Id": given})
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == given

    @pytest.mark.parametrize("given", INSANE)
    def test_any_other_is_not(self, sqlite_site: Installation, given: str) -> None:
        answer = sqlite_site.client.get("/v1/jobs/job_none", headers={"X-Request-Id": given})
        assert answer.headers["x-request-id"].startswith("req_")

    def test_two_are_none(self, sqlite_site: Installation) -> None:
        twice = [("X-Request-Id", "one"), ("X-Request-Id", "two")]
        answer = sqlite_site.client.get("/healthz", headers=twice)
        assert answer.headers["x-request-id"].startswith("req_")


class TestLine:
    def test_names_the_job(self, tiny_site: Installation) -> None:
        job_id = add_job(tiny_site.catalog, 1)
        (line,) = lines_of(tiny_site, "GET", f"/v1/jobs/{job_id}")
        assert (line["job"], line["status"], line["method"]) == (job_id, 200, "GET")
        lines = lines_of(
            tiny_site, "POST", "/v1/pseudo-labels",
            files=multipart({"a.png": png_bytes()}), data={"model": "tiny"},
        )  # fmt: skip
        assert lines[-1]["event"] == "request"
        assert lines[-1]["job"].startswith("job_")

    def test_hostile_paths_are_no_job(self, sqlite_site: Installation) -> None:
        (line,) = lines_of(sqlite_site, "GET", "/v1/jobs/job_%0Aforged")
        assert "job" not in line
        assert "\n" not in line["path"]

    def test_no_key_in_any_line(self, sqlite_site: Installation) -> None:
        secret = "sv_0123456789abcdefghijABCDEFGHIJ"
        for headers in ({"Authorization": f"Bearer {secret}"}, {"Cookie": f"key={secret}"}):
            lines = lines_of(sqlite_site, "GET", "/v1/jobs", headers=headers)
            assert lines
            assert secret not in str(lines)

    def test_an_error_of_ours_has_its_line(
        self, sqlite_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("storage.catalog.jobs.list_jobs", fail)
        lines = lines_of(sqlite_site, "GET", "/v1/jobs")
        assert [line["event"] for line in lines] == ["unexpected error", "request"]
        assert lines[1]["status"] == 500
