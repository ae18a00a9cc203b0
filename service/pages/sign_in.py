"""Signing in with an API key, and out again. Where no keys are asked for, neither is needed."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from api_schemas.problems import Unauthenticated
from domain import page_sessions
from service.auth import (
    SESSION_COOKIE,
    are_keys_asked_for,
    refuse_foreign_origin,
    session_token,
)
from service.pages.templating import render
from service.state import State

router = APIRouter(include_in_schema=False)

# A path of ours: nothing that a browser could take for the address of another host.
_OUR_PATH: Final = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
_MAX_PATH_LENGTH: Final = 2000


def our_path(wanted: str) -> str:
    """Return where to go after signing in; the start for anything that is not a path of ours."""
    is_ours = len(wanted) <= _MAX_PATH_LENGTH and _OUR_PATH.fullmatch(wanted)
    return wanted if is_ours and not wanted.startswith("/sign-") else "/"


@router.get("/sign-in")
def show_form(
    request: Request, state: State, wanted: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    if not are_keys_asked_for(state):
        return RedirectResponse(our_path(wanted), 303)
    return render(request, "sign_in.html", wanted=our_path(wanted), trouble=None)


@router.post("/sign-in")
def sign_in(
    request: Request,
    state: State,
    key: Annotated[str, Form(max_length=200)] = "",
    wanted: Annotated[str, Form(alias="next", max_length=_MAX_PATH_LENGTH)] = "/",
) -> Response:
    """Take a key for a cookie that no script can read and no other site can use."""
    refuse_foreign_origin(request.headers, request.method)
    try:
        with state.catalog.write() as session:
            token = page_sessions.sign_in(session, key.strip())
    except Unauthenticated as error:
        return render(
            request,
            "sign_in.html",
            status_code=401,
            wanted=our_path(wanted),
            trouble=error.detail,
        )
    answer = RedirectResponse(our_path(wanted), 303)
    answer.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(page_sessions.LIFE_SECONDS),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/sign-out")
def sign_out(request: Request, state: State) -> Response:
    refuse_foreign_origin(request.headers, request.method)
    token = session_token(request.headers)
    if token is not None:
        with state.catalog.write() as session:
            page_sessions.sign_out(session, token)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    return answer
