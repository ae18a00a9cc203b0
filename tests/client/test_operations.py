"""No endpoint without a method: the OpenAPI document against both clients."""

import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from selvage_client import AsyncSelvage, RetryPolicy, Selvage, SelvageError

from api_schemas.problems import Forbidden
from service.app import create_app
from tests.client.fake_service import problem_response
from tests.client.operations import BY_OPERATION, NOT_FOR_USERS, WITH_A_FILE, Operation

NO_RETRIES = RetryPolicy(1, 1)
REFUSED = problem_response(Forbidden("This is as far as it goes.").problem())


class Recorder:
    """Refuses every request, and remembers it."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(403, headers=REFUSED.headers, content=REFUSED.content)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = create_app().openapi()
    return found


def operations_of(document: dict[str, Any]) -> set[Operation]:
    paths = document["paths"].items()
    return {(method.upper(), path) for path, methods in paths for method in methods}


def fits(request: httpx.Request, operation: Operation) -> bool:
    method, path = operation
    pattern = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(path))
    return request.method == method and re.fullmatch(pattern, request.url.path) is not None


def test_every_operation_has_a_method(document: dict[str, Any]) -> None:
    covered = set(BY_OPERATION) | NOT_FOR_USERS | WITH_A_FILE
    assert operations_of(document) == covered


@pytest.mark.parametrize("operation", BY_OPERATION, ids=" ".join)
def test_the_method_asks_for_its_operation(operation: Operation) -> None:
    recorder = Recorder()
    transport = httpx.MockTransport(recorder.handle)
    client = Selvage("http://fake", retries=NO_RETRIES, transport=transport)
    with pytest.raises(SelvageError, match="This is as far"):
        next(BY_OPERATION[operation](client))
    (request,) = recorder.requests
    assert fits(request, operation), request


@pytest.mark.parametrize("operation", BY_OPERATION, ids=" ".join)
def test_so_does_that_for_coroutines(operation: Operation) -> None:
    recorder = Recorder()

    async def run() -> None:
        transport = httpx.MockTransport(recorder.handle)
        async with AsyncSelvage("http://fake", retries=NO_RETRIES, transport=transport) as client:
            answer = BY_OPERATION[operation](client)
            await (answer if inspect.isawaitable(answer) else anext(answer))

    with pytest.raises(SelvageError, match="This is as far"):
        asyncio.run(run())
    (request,) = recorder.requests
    assert fits(request, operation), request


def test_annotations_and_models_are_sent_as_files(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text("{}")
    (tmp_path / "config.json").write_text("{}")
    recorder = Recorder()
    transport = httpx.MockTransport(recorder.handle)
    with Selvage("http://fake", retries=NO_RETRIES, transport=transport) as client:
        with pytest.raises(SelvageError):
            client.upload_annotations("x", tmp_path, purpose="initial")
        with pytest.raises(SelvageError):
            client.upload_model(tmp_path, "street")
    assert fits(recorder.requests[0], next(iter(WITH_A_FILE)))
    assert fits(recorder.requests[1], ("POST", "/v1/models/{name}/versions"))


def groups_of(client: Any) -> dict[str, type]:
    return {
        name: type(group)
        for name, group in vars(client).items()
        if not name.startswith("_") and not isinstance(group, str)
    }


def shape(kind: type) -> dict[str, list[str]]:
    methods = inspect.getmembers(kind, inspect.isfunction)
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in methods
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_groups_with_the_same_arguments() -> None:
    one, other = groups_of(Selvage("http://fake")), groups_of(AsyncSelvage("http://fake"))
    assert set(one) == {
        "campaigns", "connections", "exports", "integrations", "keys", "label_sets", "ontologies",
        "pipelines", "reviews", "schedules", "uploads", "webhooks",
    }  # fmt: skip
    assert {name: shape(kind) for name, kind in one.items()} == {
        name: shape(kind) for name, kind in other.items()
    }
