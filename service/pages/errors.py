"""What a browser sees where the API would answer with a problem document."""

from typing import Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from api_schemas.problems import Problem
from service.access import PAGE_PATHS
from service.pages.templating import render

SIGN_IN: Final = "/sign-in"


def wants_page(request: Request) -> bool:
    """Whether a person looks at one of the pages, and not a program at the API."""
    is_page = PAGE_PATHS.fullmatch(request.url.path) is not None
    return is_page and "text/html" in request.headers.get("accept", "")


def error_page(
    request: Request, problem: Problem, headers: dict[str, str] | None = None
) -> Response:
    """Answer with a page that says what went wrong; who is not signed in is led there."""
    if problem.status == 401 and request.method in ("GET", "HEAD"):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN}?next={quote(wanted, safe='')}", 303)
    # Scripts ask for pages too, and read the status.
    return render(
        request, "error.html", status_code=problem.status, headers=headers, problem=problem
    )
