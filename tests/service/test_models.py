from pathlib import Path
from typing import Any

import pytest

from storage.catalog.models import find_version
from tests.support.installation import Installation


class TestModels:
    def test_names_and_versions(self, site: Installation, tmp_path: Path) -> None:
        assert site.client.get("/v1/models").json() == {"models": [], "next_page_token": None}
        for name, seed in (("beta", 0), ("alpha", 0), ("alpha", 1), ("alpha", 0)):
            site.add_tiny_model(tmp_path / f"{name}-{seed}", name, seed)
        models = site.client.get("/v1/models").json()["models"]
        assert [(m["name"], m["current_version"], m["versions"]) for m in models] == [
            ("alpha", 1, 2),  # the third folder was the first again, and was promoted
            ("beta", 1, 1),
        ]
        first = site.client.get("/v1/models", params={"page_size": 1}).json()
        second = site.client.get(
            "/v1/models", params={"page_size": 1, "page_token": first["next_page_token"]}
        ).json()
        assert [m["name"] for m in first["models"] + second["models"]] == ["alpha", "beta"]
        assert second["next_page_token"] is None
        versions = site.client.get("/v1/models/alpha/versions").json()["versions"]
        assert [v["reference"] for v in versions] == ["alpha:1", "alpha:2"]
        assert versions[0] == site.client.get("/v1/models/alpha/versions/1").json()
        assert versions[0]["kind"] == "bundle"
        assert versions[0]["digest"] != versions[1]["digest"]
        assert [c["name"] for c in versions[0]["ontology"]["classes"]] == ["road", "sky", "car"]

    def test_promote(self, tiny_site: Installation, tmp_path: Path) -> None:
        tiny_site.add_tiny_model(tmp_path / "second", seed=1)
        for number in (1, 2, 1):
            answer = tiny_site.client.post(f"/v1/models/tiny/versions/{number}:promote")
            assert (answer.status_code, answer.json()["current_version"]) == (200, number)

    def test_a_version_is_a_number(self, tiny_site: Installation) -> None:
        assert tiny_site.client.get("/v1/models/tiny/versions/x").status_code == 404

    @pytest.mark.parametrize("number", ["0", "1000000000"])
    def test_numbers(self, tiny_site: Installation, number: str) -> None:
        answer = tiny_site.client.get(f"/v1/models/tiny/versions/{number}")
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")

    def test_rejected_version(self, tiny_site: Installation) -> None:
        with tiny_site.catalog.write() as session:
            version: Any = find_version(session, "tiny", 1)
            version.status = "rejected"
        answer = tiny_site.client.post("/v1/models/tiny/versions/1:promote")
        assert (answer.status_code, answer.json()["code"]) == (409, "model-not-ready")
