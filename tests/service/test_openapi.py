"""The OpenAPI document is complete: every reference resolves, every operation says what it does."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.installation import Installation

OPERATIONS = {
    "POST /v1/pseudo-labels", "POST /v1/image-sets", "GET /v1/image-sets",
    "GET /v1/image-sets/{image_set_id}", "GET /v1/image-sets/{image_set_id}/images",
    "GET /v1/images/{digest}", "POST /v1/image-sets/{image_set_id}/annotations",
    "GET /v1/annotation-sets/{annotation_set_id}", "GET /v1/models", "GET /v1/models/{name}",
    "GET /v1/models/{name}/versions", "GET /v1/models/{name}/versions/{number}",
    "POST /v1/models/{name}/versions/{number}:promote", "POST /v1/jobs", "GET /v1/jobs",
    "GET /v1/jobs/{job_id}", "GET /v1/jobs/{job_id}/events", "GET /v1/jobs/{job_id}/items",
    "GET /v1/jobs/{job_id}/results",
    "POST /v1/jobs/{job_id}:cancel", "POST /v1/jobs/{job_id}:retry", "GET /v1/labels/{label_id}",
    "POST /v1/models/{name}/versions",
    "POST /v1/uploads", "GET /v1/uploads", "GET /v1/uploads/{upload_id}",
    "PUT /v1/uploads/{upload_id}/parts/{number}", "POST /v1/uploads/{upload_id}:complete",
    "DELETE /v1/uploads/{upload_id}",
    "GET /v1/labels/{label_id}/artifacts/{name}", "GET /healthz", "GET /readyz",
    "POST /v1/api-keys", "GET /v1/api-keys", "GET /v1/api-keys/{key_id}",
    "DELETE /v1/api-keys/{key_id}", "GET /v1/quota", "GET /v1/system", "GET /metrics",
    "POST /v1/pipelines", "GET /v1/pipelines", "GET /v1/pipelines/{name}",
    "DELETE /v1/image-sets/{image_set_id}", "DELETE /v1/jobs/{job_id}",
    "DELETE /v1/labels/{label_id}", "DELETE /v1/annotation-sets/{annotation_set_id}",
    "DELETE /v1/models/{name}/versions/{number}", "GET /v1/labels/{label_id}/lineage",
    "POST /v1/ontologies", "GET /v1/ontologies", "GET /v1/ontologies/{ontology_id}",
    "GET /v1/ontologies/{ontology_id}/label-studio-config",
    "GET /v1/ontologies/{ontology_id}/cvat-labels",
    "GET /v1/models/{name}/versions/{number}/ontology",
    "GET /v1/models/{name}/versions/{number}/ontology/label-studio-config",
    "GET /v1/models/{name}/versions/{number}/ontology/cvat-labels",
    "GET /v1/pipelines/{name}/versions", "GET /v1/pipelines/{name}/versions/{number}",
    "POST /v1/connections", "GET /v1/connections", "GET /v1/connections/{reference}",
    "PATCH /v1/connections/{reference}", "DELETE /v1/connections/{reference}",
    "POST /v1/connections/{reference}:test",
    "POST /v1/schedules", "GET /v1/schedules", "GET /v1/schedules/{schedule_id}",
    "PATCH /v1/schedules/{schedule_id}", "DELETE /v1/schedules/{schedule_id}",
    "POST /v1/schedules/{schedule_id}:pause", "POST /v1/schedules/{schedule_id}:resume",
    "POST /v1/campaigns", "GET /v1/campaigns", "GET /v1/campaigns/{campaign_id}",
    "GET /v1/campaigns/{campaign_id}/rounds", "GET /v1/campaigns/{campaign_id}/rounds/{number}",
    "GET /v1/campaigns/{campaign_id}/events", "POST /v1/campaigns/{campaign_id}:pause",
    "POST /v1/campaigns/{campaign_id}:resume", "POST /v1/campaigns/{campaign_id}:stop",
    "DELETE /v1/campaigns/{campaign_id}",
    "POST /v1/exports",
    "POST /v1/exports:validate",
    "GET /v1/exports",
    "GET /v1/exports/{export_id}",
    "GET /v1/exports/{export_id}/file",
    "POST /v1/exports/{export_id}:cancel",
    "DELETE /v1/exports/{export_id}",
    "POST /v1/label-sets", "GET /v1/label-sets", "GET /v1/label-sets/{label_set_id}",
    "GET /v1/label-sets/{label_set_id}/entries", "DELETE /v1/label-sets/{label_set_id}",
    "GET /v1/review", "POST /v1/labels/{label_id}:review", "GET /v1/labels/{label_id}/reviews",
    "POST /v1/imports",
    "POST /v1/webhook-endpoints", "GET /v1/webhook-endpoints",
    "GET /v1/webhook-endpoints/{reference}", "PATCH /v1/webhook-endpoints/{reference}",
    "DELETE /v1/webhook-endpoints/{reference}", "POST /v1/webhook-endpoints/{reference}:ping",
    "POST /v1/webhook-endpoints/{reference}:rotate-secret",
    "GET /v1/webhook-endpoints/{reference}/deliveries",
    "GET /v1/webhook-endpoints/{reference}/deliveries/{delivery_id}",
    "POST /v1/webhook-endpoints/{reference}/deliveries/{delivery_id}:redeliver",
    "GET /v1/jobs/{job_id}/deliveries", "GET /v1/jobs/{job_id}/deliveries/{delivery_id}",
    "POST /v1/jobs/{job_id}/deliveries/{delivery_id}:redeliver",
    "POST /v1/integrations", "GET /v1/integrations",
    "GET /v1/integrations/{reference}", "DELETE /v1/integrations/{reference}",
    "POST /v1/schedules/{schedule_id}:run", "GET /v1/schedules/{schedule_id}/ticks",
}  # fmt: skip


@pytest.fixture
def document(sqlite_site: Installation) -> Any:
    return sqlite_site.client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


class TestDocument:
    def test_exactly_the_endpoints_that_exist(self, document: dict[str, Any]) -> None:
        assert {name for name, _ in operations(document)} == OPERATIONS
        assert document["openapi"].startswith("3.1")

    def test_every_reference_resolves(self, document: dict[str, Any]) -> None:
        found = set(references(document))
        assert "#/components/schemas/Problem" in found
        for reference in found:
            node: Any = document
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]

    def test_every_operation_says_what_it_does_and_how_it_fails(
        self, document: dict[str, Any]
    ) -> None:
        ids = [operation["operationId"] for _, operation in operations(document)]
        assert len(ids) == len(set(ids))
        for name, operation in operations(document):
            assert operation["summary"], name
            assert operation["tags"], name
            content = operation["responses"]["default"]["content"]
            assert set(content) == {"application/problem+json"}, name
            assert any(code.startswith("2") for code in operation["responses"]), name
            for parameter in operation.get("parameters", []):
                assert parameter["schema"], name

    def test_bodies_have_examples(self, document: dict[str, Any]) -> None:
        for name, operation in operations(document):
            if "requestBody" not in operation:
                continue
            for media, content in operation["requestBody"]["content"].items():
                if media == "application/json":
                    assert content.get("examples"), name
                else:
                    fields = content["schema"].get("properties", {})  # none: plain bytes
                    assert all(
                        "examples" in field or field["type"] != "string" or "enum" in field
                        for key, field in fields.items()
                        if key not in ("file", "name")
                    ), name

    def test_examples_are_accepted_as_they_stand(self, document: dict[str, Any]) -> None:
        from pydantic import TypeAdapter

        from api_schemas.jobs import JobCreate, RetryRequest
        from api_schemas.schedules import ScheduleCreate

        models: list[tuple[str, Any]] = [
            ("/v1/jobs", JobCreate),
            ("/v1/jobs/{job_id}:retry", RetryRequest),
            ("/v1/schedules", ScheduleCreate),
        ]
        for path, model in models:
            body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            values = [example["value"] for example in body["examples"].values()]
            assert values
            for value in values:
                TypeAdapter(model).validate_python(value)


class TestHealth:
    def test_healthy(self, site: Installation) -> None:
        assert site.client.get("/healthz").json() == {"status": "ok"}
        answer = site.client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ok",
            "checks": {"catalog": True, "objects": True, "queue": True},
            "details": {},
            "workers": 1,
        }

    def test_queue_is_away(
        self, sqlite_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite_site.queue, "ping", lambda: False)
        answer = sqlite_site.client.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]["queue"]) == (503, False)

    def test_docs_need_nothing_from_elsewhere(
        self, sqlite_site: Installation, document: dict[str, Any]
    ) -> None:
        client: TestClient = sqlite_site.client
        answer = client.get("/docs")
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert not any(word in answer.text for word in ("src=", "http:", "https:", "<script"))
        for path in document["paths"]:
            assert f"<code>{path}</code>" in answer.text
