"""`/docs`: the OpenAPI document as one HTML page that loads nothing else."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from openpay.api.codes import CODES

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8886; border-radius: 6px; }
h3 { margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0; border-bottom: 1px solid #8886; }
.method { font-weight: 700; margin-right: 0.5rem; }
nav li { list-style: none; }
"""


def page(document: dict[str, Any]) -> str:
    """A static page: every operation with its parameters, body and answer, then every error code."""
    info = document["info"]
    operations = [
        (path, method.upper(), operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    links = "".join(
        f'<li><a href="#{escape(operation["operationId"])}"><code>{method} {escape(path)}</code></a></li>'
        for path, method, operation in operations
    )
    sections = "".join(_section(document, *operation) for operation in operations)
    codes = "".join(
        f'<tr id="{escape(code)}"><td><code>{escape(code)}</code></td><td>{row.status}</td>'
        f"<td>{escape(row.meaning)}</td></tr>"
        for code, row in sorted(CODES.items())
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(info['title'])} API</h1><p>{escape(info['description'])}</p>"
        "<p>Send your key as <code>Authorization: Bearer sk_live_…</code>. "
        'Programs read <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
        f'<nav aria-label="Operations"><ul>{links}</ul></nav><h2>Operations</h2>{sections}'
        f'<h2 id="errors">Errors</h2><p>Every error is <code>application/problem+json</code>.</p>'
        f"<table><thead><tr><th>code</th><th>status</th><th>meaning</th></tr></thead><tbody>{codes}</tbody></table>"
        "</main></body></html>\n"
    )


def _section(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<section><h3 id="{escape(operation["operationId"])}"><span class="method">{method}</span>'
        f"<code>{escape(path)}</code></h3><p>{escape(operation['summary'])}</p>"
    ]
    rows = [
        (f"{parameter['name']} ({parameter['in']})", parameter["schema"], parameter.get("description", ""))
        for parameter in operation["parameters"]
    ]
    body = operation.get("requestBody")
    if body is not None:
        schema = _resolve(document, body["content"]["application/json"]["schema"])
        required = schema.get("required", ())
        rows += [
            (name + (" (required)" if name in required else ""), field, field.get("description", ""))
            for name, field in schema["properties"].items()
        ]
    if rows:
        parts.append("<table><thead><tr><th>name</th><th>type</th><th></th></tr></thead><tbody>")
        parts += [
            f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(document, schema))}</td>"
            f"<td>{escape(_limits(schema, description))}</td></tr>"
            for name, schema, description in rows
        ]
        parts.append("</tbody></table>")
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get("application/json")
        if content and status.startswith("2"):
            example = json.dumps(_sketch(document, content["schema"]), indent=2, ensure_ascii=False)
            parts.append(f"<p>Answer {status}:</p><pre>{escape(example)}</pre>")
    parts.append("</section>")
    return "".join(parts)


def _resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    resolved: dict[str, Any] = document["components"]["schemas"][reference.rsplit("/", 1)[1]]
    return resolved


def _type(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """`string`, `string or null`, `array of string`."""
    schema = _resolve(document, schema)
    if "anyOf" in schema:
        return " or ".join(_type(document, choice) for choice in schema["anyOf"])
    name = str(schema.get("type", "any"))
    return f"array of {_type(document, schema['items'])}" if name == "array" and "items" in schema else name


_LIMITS = ("enum", "default", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties")


def _limits(schema: dict[str, Any], description: str) -> str:
    """The description, then whatever bounds the schema names."""
    limits = [f"{name} {json.dumps(schema[name])}" for name in _LIMITS if schema.get(name) is not None]
    return "; ".join(filter(None, (description, *limits)))


def _sketch(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """An object of this shape, with the type's name (or an example) where a value would be."""
    schema = _resolve(document, schema)
    if "anyOf" in schema:
        return _sketch(document, schema["anyOf"][0])
    if "enum" in schema:
        return " | ".join(str(choice) for choice in schema["enum"])
    if "const" in schema:
        return schema["const"]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("type") == "object" and "properties" in schema:
        return {name: _sketch(document, field) for name, field in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_sketch(document, schema.get("items", {}))]
    return {"integer": 0, "boolean": True, "object": {}}.get(str(schema.get("type")), "…")
