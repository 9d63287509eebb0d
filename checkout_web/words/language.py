"""The languages the page speaks, and which of them a request asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from babel.core import negotiate_locale

QUERY = "lang"
"""The query parameter that chooses a language."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """`code`: in addresses and the catalogue's name. `tag`: for `lang` and `Content-Language` (BCP 47)."""

    code: str
    name: str
    """What its own readers call it."""
    tag: str
    locale: str
    """Whose numbers, dates and lists Babel writes (CLDR)."""
    direction: Literal["ltr", "rtl"] = "ltr"


# English writes dates and lists as most of its readers outside of America do.
ENGLISH = Language(code="en", name="English", tag="en", locale="en_GB")

LANGUAGES: Mapping[str, Language] = {
    language.code: language
    for language in (
        ENGLISH,
        Language(code="es", name="Español", tag="es", locale="es"),
        Language(code="pt", name="Português", tag="pt-BR", locale="pt_BR"),
        Language(code="tr", name="Türkçe", tag="tr", locale="tr"),
        Language(code="vi", name="Tiếng Việt", tag="vi", locale="vi"),
        Language(code="id", name="Bahasa Indonesia", tag="id", locale="id"),
        Language(code="zh", name="简体中文", tag="zh-Hans", locale="zh_Hans_CN"),
        Language(code="ar", name="العربية", tag="ar", locale="ar", direction="rtl"),
    )
}
"""All of them, in the order in which the page offers them. One more takes a line here and a catalogue in `locale`."""

_MOST_READ = 1_000
"""Characters of an `Accept-Language` that are looked at: browsers send a few dozen."""

_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)

_OLD_CODES = {"in": "id"}
"""What some Android browsers still call a language (BCP 47 has replaced it)."""


def choose_language(query: Mapping[str, str], accept_language: str) -> tuple[Language, str | None]:
    """The language to show, and its code where the address asks for it, which outweighs what the browser asks for."""
    asked = LANGUAGES.get(query.get(QUERY, ""))
    if asked is not None:
        return asked, asked.code
    negotiated = negotiate_locale(_preferred(accept_language), list(LANGUAGES), sep="-")
    return LANGUAGES[negotiated or ENGLISH.code], None


def _preferred(accept_language: str) -> list[str]:
    """The wanted languages, dearest first (RFC 9110, 12.5.4). What is not well formed is left out, and so is `*`,
    which is content with any: English."""
    ranges = (_RANGE.fullmatch(part) for part in accept_language[:_MOST_READ].split(","))
    weighted = [(float(match[2] or 1), match[1].lower()) for match in ranges if match]
    weighted.sort(key=lambda pair: -pair[0])  # stable: as listed where they weigh the same
    return [_renamed(wanted) for weight, wanted in weighted if weight > 0]


def _renamed(wanted: str) -> str:
    primary, _, rest = wanted.partition("-")
    return "-".join(part for part in (_OLD_CODES.get(primary, primary), rest) if part)
