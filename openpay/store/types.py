"""Column types: how the domain's values rest in SQL."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Dialect, Numeric, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine


class Hex(TypeDecorator[bytes]):
    """Bytes as lowercase `0x…` text: an operator can read and search it on either database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else "0x" + value.hex()

    def process_result_value(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else bytes.fromhex(value[2:])


class Units(TypeDecorator[int]):
    """A non-negative integer of up to 78 digits. NUMERIC(78,0) on PostgreSQL, text on SQLite.

    Never compared, ordered or summed in SQL: on text that is silently wrong.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Numeric(78, 0) if dialect.name == "postgresql" else String(78))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Decimal | str | None:
        if value is None:
            return None
        return Decimal(value) if dialect.name == "postgresql" else str(value)

    def process_result_value(self, value: Decimal | str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)
