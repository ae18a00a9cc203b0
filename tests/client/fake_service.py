"""A stand-in for the service: enough of the wire contract, in memory, with faults on demand."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from pydantic import BaseModel

from api_schemas.image_sets import ImageSetCounts, ImageSetEntry, ImageSetReport
from api_schemas.jobs import (
    FailurePolicy,
    ItemCounts,
    Job,
    JobItem,
    Progress,
    ResultLine,
)
from api_schemas.labels import PseudoLabelsCreated
from api_schemas.models import Model, ModelVersion
from api_schemas.ontologies import Ontology, OntologyClass
from api_schemas.problems import NotFound, Problem

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SET_ID = "set_01J9Z3N6V1QG8T2B4C5D6E7F8G"
JOB_ID = "job_01J9Z3N6V1QG8T2B4C5D6E7F8G"
ANNOTATION_SET_ID = "ann_01J9Z3N6V1QG8T2B4C5D6E7F8G"
ONTOLOGY = Ontology(name="one", classes=(OntologyClass(id=0, name="road", color=(1, 2, 3)),))


def make_job(status: str = "running", done_images: int = 0, total: int = 4, **more: Any) -> Job:
    finished = status in ("succeeded", "partial", "failed", "cancelled", "expired")
    fields = {
        "id": JOB_ID,
        "type": "generate",
        "status": status,
        "done": finished,
        "image_set": SET_ID,
        "model": "demo:1",
        "progress": Progress(
            fraction=done_images / total, images_per_second=2.0, eta_seconds=total - done_images
        ),
        "counts": ItemCounts(total=total, succeeded=done_images, queued=total - done_images),
        "stages": [],
        "priority": 0,
        "failure_policy": FailurePolicy(),
        "metadata": {},
        "created_at": NOON,
        "links": {},
        **more,
    }
    return Job(**fields)


def make_label_line(external_id: str, label_id: str, **more: Any) -> ResultLine:
    fields = {"status": "succeeded", "quality": 0.5, "coverage": 0.25, **more}
    return ResultLine(external_id=external_id, file_name=external_id, label_id=label_id, **fields)


@dataclass
class FakeService:
    """Answers requests from what a test put in; `faults` are given first, one per request."""

    job_states: list[Job] = field(default_factory=lambda: [make_job("succeeded", 4)])
    lines: list[ResultLine] = field(default_factory=list)
    failed_items: list[JobItem] = field(default_factory=list)
    rejected: list[ImageSetEntry] = field(default_factory=list)
    pages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    faults: list[httpx.Response | Exception] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    uploads: list[dict[str, list[tuple[str | None, bytes]]]] = field(default_factory=list)
    _answers: dict[str, httpx.Response] = field(default_factory=dict)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request whose body has been read."""
        self.requests.append(request)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        key = request.headers.get("idempotency-key")
        if key is not None and key in self._answers:
            return self._answers[key]
        answer = self._route(request)
        if key is not None:
            self._answers[key] = answer
        return answer

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    @property
    def paths(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]

    def _route(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        what = f"{request.method} {path}"
        if path in self.pages:
            token = int(request.url.params.get("page_token", "0"))
            return httpx.Response(200, json=self.pages[path][token])
        if "/artifacts/" in path:
            return httpx.Response(200, content=f"png of {path}".encode())
        simple: dict[str, Callable[[httpx.Request], httpx.Response]] = {
            "POST /v1/pseudo-labels": self._pseudo_labels,
            f"GET /v1/jobs/{JOB_ID}": self._job,
            f"GET /v1/jobs/{JOB_ID}/results": self._results,
            f"GET /v1/jobs/{JOB_ID}/items": self._items,
            f"GET /v1/image-sets/{SET_ID}/images": self._images,
            f"POST /v1/jobs/{JOB_ID}:cancel": lambda _: _model(202, make_job("cancelling", 1)),
            f"POST /v1/jobs/{JOB_ID}:retry": lambda _: _model(202, make_job("queued", 0)),
            "POST /v1/jobs": lambda _: _model(202, make_job("queued", 0)),
            f"POST /v1/image-sets/{SET_ID}/annotations": self._annotations,
            "GET /v1/models/demo": lambda _: _model(200, make_model()),
            "POST /v1/models/demo/versions/2:promote": lambda _: _model(200, make_model()),
            "GET /v1/models/demo/versions": lambda _: httpx.Response(
                200, json={"versions": [make_version().model_dump(mode="json")]}
            ),
        }
        if what in simple:
            return simple[what](request)
        return problem_response(NotFound(f"There is nothing at '{path}'.").problem())

    def _pseudo_labels(self, request: httpx.Request) -> httpx.Response:
        upload = read_multipart(request)
        self.uploads.append(upload)
        files = [name or "" for name, _ in upload["files"]]
        accepted = [ImageSetEntry(file_name=n, external_id=n, status="accepted") for n in files]
        report = ImageSetReport(
            id=SET_ID,
            status="ready",
            counts=ImageSetCounts(
                total=len(files) + len(self.rejected),
                accepted=len(files),
                rejected=len(self.rejected),
            ),
            created_at=NOON,
            links={},
            files=accepted + self.rejected,
        )
        job = make_job("queued", 0, total=len(files))
        return _model(202, PseudoLabelsCreated(image_set=report, job=job))

    def _job(self, _: httpx.Request) -> httpx.Response:
        state = self.job_states[0] if len(self.job_states) == 1 else self.job_states.pop(0)
        return _model(200, state)

    def _results(self, _: httpx.Request) -> httpx.Response:
        text = "".join(line.model_dump_json() + "\n" for line in self.lines)
        return httpx.Response(200, text=text, headers={"content-type": "application/jsonl"})

    def _items(self, _: httpx.Request) -> httpx.Response:
        items = [item.model_dump(mode="json") for item in self.failed_items]
        return httpx.Response(200, json={"items": items})

    def _images(self, _: httpx.Request) -> httpx.Response:
        images = [entry.model_dump(mode="json") for entry in self.rejected]
        return httpx.Response(200, json={"images": images})

    def _annotations(self, request: httpx.Request) -> httpx.Response:
        self.uploads.append(read_multipart(request))
        return httpx.Response(
            201,
            json={
                "id": ANNOTATION_SET_ID,
                "image_set": SET_ID,
                "purpose": "evaluation",
                "ontology": ONTOLOGY.model_dump(mode="json"),
                "accepted": 1,
                "rejected": 0,
                "created_at": NOON.isoformat(),
                "files": [],
            },
        )


@contextmanager
def served(service: FakeService) -> Iterator[str]:
    """Yield the address of a real HTTP server in front of a fake service."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            request = httpx.Request(
                self.command,
                f"http://fake{self.path}",
                headers=list(self.headers.items()),
                content=self.rfile.read(length),
            )
            try:
                response = service.handle(request)
            except Exception:
                self.close_connection = True  # the fault: no answer at all
                return
            self.send_response(response.status_code)
            for name in ("content-type", "retry-after"):
                if name in response.headers:
                    self.send_header(name, response.headers[name])
            self.send_header("content-length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read_multipart(request: httpx.Request) -> dict[str, list[tuple[str | None, bytes]]]:
    """Return form field → (file name, content) of a multipart request, by the stdlib's parser."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + request.read())
    parts: dict[str, list[tuple[str | None, bytes]]] = {}
    for part in message.walk():
        if part.is_multipart():
            continue
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        parts.setdefault(str(name), []).append((part.get_filename(), content))
    return parts


def problem_response(problem: Problem, **headers: str) -> httpx.Response:
    return httpx.Response(
        problem.status,
        json=problem.model_dump(mode="json"),
        headers={"content-type": "application/problem+json", **headers},
    )


def make_model() -> Model:
    return Model(name="demo", current_version=2, versions=2, created_at=NOON, links={})


def make_version() -> ModelVersion:
    return ModelVersion(
        model="demo",
        version=2,
        reference="demo:2",
        status="ready",
        kind="bundle",
        digest="d",
        ontology=ONTOLOGY,
        size_bytes=2_500_000,
        facts={},
        provenance={},
        created_at=NOON,
    )


def _model(status: int, model: BaseModel) -> httpx.Response:
    content = json.loads(model.model_dump_json())
    return httpx.Response(status, json=content)
