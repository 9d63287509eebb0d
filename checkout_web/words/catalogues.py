"""Reads the translations: one catalogue for each language, as translators edit it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from checkout_web.words.language import ENGLISH, LANGUAGES, Language
from checkout_web.words.wording import Wording

CATALOGUES = Path(__file__).parents[1] / "locale"


@cache
def load_wordings() -> Mapping[str, Wording]:
    """Every language's wording, by code. Read once by a process."""
    return {code: Wording(language, _translations(language)) for code, language in LANGUAGES.items()}


def _translations(language: Language) -> NullTranslations:
    """The catalogue of `language`; English is the source, and needs none."""
    if language == ENGLISH:
        return NullTranslations()
    with (CATALOGUES / f"{language.code}.po").open("rb") as file:
        catalogue = read_po(file, locale=language.locale)
    # Compiled here, in memory, rather than kept beside its source, where it could be older than that.
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)
