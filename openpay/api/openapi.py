"""The OpenAPI 3.1 document, made from the route table and the schemas."""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from openpay.api import answers, health
from openpay.api.routes import ROUTES, Route
from openpay.http.problems import CONTENT_TYPE

Document = dict[str, Any]

_PATH_PARAMETER = re.compile(r"\{(\w+)\}")

IDEMPOTENCY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and request within 24 hours get the first answer again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]{1,255}$"},
}


def document(*, public_url: str, version: str) -> Document:
    """The whole document. Internal links are `$ref`s into `components`."""
    paths: dict[str, Document] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Open Pay",
            "version": version,
            "description": "Payments in USDT, USDC and BNB, straight to the merchant's own contract.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": public_url}],
        "security": [{"apiKey": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys([*(route.tag for route in ROUTES), "Service"])],
        "paths": paths | _public_paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer", "description": "sk_live_… or sk_test_…"}
            },
            "responses": {
                "Problem": {
                    "description": "An error (RFC 9457)",
                    "content": {CONTENT_TYPE: {"schema": _ref(answers.ProblemShape)}},
                }
            },
        },
    }


@cache
def _schemas() -> Document:
    """Of every body and answer: much of the time that an application takes to start, and the same for each."""
    models: list[tuple[type[BaseModel], Any]] = [(answers.ProblemShape, "serialization")]
    for route in ROUTES:
        models.append((route.answer, "serialization"))
        if route.body.model_fields:
            models.append((route.body, "validation"))
    models += [(shape, "serialization") for shape in (health.LiveShape, health.ReadyShape, answers.JwksShape)]
    _, definitions = models_json_schema(list(dict.fromkeys(models)), ref_template="#/components/schemas/{model}")
    schemas: Document = definitions["$defs"]
    return schemas


def _operation(route: Route) -> Document:
    parameters = [_path_parameter(name) for name in _PATH_PARAMETER.findall(route.path)]
    parameters += _query_parameters(route.query)
    if route.idempotent:
        parameters.append(IDEMPOTENCY_PARAMETER)
    operation: Document = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": parameters,
        "responses": {
            str(route.status): {
                "description": HTTPStatus(route.status).phrase,
                "content": {"application/json": {"schema": _ref(route.answer)}},
            }
        },
    }
    if route.body.model_fields:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(route.body)}}}
    for status in sorted({*route.errors, *route.common_errors}):
        operation["responses"][str(status)] = {"$ref": "#/components/responses/Problem"}
    return operation


def _path_parameter(name: str) -> Document:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9A-Za-z_]{1,64}$"},
    }


def _query_parameters(model: type[BaseModel]) -> list[Document]:
    parameters = []
    for name, schema in model.model_json_schema().get("properties", {}).items():
        shape = schema.pop("x-shape", None)
        description = schema.pop("description", None)
        schema.pop("title", None)
        parameter: Document = {"name": name, "in": "query", "required": False, "schema": _not_null(schema)}
        if description:
            parameter["description"] = description
        if shape == "map":
            parameter |= {"style": "deepObject", "explode": True}
        parameters.append(parameter)
    return parameters


def _not_null(schema: Document) -> Document:
    """A parameter that may be left out is absent, never null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    return choices[0] if choices else schema


def _public_paths() -> dict[str, Document]:
    def get(name: str, summary: str, content: Document, *, errors: tuple[int, ...] = ()) -> Document:
        responses: Document = {"200": {"description": "OK", "content": content}}
        for status in (*errors, 429):
            responses[str(status)] = {"$ref": "#/components/responses/Problem"}
        return {
            "operationId": name,
            "summary": summary,
            "tags": ["Service"],
            "security": [],
            "parameters": [],
            "responses": responses,
        }

    def json_of(model: type[BaseModel]) -> Document:
        return {"application/json": {"schema": _ref(model)}}

    ready = get("ready", "Ready to serve, and what to look at", json_of(health.ReadyShape))
    ready["responses"]["503"] = {"description": "Not ready", "content": json_of(health.ReadyShape)}
    jwks = get("jwks", "A merchant's public signing keys", json_of(answers.JwksShape), errors=(404, 503))
    jwks["parameters"] = [_path_parameter("merchant_id")]
    metrics = get("metrics", "Figures for Prometheus", {"text/plain": {"schema": {"type": "string"}}}, errors=(503,))
    return {
        "/livez": {"get": get("live", "The process answers", json_of(health.LiveShape))},
        "/readyz": {"get": ready},
        "/metrics": {"get": metrics},
        "/jwks/{merchant_id}.json": {"get": jwks},
    }


def _ref(model: type[BaseModel]) -> Document:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
