"""Requests that mean harm, or make no sense: each gets a problem document, and nothing breaks.

The first half walks through the OpenAPI document, so that an endpoint that is new tomorrow is
tried as well. All goes through a real server and a real socket.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.api import get_items, index_png, post_annotations, post_images
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.wire import Wire, WireAnswer, wire_to

JSON = {"Content-Type": "application/json"}
IDS = [
    "..", ".", "%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "..%5c..%5cwin.ini", "%00", "a%00b",
    "%ff%fe", "%ED%A0%80", "%F0%9F%92%A3", "%0d%0aX-Evil:%201", "%25s%25n", "'%20OR%20'1'='1",
    "%3Cscript%3E", "x" * 3000, "-1", "0", "9" * 40, "1e5", "%20", "%E2%80%AE", "{}", "*", "null",
    "JOB_00000000000000000000000000", "job_00000000000000000000000000",
]  # fmt: skip
BODIES = [
    b"", b" ", b"{", b"[]", b"null", b"true", b"1", b'"x"', b"{}", b"[" * 100_000,
    b'{"a":' * 100_000, b"[" * 1000 + b"]" * 1000, b'{"x": NaN}', b"-Infinity", b'{"x": 1e999}',
    b'{"x": "\\u0000"}', b'{"\\u0000": 1}', b'{"x": "\\ud800"}', b'{"x": "\xff"}',
    b"\xef\xbb\xbf{}",
    '{"x": 1}'.encode("utf-16"), b'{"x": ' + b"9" * 5000 + b"}", b'{"x": ' + b"9" * 400 + b"}",
    b'{"a": 1, "a": 2}', b'{"__proto__": {}, "__class__": 1}', b'{"x": 1} {"y": 2}',
]  # fmt: skip
VALUES: list[Any] = [
    None, True, -1, 0, 2**31, 2**63, 2**64, -(2**63), 10**400, 1.5, -0.0, 1e308, "", " ",
    "x" * 5000,
    "a\x00b", "../../etc/passwd", "\ud800", "💣" * 50, "\r\nX: 1", "%s%n", "'; DROP TABLE job; --",
    [], {}, [[]], [{}], {"a": {"b": {}}}, ["x"] * 2000, {"k" * 100: "v" * 600},
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z",
]  # fmt: skip
QUERY_VALUES = [
    "", "%00", "a%00", "%ff", "%ED%A0%80", "x" * 2500, "-1", "0", "99999999999999999999", "1e9",
    "NaN", "%F0%9F%92%A3", "..%2f..", "'%20OR%201=1", "a=b", "a%3Db%20AND%20c%3D1", "null", "[]",
]  # fmt: skip
LEAKS = re.compile(rb"Traceback|\.py\b|site-packages|sqlite3|psycopg|sqlalchemy|/work/|/home/")


@pytest.fixture
def wire(site: Installation, tmp_path: Path) -> Iterator[Wire]:
    """A server with something of each kind, under the names that the examples use."""
    site.add_tiny_model(tmp_path / "model", "demo")
    with wire_to(site) as opened:
        yield opened


@pytest.fixture
def known(site: Installation, wire: Wire) -> dict[str, str]:
    """Prefix of an id → the id of such a thing that exists."""
    job = post_images(site, {"a.png": png_bytes(1), "b.png": png_bytes(2)}, model="demo")["job"]
    site.settle()
    label = np.zeros((24, 32), np.uint8)
    truth = post_annotations(site, job["image_set"], {"a.png": index_png(label)}).json()
    items = get_items(site, job["id"])
    return {
        "job": job["id"],
        "set": job["image_set"],
        "ann": truth["id"],
        "lab": items["a.png"]["label_id"],
    }


@pytest.fixture
def sqlite_wire(sqlite_site: Installation) -> Iterator[Wire]:
    with wire_to(sqlite_site) as opened:
        yield opened


def assert_sound(answer: WireAnswer, what: object, hidden: str = "") -> None:
    """No error of the service's own, a problem document if refused, and nothing told of inside."""
    assert answer.status < 500, (what, answer)
    assert answer.headers["x-content-type-options"] == "nosniff", what
    assert "x-request-id" in answer.headers, what
    assert "x-evil" not in answer.headers, what
    assert not LEAKS.search(answer.body), (what, answer.body[:500])
    assert not hidden or hidden.encode() not in answer.body, what
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/problem+json", (what, answer)
        problem = answer.json()
        assert problem["status"] == answer.status, what
        assert len(problem["detail"]) > 10, what
        assert len(answer.body) < 200_000, what


def operations(wire: Wire) -> list[tuple[str, str, dict[str, Any]]]:
    document = wire.request("GET", "/openapi.json").json()
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def filled(path: str, value: str = "job_00000000000000000000000000") -> str:
    return re.sub(r"\{[^}]+\}", lambda _: value, path)


def existing(path: str, known: dict[str, str]) -> str:
    """The address of something that exists, where there is such a thing."""
    names = {"{name}": "demo", "{number}": "1", "{digest}": "0" * 64}
    for prefix, parameter in (("job", "job"), ("set", "image_set"), ("lab", "label"),
                              ("ann", "annotation_set")):  # fmt: skip
        names[f"{{{parameter}_id}}"] = known[prefix]
    for name, value in names.items():
        path = path.replace(name, value)
    return filled(path)


def with_known_ids(document: Any, known: dict[str, str]) -> Any:
    text = json.dumps(document)
    text = re.sub(r"\b([a-z]{3})_[0-9A-Z]{26}", lambda m: known.get(m[1], m[0]), text)
    return json.loads(text)


def places(document: Any) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a document."""
    pairs: Any = ()
    if isinstance(document, dict):
        pairs = document.items()
    elif isinstance(document, list):
        pairs = enumerate(document[:1])
    for key, value in pairs:
        yield (key,)
        yield from ((key, *rest) for rest in places(value))


def replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(document))
    node = copy
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return copy


def takes_json(operation: dict[str, Any]) -> bool:
    return "application/json" in operation.get("requestBody", {}).get("content", {})


class TestEveryOperation:
    def test_ids(self, wire: Wire, tmp_path: Path) -> None:
        for method, path, operation in operations(wire):
            if "{" not in path:
                continue
            body = b"{}" if takes_json(operation) else None
            for value in IDS:
                target = filled(path, value)
                answer = wire.request(method, target, body, JSON if body else {})
                assert_sound(answer, (method, target), str(tmp_path))

    def test_bodies(self, wire: Wire, tmp_path: Path) -> None:
        for method, path, operation in operations(wire):
            if "requestBody" not in operation:
                continue
            for body in BODIES:
                answer = wire.request(method, filled(path), body, JSON)
                assert_sound(answer, (method, path, body[:40]), str(tmp_path))

    def test_values_of_the_wrong_kind(
        self, wire: Wire, known: dict[str, str], tmp_path: Path
    ) -> None:
        """Each field of each example is given each odd value in turn."""
        # With a key made on the way, all that comes after it would be refused for want of one.
        keys_last = sorted(operations(wire), key=lambda found: "api-keys" in found[1])
        for method, path, operation in keys_last:
            content = operation.get("requestBody", {}).get("content", {})
            examples = content.get("application/json", {}).get("examples", {})
            for example in examples.values():
                valid = with_known_ids(example["value"], known)
                for place in [*places(valid), ("unknown_field",)]:
                    for value in VALUES:
                        body = json.dumps(replaced(valid, place, value)).encode()
                        answer = wire.request(method, existing(path, known), body, JSON)
                        assert_sound(answer, (method, path, place, str(value)[:40]), str(tmp_path))

    def test_query_values(self, wire: Wire, known: dict[str, str], tmp_path: Path) -> None:
        for method, path, operation in operations(wire):
            for parameter in operation.get("parameters", []):
                if parameter["in"] != "query" or parameter["name"] in ("wait",):
                    continue
                for value in QUERY_VALUES:
                    target = f"{existing(path, known)}?{parameter['name']}={value}"
                    answer = wire.request(method, target)
                    assert_sound(answer, (method, target[:200]), str(tmp_path))

    def test_header_values(
        self, site: Installation, wire: Wire, known: dict[str, str], tmp_path: Path
    ) -> None:
        odd = ["", "\xff\xfe", "x" * 5000, "*", '"', ",,,", "W/", "bytes=9-1", "-1", "\t", "9" * 50]
        # These do not reach the catalog where no operation names them: on one database is enough.
        general = {"Range", "If-None-Match", "Prefer", "Content-Type"}
        tried_everywhere = general if site.settings.catalog_url.startswith("sqlite") else set()
        for method, path, operation in operations(wire):
            named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "header"}
            for name in sorted(named | tried_everywhere):
                for value in odd:
                    headers = {name: value}
                    target = existing(path, known) if method == "GET" else filled(path)
                    answer = wire.request(method, target, b"{}", headers)
                    assert_sound(answer, (method, path, name, value[:20]), str(tmp_path))

    def test_other_methods(self, wire: Wire) -> None:
        paths: dict[str, set[str]] = {path: set() for _, path, _ in operations(wire)}
        for method, path, _ in operations(wire):
            paths[path].add(method)
        for path, allowed in paths.items():
            for method in ("HEAD", "OPTIONS", "TRACE", "PATCH", "PUT", "PROPFIND"):
                answer = wire.request(method, filled(path))
                if method == "HEAD":
                    assert answer.status < 500, (method, path)
                    assert answer.body == b""
                    continue
                assert_sound(answer, (method, path))
                if method not in allowed:
                    # `{id}` also takes what ends in `:verb`, which then is no name of anything
                    assert answer.status in (404, 405, 422), (method, path)
                    if answer.status == 405:
                        said = set(answer.headers["allow"].split(", "))
                        assert said - {"HEAD"} == allowed, (method, path)
