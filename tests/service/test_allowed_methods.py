import pytest

from service.allowed_methods import AllowedMethods
from service.app import ROUTERS
from tests.support.installation import Installation

ALLOWED = AllowedMethods(module.router for module in ROUTERS)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/jobs", "GET, HEAD, POST"),
        ("/v1/jobs/job_1", "DELETE, GET, HEAD"),
        ("/v1/jobs/job_1:cancel", "POST"),
        ("/v1/connections/lab", "DELETE, GET, HEAD, PATCH"),
        ("/v1/connections/lab:test", "POST"),
        ("/healthz", "GET, HEAD"),
        ("/v1/nothing", None),
    ],
)
def test_methods_of_an_address(path: str, methods: str | None) -> None:
    assert ALLOWED.header(path) == methods


def test_the_header_of_a_405(sqlite_site: Installation) -> None:
    answer = sqlite_site.client.put("/v1/jobs/job_1:cancel")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["code"] == "method-not-allowed"


@pytest.mark.parametrize("number", ["1" * 5000, "9" * 30, "-1", "one", "1.0"])
def test_versions_that_no_model_has(sqlite_site: Installation, number: str) -> None:
    answer = sqlite_site.client.get(f"/v1/models/demo/versions/{number}")
    assert answer.status_code in (404, 422)
