"""Templates to answers. Every text is escaped, and a page runs no script but those of `assets/`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.principals import LOCAL_PRINCIPAL, Principal

FOLDER: Final = Path(__file__).parent / "templates"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}
DASH: Final = "–"
_SECONDS_OF: Final = (("d", 86400), ("h", 3600), ("min", 60))


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent, a dash where there is none."""
    return DASH if value is None else f"{100 * value:.{digits}f} %"


def thousands(value: int | float) -> str:
    """A whole number in groups of three."""
    return f"{value:,.0f}".replace(",", "\u202f")


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units that fit."""
    if seconds is None:
        return DASH
    left = max(0.0, seconds)
    if left < 10:
        return f"{left:.1f} s"
    left = round(left)
    for name, size in _SECONDS_OF:
        if left >= size:
            small, unit = {"d": (3600, "h"), "h": (60, "min"), "min": (1, "s")}[name]
            rest = int(left % size // small)
            return f"{int(left // size)} {name}" + (f" {rest} {unit}" if rest else "")
    return f"{left} s"


def moment(seconds: float | None) -> str:
    """Seconds since the epoch as RFC 3339, for `datetime=`."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def readable(seconds: float | None) -> str:
    """Seconds since the epoch for the eye; scripts put it into the reader's own time zone."""
    if seconds is None:
        return DASH
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def size_text(count: int) -> str:
    """Bytes in the unit that fits."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def colour(rgb: Any) -> str:
    """A colour of three numbers as an attribute of SVG."""
    red, green, blue = (int(value) for value in rgb)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        thousands=thousands,
        duration=duration,
        moment=moment,
        readable=readable,
        size_text=size_text,
        colour=colour,
    )
    return environment


ENVIRONMENT: Final = _environment()


def render(
    request: Request,
    template: str,
    *,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """Answer with a page.

    Args:
        request: the pages say who is signed in, and hide what a key may not do.
        template: a file of `templates/`.
        context: what it shows; any text in it may come from anybody.
    """
    principal: Principal = request.scope.get("state", {}).get("principal", LOCAL_PRINCIPAL)
    page = ENVIRONMENT.get_template(template).render(
        path=request.url.path, principal=principal, **context
    )
    return HTMLResponse(page, status_code, {**HEADERS, **(headers or {})})
