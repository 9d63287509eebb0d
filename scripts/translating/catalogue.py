"""What stands marked in the checkout page's sources, and what is wrong with a catalogue of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.core import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from checkout_web.words.catalogues import CATALOGUES
from checkout_web.words.language import ENGLISH, LANGUAGES, Language

SOURCES = Path(__file__).parents[2] / "checkout_web"

_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
_OPTIONS = {
    "templates/**.html": {
        "trimmed": "true",
        "newstyle_gettext": "true",
        "trim_blocks": "true",
        "lstrip_blocks": "true",
        "silent": "false",
    }
}
_KEYWORDS = {"N_": None, "NN_": (1, 2), "_": None, "gettext": None, "ngettext": (1, 2)}

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_TAG = re.compile(r"</?\w+[^>]*>")
_TEXT_ID = tuple[str, ...]


def extract() -> Catalog:
    """Every marked text, in the order of its sources."""
    catalogue = Catalog(project="Open Pay", charset="utf-8", fuzzy=False)
    found = extract_from_dir(SOURCES, _METHODS, _OPTIONS, keywords=_KEYWORDS, comment_tags=("Translators:",))
    for path, _line, text, comments, context in sorted(found, key=lambda entry: (entry[0], entry[1])):
        # Without line numbers: they change with every edit, and say little to a translator.
        catalogue.add(text, None, [(path, None)], auto_comments=comments, context=context)
    return catalogue


def read(language: Language) -> Catalog:
    """The catalogue of `language`, or an empty one."""
    path = CATALOGUES / f"{language.code}.po"
    if path.exists():
        with path.open("rb") as file:
            catalogue = read_po(file, locale=language.locale)
    else:
        catalogue = Catalog(locale=language.locale, project="Open Pay", charset="utf-8", fuzzy=False)
    if not Locale.parse(language.locale).plural_form.tags:
        # Babel takes a language that it has no gettext rule for to have two forms, as English has.
        catalogue.mime_headers = [("Plural-Forms", "nplurals=1; plural=0")]
    return catalogue


def update() -> None:
    """Take the marked texts into every catalogue. Texts no longer used are dropped, changed ones begin anew: a guess
    at what a sentence about money says is worse than its English."""
    template = extract()
    for language in LANGUAGES.values():
        if language == ENGLISH:
            continue
        catalogue = read(language)
        catalogue.update(template, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        catalogue.version, catalogue.msgid_bugs_address = "", ""
        catalogue.last_translator = catalogue.language_team = "Open Pay"
        catalogue.header_comment = f"# {language.name}: translations of the checkout page's texts."
        catalogue.revision_date = catalogue.creation_date = datetime(2026, 1, 1, tzinfo=UTC)
        with (CATALOGUES / f"{language.code}.po").open("wb") as file:
            write_po(file, catalogue, width=110, ignore_obsolete=True, include_previous=False)


def faults(language: Language, catalogue: Catalog, template: Catalog) -> Iterator[str]:
    """What keeps `catalogue` from saying all that `template` says, one line each."""
    wanted, held = _by_id(template), _by_id(catalogue)
    for text in held.keys() - wanted.keys():
        yield f"{language.code}: no longer used: {text[0]!r}"
    for text in wanted:
        message = held.get(text)
        if message is None:
            yield f"{language.code}: not in the catalogue, run scripts/translations update: {text[0]!r}"
        else:
            yield from (f"{language.code}: {fault}: {text[0]!r}" for fault in _message_faults(message, catalogue))


def _by_id(catalogue: Catalog) -> dict[_TEXT_ID, Message]:
    return {_forms(message.id): message for message in catalogue if message.id}


def _forms(texts: str | tuple[str, ...] | list[str]) -> _TEXT_ID:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def _message_faults(message: Message, catalogue: Catalog) -> Iterator[str]:
    sources, translations = _forms(message.id), _forms(message.string)
    expected = catalogue.num_plurals if len(sources) > 1 else 1
    if message.fuzzy:
        yield "marked as a guess (fuzzy)"
    if len(translations) != expected or not all(translation.strip() for translation in translations):
        yield f"not translated, or not in all {expected} forms"
        return
    source = sources[-1]
    for translation in translations:
        if set(_PLACEHOLDER.findall(translation)) - {"n"} != set(_PLACEHOLDER.findall(source)) - {"n"}:
            yield f"other placeholders in {translation!r}"
        if len(sources) == 1 and ("%(n)s" in translation) != ("%(n)s" in source):
            yield f"the number is missing or new in {translation!r}"
        if _PLACEHOLDER.sub("", translation).replace("%%", "").count("%"):
            yield f"a stray percent sign in {translation!r}"
        if sorted(_TAG.findall(translation)) != sorted(_TAG.findall(source)):
            yield f"other tags in {translation!r}"
        if '"' in _TAG.sub("", translation):
            yield f"a straight quotation mark, which would end an attribute, in {translation!r}"
        if (translation[0] == " ", translation[-1] == " ") != (source[0] == " ", source[-1] == " "):
            yield f"other spaces around {translation!r}"
