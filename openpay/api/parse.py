"""From JSON and query strings to schemas; what does not fit is named in the error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from multidict import MultiMapping
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from openpay.errors import Invalid

ModelT = TypeVar("ModelT", bound=BaseModel)

_SAYS: Mapping[str, str] = {
    "string_type": "must be a JSON string",
    "int_type": "must be a whole JSON number",
    "bool_type": "must be true or false",
    "list_type": "must be a JSON array",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
}
"""Our words for the errors that everybody meets; the others keep pydantic's."""

_CODE_OF_FIELD: Mapping[str, str] = {
    "accepted_tokens": "invalid_token",
    "success_url": "invalid_url",
    "cancel_url": "invalid_url",
}
"""Where the use case's code is not `invalid_` and the field's name: a field has one code, whatever is wrong with it."""

_BRACKETS = re.compile(r"(\w+)\[(.*)\]", re.ASCII | re.DOTALL)
_INTEGER = re.compile(r"-?[0-9]{1,9}", re.ASCII)


def parse_body(model: type[ModelT], value: Mapping[str, Any]) -> ModelT:
    """Check the shape of a JSON object. Raises `Invalid` naming the field: `unknown_field`, `missing_field`, or
    `invalid_<field>`. What the values mean is for the use case to judge."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_context=False)) from None


def parse_query(model: type[ModelT], query: MultiMapping[str]) -> ModelT:
    """Read a query string by the model's fields: lists may repeat or use commas, maps are written `name[key]=value`.

    Raises `Invalid`: `unknown_parameter`, or `invalid_<parameter>`.
    """
    values: dict[str, Any] = {}
    for name, text in query.items():
        _check_text(name, text)
        brackets = _BRACKETS.fullmatch(name)
        field_name = brackets[1] if brackets else name
        field = model.model_fields.get(field_name)
        kind = None if field is None else (field.json_schema_extra or {})
        shape = kind.get("x-shape") if isinstance(kind, dict) else None
        if field is None or (brackets is not None) != (shape == "map"):
            raise Invalid(f"unknown query parameter {name[:60]!r}", code="unknown_parameter", param=name[:60])
        if brackets is not None:
            entries = values.setdefault(field_name, {})
            if brackets[2] in entries:
                raise _twice(name)
            entries[brackets[2]] = text
        elif shape == "list":
            values.setdefault(field_name, []).extend(text.split(","))
        elif field_name in values:
            raise _twice(name)
        else:
            values[field_name] = int(text) if shape == "integer" and _INTEGER.fullmatch(text) else text
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_context=False)) from None


def _check_text(name: str, text: str) -> None:
    """PostgreSQL stores no NUL, and half a surrogate pair is no character."""
    try:
        (name + text).encode()
    except UnicodeEncodeError:
        printable = name.encode("ascii", "backslashreplace").decode()[:60]
        raise Invalid("the query string is not UTF-8", code="invalid_string", param=printable) from None
    if "\0" in name + text:
        raise Invalid("the query string has a NUL character", code="invalid_string", param=name.replace("\0", "")[:60])


def _twice(name: str) -> Invalid:
    return Invalid(f"{name[:60]} is given twice", code=_code(name), param=name[:60])


def _invalid(errors: list[ErrorDetails]) -> Invalid:
    """One error for the whole list: unknown fields first, all of them; else the first."""
    unknown = [_path(error) for error in errors if error["type"] == "extra_forbidden"]
    if unknown:
        return Invalid(
            f"unknown field{'s' if len(unknown) > 1 else ''}: {', '.join(unknown[:20])}",
            code="unknown_field",
            param=unknown[0],
        )
    first = errors[0]
    path = _path(first)
    if first["type"] == "missing":
        return Invalid(f"{path} is required", code="missing_field", param=path)
    says = _SAYS.get(first["type"]) or first["msg"][0].lower() + first["msg"][1:]
    return Invalid(f"{path}: {says}", code=_code(str(first["loc"][0])), param=path)


def _path(error: ErrorDetails) -> str:
    """`line_items.0.name`, cut where a caller's own key is long."""
    return ".".join(str(part)[:60] for part in error["loc"])


def _code(name: str) -> str:
    """`metadata[order_id]` has the code of `metadata`."""
    field = name.partition("[")[0]
    return _CODE_OF_FIELD.get(field, f"invalid_{field}")
