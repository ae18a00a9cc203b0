from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import NotFound, ValidationProblem
from domain import pipelines
from tests.support.installation import Installation

STRICT = {"select": {"keep_fraction": 0.5}}
LOOSE = {"select": {"keep_fraction": 0.9}}


def post(site: Installation, name: str, config: dict[str, Any], **more: Any) -> Any:
    body = {"name": name, "config": config, **more.pop("fields", {})}
    return site.client.post("/v1/pipelines", json=body, **more)


class TestCreate:
    def test_versions_count_up_and_never_change(self, site: Installation) -> None:
        first = post(site, "night", STRICT, fields={"description": "strict"})
        second = post(site, "night", LOOSE)
        third = post(site, "night", STRICT)
        assert [a.status_code for a in (first, second, third)] == [201, 201, 201]
        assert [a.json()["reference"] for a in (first, second, third)] == [
            "night@1", "night@2", "night@3",
        ]  # fmt: skip
        assert first.json()["digest"] == third.json()["digest"]
        assert first.json()["digest"] == PipelineConfig.model_validate(STRICT).digest
        assert first.json()["created_by"] == "local"
        assert first.headers["location"] == "/v1/pipelines/night/versions/1"
        assert site.client.get(first.headers["location"]).json() == first.json()
        assert site.client.get("/v1/pipelines/night").json() == third.json()

    def test_the_latest_configuration_again_is_the_same_version(self, site: Installation) -> None:
        first = post(site, "night", STRICT, fields={"description": "mine"})
        again = post(site, "night", {**STRICT, "seed": 0}, fields={"description": "yours"})
        assert (again.status_code, again.json()) == (200, first.json())
        assert again.headers["location"] == first.headers["location"]

    def test_many_at_once_make_one_version(self, site: Installation) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: post(site, "night", STRICT), range(8)))
        assert sorted(a.status_code for a in answers) == [200] * 7 + [201]
        assert {a.json()["version"] for a in answers} == {1}

    def test_many_different_at_once_get_numbers_of_their_own(self, site: Installation) -> None:
        def create(seed: int) -> Any:
            return post(site, "night", {"seed": seed})

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(create, range(8)))
        assert [a.status_code for a in answers] == [201] * 8
        assert sorted(a.json()["version"] for a in answers) == list(range(1, 9))
        for seed, answer in enumerate(answers):
            version = answer.json()["version"]
            stored = site.client.get(f"/v1/pipelines/night/versions/{version}").json()
            assert stored["config"]["seed"] == seed

    def test_idempotency(self, sqlite_site: Installation) -> None:
        headers = {"Idempotency-Key": "one"}
        first = post(sqlite_site, "night", STRICT, headers=headers)
        post(sqlite_site, "night", LOOSE)
        again = post(sqlite_site, "night", STRICT, headers=headers)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["idempotency-replayed"] == "true"
        other = post(sqlite_site, "night", LOOSE, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "Night", "config": {}},
            {"name": "a" * 64, "config": {}},
            {"name": "night@1", "config": {}},
            {"name": "../night", "config": {}},
            {"name": "night\n", "config": {}},
            {"name": "", "config": {}},
            {"name": "night"},
            {"name": "night", "config": {"stride": 2}},
            {"name": "night", "config": {"rectify": {"mode": "fast"}}},
            {"name": "night", "config": {"select": {"keep_fraction": 0}}},
            {"name": "night", "config": [], "extra": 1},
            {"name": "night", "config": {}, "description": "x" * 2001},
            {"name": "night", "config": {}, "version": 7},
        ],
    )
    def test_bad_bodies(self, sqlite_site: Installation, body: dict[str, Any]) -> None:
        answer = sqlite_site.client.post("/v1/pipelines", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")


class TestRead:
    def test_pages(self, site: Installation) -> None:
        for name in ("c", "a", "b"):
            post(site, name, STRICT)
        post(site, "a", LOOSE)
        first = site.client.get("/v1/pipelines", params={"page_size": 2}).json()
        token = first["next_page_token"]
        second = site.client.get("/v1/pipelines", params={"page_token": token}).json()
        references = [p["reference"] for p in first["pipelines"] + second["pipelines"]]
        assert references == ["a@2", "b@1", "c@1"]
        assert second["next_page_token"] is None

        url = "/v1/pipelines/a/versions"
        first = site.client.get(url, params={"page_size": 1}).json()
        token = first["next_page_token"]
        second = site.client.get(url, params={"page_size": 1, "page_token": token}).json()
        assert [v["version"] for v in first["versions"] + second["versions"]] == [1, 2]
        assert second["next_page_token"] is None

    @pytest.mark.parametrize(
        ("path", "hint"),
        [
            ("/v1/pipelines/other", "Named pipelines: night."),
            ("/v1/pipelines/other/versions", "POST /v1/pipelines"),
            ("/v1/pipelines/night/versions/2", "/v1/pipelines/night/versions"),
            ("/v1/pipelines/other/versions/1", "Named pipelines: night."),
        ],
    )
    def test_unknown(self, sqlite_site: Installation, path: str, hint: str) -> None:
        post(sqlite_site, "night", STRICT)
        answer = sqlite_site.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert hint in answer.json()["detail"]


class TestResolve:
    def test_name_and_version(self, site: Installation) -> None:
        post(site, "night", STRICT)
        post(site, "night", LOOSE)
        with site.catalog.read() as session:
            latest, reference = pipelines.resolve(session, "night")
            first, first_reference = pipelines.resolve(session, "night@1")
        assert (latest, reference) == (PipelineConfig.model_validate(LOOSE), "night@2")
        assert (first, first_reference) == (PipelineConfig.model_validate(STRICT), "night@1")

    @pytest.mark.parametrize("ref", ["", "Night", "night@", "night@0", "night@x", "night@1\n"])
    def test_no_reference(self, sqlite_site: Installation, ref: str) -> None:
        with sqlite_site.catalog.read() as session, pytest.raises(ValidationProblem) as raised:
            pipelines.resolve(session, ref)
        assert "name@version" in raised.value.detail

    def test_unknown(self, sqlite_site: Installation) -> None:
        with sqlite_site.catalog.read() as session, pytest.raises(NotFound):
            pipelines.resolve(session, "night@1")
