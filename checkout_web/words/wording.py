"""Everything the page says in one language: its texts, and how it writes numbers, times and lists."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from gettext import NullTranslations

from babel import Locale
from babel.dates import format_date, get_datetime_format
from babel.lists import format_list
from babel.numbers import format_decimal, get_decimal_symbol
from markupsafe import Markup, escape

from checkout_web.words.language import Language
from checkout_web.words.marking import N_, NN_, Counted

_A_FEW_SECONDS = N_("a few seconds")
_SECONDS = NN_("about %(n)s second", "about %(n)s seconds")
_MINUTES = NN_("about %(n)s minute", "about %(n)s minutes")
_HOURS = NN_("about %(n)s hour", "about %(n)s hours")
_DAYS = NN_("about %(n)s day", "about %(n)s days")
_UTC = N_("%(moment)s UTC")


class Wording:
    """One language's texts. `translations` knows those of the catalogue; what it does not know stays English.

    Digits are the Latin ones in every language. Customers retype these figures into wallets and exchanges and compare
    them with a block explorer's, and those show Latin digits to readers of Arabic as well.
    """

    def __init__(self, language: Language, translations: NullTranslations) -> None:
        self.language = language
        self._translations = translations
        self._locale = Locale.parse(language.locale)

    def gettext(self, text: str) -> str:
        """The text in this language. The empty text is none: a catalogue has its own head under it."""
        return self._translations.gettext(text) if text else ""

    def ngettext(self, one: str, other: str, n: int) -> str:
        """The form of the text that goes with `n`."""
        return self._translations.ngettext(one, other, n)

    def counted(self, text: Counted, n: int) -> str:
        """The text with its number filled in."""
        return self.ngettext(text.one, text.other, n) % {"n": self.count(n)}

    def count(self, n: int) -> str:
        """A whole number as this language groups it."""
        return format_decimal(n, format="#,##0", locale=self._locale, numbering_system="latn")

    def figure(self, amount: str) -> str:
        """A token's amount: all its decimals behind this language's mark, and no grouping, which a reader elsewhere
        could take for that mark.

        Nor ever three decimals: `25,125` is 25 and an eighth in Spain, and twenty-five thousand in Mexico.
        """
        decimals = amount.partition(".")[2]
        if len(decimals) == 3 and decimals.isdecimal():  # not one that was cut short
            amount += "0"
        return amount.replace(".", get_decimal_symbol(self._locale, numbering_system="latn"))

    def money(self, amount: str) -> str:
        """An amount of the shop's currency, grouped: it is read, not retyped."""
        whole, mark, decimals = amount.partition(".")
        return self.count(int(whole)) + self.figure(mark + decimals)

    def utc(self, seconds: int) -> str:
        """Unix seconds as a date and time, such as `26 March 2026, 13:30 UTC`."""
        moment = datetime.fromtimestamp(seconds, UTC)
        both = str(get_datetime_format("medium", locale=self._locale)).replace("'", "")
        date = format_date(moment, "long", locale=self._locale)
        return self.gettext(_UTC) % {"moment": both.format(f"{moment:%H:%M}", date)}

    def roughly(self, seconds: int) -> str:
        """A wait in words that promise no more than they know."""
        if seconds < 10:
            return self.gettext(_A_FEW_SECONDS)
        if seconds < 90:
            return self.counted(_SECONDS, -(-seconds // 10) * 10)
        if seconds <= 90 * 60:
            return self.counted(_MINUTES, -(-seconds // 60))
        hours = -(-seconds // 3_600)
        return self.counted(_HOURS, hours) if hours <= 48 else self.counted(_DAYS, -(-hours // 24))

    def isolated(self, text: str) -> str:
        """Another's text, such as a merchant's name, where no markup can set it apart: between the marks that do
        (Unicode 9, FSI and PDI) where it may read in the other direction than this language does."""
        reads = {unicodedata.bidirectional(character) for character in text}
        other = {"L"} if self.language.direction == "rtl" else {"R", "AL"}
        return f"\u2068{text}\u2069" if reads & other else text

    def joined(self, items: Iterable[str]) -> Markup:
        """`USDT, USDC and BNB`. What is not markup yet is escaped."""
        return Markup(format_list([str(escape(item)) for item in items], locale=self._locale))  # noqa: S704

    def script_words(self, words: Mapping[str, str | Counted]) -> dict[str, str | dict[str, str]]:
        """The texts for the page's scripts: plain, or by the plural category that `Intl.PluralRules` names."""
        return {key: self.gettext(text) if isinstance(text, str) else self._forms(text) for key, text in words.items()}

    def _forms(self, text: Counted) -> dict[str, str]:
        category = self._locale.plural_form
        forms: dict[str, str] = {}
        for n in range(200):  # every category of whole numbers below a million has one here
            forms.setdefault(category(n), self.ngettext(text.one, text.other, n))
        return {"other": self.ngettext(text.one, text.other, 100)} | forms
