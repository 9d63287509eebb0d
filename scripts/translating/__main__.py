"""`scripts/translations`: see there."""

from __future__ import annotations

import sys

from babel.messages.pofile import write_po

from checkout_web.words.language import ENGLISH, LANGUAGES
from scripts.translating.catalogue import extract, faults, read, update


def main(arguments: list[str]) -> int:
    match arguments:
        case ["extract"]:
            write_po(sys.stdout.buffer, extract(), width=110, omit_header=True)
            return 0
        case ["update"]:
            update()
            return check()
        case ["check"]:
            return check()
        case _:
            print("usage: scripts/translations extract | update | check", file=sys.stderr)
            return 2


def check() -> int:
    """Print every fault and a sum."""
    template = extract()
    languages = [language for language in LANGUAGES.values() if language != ENGLISH]
    found = [fault for language in languages for fault in faults(language, read(language), template)]
    for fault in found:
        print(fault)
    print(f"{len(template)} texts in {len(languages)} languages beside English: {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
