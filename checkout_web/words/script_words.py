"""What the page's scripts say. They have no texts of their own: each asks for one of these keys (static/words.js)."""

from __future__ import annotations

from collections.abc import Mapping

from checkout_web.words.marking import N_, NN_, Counted
from checkout_web.words.wallet_words import WALLET_WORDS

SCRIPT_WORDS: Mapping[str, str | Counted] = {
    # announce.js, countdown.js, state.js
    "minutes_left": NN_("%(n)s minute left to pay", "%(n)s minutes left to pay"),
    "up_to_date": N_("Up to date with the network again."),
    # copy.js
    "copy": N_("Copy"),
    "copied": N_("Copied"),
    "select_it": N_("Select it"),
    "copying_failed": N_("Copying is not possible here. Select the text instead."),
    # onward.js
    "onward": NN_("You will be taken back in %(n)s second.", "You will be taken back in %(n)s seconds."),
    # claim.js
    "claim_open_wallet": N_("Open your wallet and read what it asks you to sign."),
    "claim_not_signed": N_("The wallet did not sign. Nothing was changed."),
    "claim_other_account": N_("Choose the account that paid in your wallet: %(sender)s"),
    "claim_not_possible": N_("This address cannot be used. Copy it from your own wallet."),
    # wallet.js and its parts
    **WALLET_WORDS,
}
"""Texts by key, in English. Values are filled in where the text says `%(name)s`; in a counted one `%(n)s` chooses the
form. Group them by the script that says them."""

EMBED_WORDS = (N_("Checkout"), N_("Close"))
"""What static/openpay.js says by itself on a shop's page: the name of its dialog, and of the button that closes it."""
