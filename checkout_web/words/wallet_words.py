"""What the wallet section of the page says, by the keys that its scripts ask for (static/wallet*.js)."""

from __future__ import annotations

from collections.abc import Mapping

from checkout_web.words.marking import N_, NN_, Counted

_CHOOSING: Mapping[str, str | Counted] = {
    "wallet_intro": N_("It opens with the exact transfer filled in. You check it there, and approve it."),
    "wallet_nameless": N_("Browser wallet"),
    "wallet_back": N_("Back"),
    "wallet_start_over": N_("Start over"),
    "wallet_try_again": N_("Try again"),
    "wallet_another": N_("Another wallet"),
    "wallet_anyway": N_("Go on anyway"),
}

_STEPS: Mapping[str, str | Counted] = {
    "wallet_step_connect": N_("Open %(wallet)s and allow this page to see your account."),
    "wallet_step_switch": N_("%(wallet)s asks whether it may change to %(network)s. Allow it."),
    "wallet_step_add": N_("%(wallet)s does not know %(network)s yet and asks whether it may add it. Allow it."),
    "wallet_step_look": N_("One moment: looking at your balance."),
    "wallet_step_send": N_("Approve the transfer of %(asked)s in %(wallet)s."),
    "wallet_holds": N_("Account %(account)s holds %(held)s."),
    "wallet_account": N_("Account %(account)s."),
    "wallet_slow": N_(
        "%(wallet)s has not answered yet. Its window may be behind this one, or its icon beside the browser’s "
        "address bar shows that it waits."
    ),
    "wallet_amount_moved": N_(
        "Money has arrived meanwhile: now %(asked)s remain. Refuse the open request in your wallet, then start over."
    ),
    "wallet_send_moved": N_(
        "Your wallet was changed to another account or network. If its request is gone, start over."
    ),
    "wallet_paid_meanwhile": N_(
        "This payment was made from elsewhere meanwhile. Refuse the request that is still open in %(wallet)s: "
        "approved, it would pay a second time."
    ),
    "wallet_over_meanwhile": N_(
        "This payment takes no more money. Refuse the request that is still open in %(wallet)s: what is sent now would "
        "only have to be sent back."
    ),
    "wallet_maybe_open": N_(
        "A request may still be open in your wallet. Refuse it there first, so that you do not pay twice."
    ),
}

_REFUSALS: Mapping[str, str | Counted] = {
    "wallet_rejected": N_("You refused in %(wallet)s. Nothing was sent."),
    "wallet_unauthorized": N_(
        "%(wallet)s does not let this page use that account. Connect this page with an account in the wallet’s "
        "list of connected sites, then try again."
    ),
    "wallet_unsupported": N_(
        "%(wallet)s cannot do this. Use the QR code or the address on this page, or another wallet."
    ),
    "wallet_disconnected": N_("%(wallet)s is not connected to any network. Check your connection, then try again."),
    "wallet_chain_disconnected": N_(
        "%(wallet)s cannot reach this network at the moment. Try again in a minute, or use another wallet."
    ),
    "wallet_busy": N_(
        "A request of this page is already open in %(wallet)s. Open the wallet, answer it there, then try again."
    ),
    "wallet_too_often": N_("%(wallet)s was asked too often. Wait a minute, then try again."),
    "wallet_no_funds": N_(
        "%(wallet)s says that this account has too little for the transfer with its network fee. Nothing was sent. "
        "Choose another account in it, or another token here."
    ),
    "wallet_too_little": N_(
        "This account holds %(held)s, and %(asked)s are asked for. Choose another account in %(wallet)s, or another "
        "token here."
    ),
    "wallet_no_fee": N_(
        "The network fee is paid in %(coin)s, and this account holds %(held)s %(coin)s: probably too little. "
        "Put some there first, or go on if your wallet pays fees in another way."
    ),
    "wallet_locked": N_("%(wallet)s is locked, or shows this page no account. Unlock it, then try again."),
    "wallet_chain_unknown": N_("%(wallet)s does not know this network. Add it there, then try again."),
    "wallet_add_by_hand": N_(
        "Add the network in %(wallet)s by hand, then try again: %(network)s, chain id %(chain)s, coin %(coin)s. "
        "For its address, look into the network’s own documentation."
    ),
    "wallet_wrong_chain": N_("%(wallet)s is on another network. Choose %(network)s in it, then try again."),
    "wallet_account_changed": N_(
        "The account in %(wallet)s was changed meanwhile. Nothing was sent. Try again with it."
    ),
    "wallet_no_answer": N_("%(wallet)s does not answer. Open it, or reload this page, then try again."),
    "wallet_nonsense": N_(
        "%(wallet)s gave an answer that cannot be understood. Reload this page, or use another wallet."
    ),
    "wallet_pending_before": N_(
        "%(wallet)s has an earlier transaction that still waits. Finish or cancel that one there, then try again."
    ),
    "wallet_node_refused": N_("The network refused what %(wallet)s sent. The wallet’s own words: %(words)s"),
    "wallet_unknown": N_("%(wallet)s reports an error. Its own words: %(words)s"),
    "wallet_unknown_silent": N_("%(wallet)s reports an error and does not say which."),
    "wallet_maybe_sent": N_(
        "Before you try again, look into the wallet’s list of activity: if the transfer is there, it was sent, "
        "and this page will notice it."
    ),
    "wallet_moved_on": N_("This payment asks for no more money. Nothing was sent."),
    "wallet_amount_changed": N_("The amount has changed meanwhile: now %(asked)s remain. Nothing was sent."),
    "wallet_no_server": N_(
        "This page cannot ask how much remains to be paid. Nothing was sent. Check your connection, then try again."
    ),
    "wallet_other_tab": N_(
        "Another tab is just asking a wallet for this payment. Finish it there, so that you do not pay twice."
    ),
}

_SENT: Mapping[str, str | Counted] = {
    "wallet_sent_heading": N_("Your payment is on its way"),
    "wallet_sent": N_("Sent."),
    "wallet_sent_from": N_("%(amount)s from %(wallet)s."),
    "wallet_sent_amount": N_("%(amount)s."),
    "wallet_sent_wait": N_("This page shows it as soon as it is in a block. You may close the wallet."),
    "wallet_sent_nameless": N_("The wallet named no transaction. It is found all the same, by the address."),
    "wallet_hash": N_("Transaction"),
    "wallet_explorer": N_("Look at it in a block explorer"),
    "wallet_quiet": NN_(
        "Nothing has arrived after %(n)s minute. Look into your wallet: if the transaction still waits there, "
        "raise its fee; if it failed or was canceled, send again.",
        "Nothing has arrived after %(n)s minutes. Look into your wallet: if the transaction still waits there, "
        "raise its fee; if it failed or was canceled, send again.",
    ),
    "wallet_vanished": N_(
        "Your wallet no longer knows this transaction. If you raised its fee, it goes by another number now, "
        "and is found by the address all the same. If you canceled it, send again."
    ),
    "wallet_again": N_("Send again"),
    "wallet_again_warning": N_(
        "If the first transfer arrives as well, you have paid twice, and the rest has to be sent back to you. "
        "Only send again if your wallet shows that the first one failed or was canceled."
    ),
    "wallet_again_anyway": N_("Send again anyway"),
}

WALLET_WORDS: Mapping[str, str | Counted] = {**_CHOOSING, **_STEPS, **_REFUSALS, **_SENT}
"""Values are filled in where a text says `%(name)s`. `wallet_` and the kind of a refusal (static/wallet_refusals.js)
make its key."""
