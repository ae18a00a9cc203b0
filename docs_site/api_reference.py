"""The API reference as Markdown, from an OpenAPI document: operations by tag, then schemas."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any, Final

_JSON: Final = "application/json"


def markdown_of(document: dict[str, Any]) -> str:
    """Return the page."""
    info = document["info"]
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["other"])[0]
            by_tag.setdefault(tag, []).append(_operation(method, path, operation))
    lines = [
        f"# API reference\n\n{info['title']} {info['version']}, made from its own OpenAPI document "
        "(`/openapi.json` of a running service). Every error is `application/problem+json`, see "
        "[errors](api.md#errors). [The map of the API](api.md) is shorter."
    ]
    for tag in sorted(by_tag):
        lines += [f"## {tag.replace('-', ' ').capitalize()}", *by_tag[tag]]
    schemas = document.get("components", {}).get("schemas", {})
    lines.append("## Schemas")
    lines += [_schema(name, schemas[name]) for name in sorted(schemas)]
    return "\n\n".join(lines) + "\n"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"### `{method.upper()} {path}`", f"**{_plain(operation.get('summary', ''))}**"]
    if operation.get("description"):
        parts.append(_plain(operation["description"]))
    scopes = [scope for entry in operation.get("security", []) for scope in entry.values()]
    parts.append(f"Scope: {scopes[0][0] if scopes else 'none, it is open'}")
    rows = [
        [f"`{one['name']}`", one["in"], _type(one.get("schema", {})), one.get("description", "")]
        for one in operation.get("parameters", [])
    ]
    if rows:
        parts.append(_table(["parameter", "in", "type", "meaning"], rows))
    parts += _body(operation.get("requestBody", {}).get("content", {}))
    rows = [
        [code, ", ".join(_answers(answer)) or "–", answer.get("description", "")]
        for code, answer in operation["responses"].items()
        if code[0] in "123"
    ]
    parts.append(_table(["answer", "body", "meaning"], rows))
    return "\n\n".join(parts)


def _body(content: dict[str, Any]) -> Iterator[str]:
    for media, one in content.items():
        schema = one.get("schema", {})
        yield f"Body, `{media}`: {_type(schema)}"
        if schema.get("properties"):
            yield _fields(schema)
        for example in one.get("examples", {}).values():
            text = json.dumps(example.get("value"), ensure_ascii=False, indent=1)
            yield f"{_plain(example.get('summary', 'Example'))}:\n\n```json\n{text}\n```"


def _answers(answer: dict[str, Any]) -> Iterator[str]:
    for media, one in answer.get("content", {}).items():
        schema = one.get("schema")
        yield _type(schema) if media == _JSON and schema else f"`{media}`"


def _schema(name: str, schema: dict[str, Any]) -> str:
    parts = [f"### {name}"]
    if schema.get("description"):
        parts.append(_plain(schema["description"]))
    parts.append(_fields(schema) if schema.get("properties") else _type(schema))
    return "\n\n".join(parts)


def _fields(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", []))
    rows = []
    for name, one in schema["properties"].items():
        default = f"`{json.dumps(one['default'])}`" if one.get("default") is not None else ""
        needed = "needed" if name in required else default
        rows.append([f"`{name}`", _type(one), needed, one.get("description", "")])
    return _table(["field", "type", "default", "meaning"], rows)


def _type(schema: dict[str, Any]) -> str:
    """Return a type as a reader says it; schemas with a name are links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            kinds = [_type(one) for one in schema[key] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(schema.get("format") or schema.get("type") or "any")


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = [[_plain(cell).replace("\n", " ").replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Keep what is Markdown, and let nothing be HTML."""
    pieces = text.split("`")  # what is code between backticks is escaped by Markdown itself
    return "`".join(one if n % 2 else escape(one, quote=False) for n, one in enumerate(pieces))
