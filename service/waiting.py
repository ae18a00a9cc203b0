"""`Prefer: wait=n`: an answer about a job that waits until the job is done, or n seconds.

The answer is the same as without waiting, 202 as ever for a creation, with the job as it stands
then. Waiting costs no thread: it is a watch of the same poller that feeds the streams.
"""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, get_args

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError

from api_schemas.problems import TooManyStreams
from domain import jobs as use_cases
from service import rendering
from service.event_hub import EventHub
from service.preferences import APPLIED_HEADER, Prefer, parse
from storage.catalog.engine import Catalog

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_JOB_LOCATION: Final = re.compile(r"/v1/jobs/(job_[0-9A-Za-z]+)")
_ONE_JOB: Final = "/v1/jobs/{job_id}"
_PREFER: Final = get_args(Prefer)[1]


class WaitingRoute(APIRoute):
    """A route that honours `Prefer: wait=n` where its answer is about one job."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if options.get("status_code") == 202 or path == _ONE_JOB:  # then the document tells of it
            options["dependencies"] = [*(options.get("dependencies") or []), _PREFER]
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """Return the handler of the endpoint, with the wait behind it."""
        answer = super().get_route_handler()
        is_look = self.path_format == _ONE_JOB and "GET" in (self.methods or ())

        async def handle(request: Request) -> Response:
            response = await answer(request)
            seconds = parse(", ".join(request.headers.getlist("prefer"))).wait_seconds
            job_id = request.path_params["job_id"] if is_look else _job_of(response)
            if seconds is None or job_id is None or response.status_code >= 400:
                return response
            if not await _wait(request, job_id, seconds):
                return response
            response = await (answer(request) if is_look else _refreshed(request, response, job_id))
            _note_applied(response, seconds)
            return response

        return handle


def _job_of(response: Response) -> str | None:
    """The job that an answer has created."""
    match = _JOB_LOCATION.fullmatch(response.headers.get("location", ""))
    return match[1] if match and response.status_code == 202 else None


async def _wait(request: Request, job_id: str, seconds: float) -> bool:
    """Wait for the end of a job; False where that cannot be done here and now."""
    hub: EventHub = request.app.state.event_hub
    try:
        async with hub.subscribe(job_id, frozenset()) as subscription:
            watcher = asyncio.create_task(_watch(request, subscription.end))
            try:
                await subscription.wait(seconds)
            finally:
                watcher.cancel()
    except (TooManyStreams, SQLAlchemyError):
        return False
    return True


async def _watch(request: Request, hang_up: Callable[[], None]) -> None:
    """Stop waiting for a client that has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    hang_up()


async def _refreshed(request: Request, response: Response, job_id: str) -> Response:
    """The answer to a creation with the job as it stands now."""
    hub: EventHub = request.app.state.event_hub
    job = await hub.read(partial(_job_document, request.app.state.selvage.catalog, job_id))
    document = json.loads(bytes(response.body))
    if document.get("id") == job_id:
        document = job
    elif (document.get("job") or {}).get("id") == job_id:
        document["job"] = job
    replaced = {"content-length", "content-type", *(["retry-after"] if job["done"] else [])}
    headers = {k: v for k, v in response.headers.items() if k not in replaced}
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Response(body, response.status_code, headers, media_type="application/json")


def _job_document(catalog: Catalog, job_id: str) -> dict[str, Any]:
    with catalog.read() as session:
        return rendering.job(session, use_cases.get_job(session, job_id)).model_dump(mode="json")


def _note_applied(response: Response, seconds: int) -> None:
    applied = response.headers.get(APPLIED_HEADER, "")
    if "wait=" not in applied:
        response.headers[APPLIED_HEADER] = ", ".join(filter(None, (f"wait={seconds}", applied)))
