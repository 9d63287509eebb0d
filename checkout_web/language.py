"""The languages the page speaks, and which of them a request asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Language:
    """`tag`: for `lang` and `Content-Language` (BCP 47). `locale`: whose numbers and dates Babel writes."""

    code: str
    name: str
    """What its own readers call it."""
    tag: str
    locale: str
    direction: Literal["ltr", "rtl"] = "ltr"


# English writes dates and lists as most of its readers outside of America do.
ENGLISH = Language(code="en", name="English", tag="en", locale="en_GB")

LANGUAGES: Mapping[str, Language] = {language.code: language for language in (ENGLISH,)}
