"""/docs: the API on one page, made here from the OpenAPI document; it loads nothing from anywhere.

FastAPI's own page fetches its scripts from a foreign host, which a machine without a way out does
not reach, and which would run beside the user's API key.
"""

from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter()

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; text-transform: capitalize }
table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid #8884; padding: .35rem .8rem .35rem 0; vertical-align: top }
code { font: 14px ui-monospace, monospace }
td:first-child { width: 4.5rem; font-weight: 600 }
td:last-child { width: 5rem; text-align: right; opacity: .7 }
p { white-space: pre-line }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } a { color: #8cf } }
"""
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    )
}


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    return HTMLResponse(render(request.app.openapi()), headers=_HEADERS)


def render(document: dict[str, Any]) -> str:
    """Return the page: every operation by tag, with the scope that it needs."""
    info = document["info"]
    rows: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["other"])[0]
            rows.setdefault(tag, []).append(_row(method, path, operation))
    sections = "".join(
        f"<h2>{escape(tag)}</h2><table>{''.join(lines)}</table>" for tag, lines in rows.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info.get('description', '').strip())}</p>"
        '<p>Schemas and examples: <a href="/openapi.json">/openapi.json</a> (OpenAPI '
        f"{escape(document['openapi'])}). The last column is the scope of the API key.</p>"
        f"{sections}</html>"
    )


def _row(method: str, path: str, operation: dict[str, Any]) -> str:
    needs = [scope for entry in operation.get("security", []) for scope in entry.values()]
    scope = needs[0][0] if needs else "open"
    details = escape(operation.get("description") or "")
    more = f"<br>{details}" if details else ""
    return (
        f"<tr><td>{method.upper()}</td><td><code>{escape(path)}</code><br>"
        f"{escape(operation.get('summary', ''))}{more}</td><td>{scope}</td></tr>"
    )
