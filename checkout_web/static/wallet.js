// The wallet section: choosing a wallet, what it is asked for, what became of it. It lives on while the state part
// around it is replaced.

import { announce } from "./announce.js";
import { pay } from "./wallet_paying.js";
import { Refusal, refusalOf } from "./wallet_refusals.js";
import { Sent, hasArrived, hashIn, report } from "./wallet_sent.js";
import { amount, readAsked } from "./wallet_transfer.js";
import { button, chooser, make, nameOf, shortened } from "./wallet_view.js";
import { sentCard } from "./wallet_sent_view.js";
import { Way } from "./wallet_way.js";
import { findWallets } from "./wallets.js";
import { say, withLanguage } from "./words.js";

const SLOW_MS = 45_000;
const OPEN_PARTS = ["waiting", "underpaid", "closing", "confirming", "confirming_reverted"];
const PAID_PARTS = ["confirming", "paid", "overpaid"];
// After these something may have been sent all the same.
const UNCERTAIN = ["unknown", "unknown_silent", "disconnected", "chain_disconnected", "node_refused", "pending_before", "nonsense"];
const OVERRULED = { no_fee: "feeAccepted", other_tab: "besideOthers" };

export class WalletPart {
  #live;
  #refresh;
  #way;
  #root = make("div", { class: "wallet-body" });
  #asked = null;
  #sent = null;
  #view = { kind: "choose" };
  #run = null; // the attempt under way: {wallet, asked, abort, step, options}
  #again = false;
  #slowTimer = null;
  #shownKey = null;

  // `refresh()` brings the page up to date now.
  constructor(live, refresh) {
    this.#live = live;
    this.#refresh = refresh;
    this.#way = new Way(live);
  }

  // Put the section into the current state part, if that has a place for it. Called with every new part, when another
  // wallet is heard of, and when another tab may have sent.
  attach() {
    const place = this.#live.querySelector("[data-wallet]");
    this.#asked = readAsked(this.#live);
    if (!place) return this.#leave();
    if (!this.#sent) {
      this.#sent = new Sent(this.#asked.payment);
      this.#reportAgain();
    }
    const body = place.querySelector("[data-wallet-body]");
    if (this.#root.parentElement !== body) body.replaceChildren(this.#root); // put in once more, it would lose the focus
    const running = this.#run;
    if (running?.asked.token === this.#asked.token && running.asked.units !== this.#asked.units) {
      this.#view = { ...this.#view, moved: amount(this.#asked.units, this.#asked) };
    }
    this.#render();
  }

  // Call before the state part is replaced, and what it returns after: the focus stays where it was.
  hold() {
    const focused = this.#root.contains(document.activeElement) ? document.activeElement : null;
    return () => focused?.isConnected && focused.focus({ preventScroll: true });
  }

  // The payment asks for nothing any more.
  #leave() {
    const part = this.#live.querySelector("[data-part]")?.dataset.part;
    if (!OPEN_PARTS.includes(part)) this.#sent?.write(null);
    if (this.#run?.step !== "send" || this.#live.querySelector("[data-still-open]")) return;
    // Paid from elsewhere, or over, while a wallet still shows its request: approved now, it would be sent for nothing.
    const values = { wallet: nameOf(this.#run.wallet) };
    const words = PAID_PARTS.includes(part) ? say("wallet_paid_meanwhile", values) : say("wallet_over_meanwhile", values);
    const warning = make("p", { class: "note", role: "alert", "data-still-open": true }, words);
    this.#live.querySelector(".headline")?.after(warning);
  }

  // --- an attempt --------------------------------------------------------------------------------------------------

  async #start(wallet, options = {}) {
    const run = { wallet, asked: this.#asked, abort: new AbortController(), step: null, options };
    this.#run?.abort.abort(new Refusal("given_up"));
    this.#run = run;
    try {
      await this.#alone(options, () => this.#pay(run));
    } catch (error) {
      if (this.#run !== run) return;
      this.#stop();
      const refusal = refusalOf(error);
      if (["moved_on", "amount_changed"].includes(refusal.kind)) await this.#refresh();
      this.#show({ kind: "trouble", refusal, wallet, during: run.step, options });
    }
  }

  async #pay(run) {
    await pay({
      provider: run.wallet.provider,
      asked: run.asked,
      signal: run.abort.signal,
      feeAccepted: run.options.feeAccepted,
      current: () => this.#current(run.asked.token),
      step: (step, values = {}) => {
        if (step === "send") this.#stillAsked(run.asked);
        if (this.#run === run) this.#step(run, step, values);
      },
      onAnswer: (answer, account) => this.#answered(run, answer, account),
    });
  }

  // What the payment asks for at this moment, by the server: another tab or wallet may have paid meanwhile.
  async #current(token) {
    try {
      const answer = await fetch(`${this.#live.dataset.state}?${withLanguage(new URLSearchParams({ token }))}`, { cache: "no-store" });
      if (!answer.ok) throw new Refusal("no_server");
      return readAsked(new DOMParser().parseFromString((await answer.json()).html, "text/html"));
    } catch {
      throw new Refusal("no_server");
    }
  }

  // Throws a `Refusal` where the page was told of news while the wallet was being looked at, which may take a minute.
  #stillAsked({ token, units }) {
    const now = this.#asked;
    if (now === null) throw new Refusal("moved_on");
    if (now.token === token && now.units !== units) throw new Refusal("amount_changed", { asked: amount(now.units, now) });
  }

  // One tab of this browser at a time, where the browser can tell.
  #alone({ besideOthers }, run) {
    if (!navigator.locks || besideOthers) return run();
    return navigator.locks.request(`openpay:pay:${this.#asked.payment}`, { ifAvailable: true }, (lock) => {
      if (!lock) throw new Refusal("other_tab");
      return run();
    });
  }

  #step(run, step, values) {
    if (step === "send_moved") return this.#show({ ...this.#view, note: say("wallet_send_moved") });
    run.step = step;
    clearTimeout(this.#slowTimer);
    this.#slowTimer = setTimeout(() => this.#run === run && this.#show({ ...this.#view, slow: true }), SLOW_MS);
    return this.#show({ kind: "working", wallet: run.wallet, step, values });
  }

  #answered(run, answer, account) {
    const hash = hashIn(answer);
    const { name, rdns } = run.wallet;
    const before = run.asked.arrived.map((arrival) => arrival.name);
    const entry = { hash, at: Date.now(), amount: amount(run.asked.units, run.asked), account, before, wallet: name, rdns, reported: hash === null };
    this.#sent.write(entry);
    if (this.#run === run) this.#stop();
    this.#again = false;
    this.#show({ kind: "choose" });
    announce(say("wallet_sent"));
    this.#report(entry);
  }

  async #report(entry) {
    const url = new URL("transactions", new URL(this.#live.dataset.state, location.href));
    if (entry.hash !== null && (await report(url, entry.hash))) this.#sent.note(entry, { reported: true });
  }

  #reportAgain() {
    const entry = this.#sent.read();
    if (entry && !entry.reported) this.#report(entry);
  }

  #stop() {
    clearTimeout(this.#slowTimer);
    this.#run?.abort.abort(new Refusal("given_up"));
    this.#run = null;
  }

  #giveUp() {
    const wasOpen = this.#run?.step === "send";
    this.#stop();
    this.#show({ kind: "choose", warning: wasOpen ? say("wallet_maybe_open") : null });
  }

  // --- what is shown -----------------------------------------------------------------------------------------------

  #show(view) {
    this.#view = view;
    this.#render();
    const status = this.#root.querySelector("[data-wallet-status]");
    if (status) announce(status.textContent);
  }

  #render() {
    const place = this.#root.closest("[data-wallet]");
    if (!place) return;
    const wallets = findWallets();
    const sent = this.#run || this.#again ? null : this.#onItsWay();
    place.hidden = wallets.length === 0 && !sent && this.#view.kind === "choose";
    const hadFocus = this.#root.contains(document.activeElement);
    const sentIsShown = sent !== null && this.#view.kind === "choose";
    place.querySelector("#wallet-heading").hidden = sentIsShown;
    place.setAttribute("aria-labelledby", sentIsShown ? "wallet-sent" : "wallet-heading");
    this.#way.show(place, sentIsShown);
    const key = this.#keyOf(wallets);
    if (sentIsShown) this.#renderSent(sent, wallets);
    else if (this.#shownKey !== key) this.#root.replaceChildren(...this.#content(wallets));
    this.#shownKey = sentIsShown ? null : key;
    if (hadFocus && !this.#root.contains(document.activeElement)) {
      const next = this.#root.querySelector("[data-wallet-status]") ?? this.#root.querySelector("button");
      next?.focus({ preventScroll: true });
    }
  }

  // What was sent and has not arrived yet. Arrived, it may have been too little: then the rest is asked for.
  #onItsWay() {
    const sent = this.#sent.read();
    return sent && hasArrived(sent, this.#asked.arrived) ? null : sent;
  }

  // Equal for what looks alike: buttons that stay the same keep the focus when news arrive.
  #keyOf(wallets) {
    const { wallet, refusal, ...view } = this.#view;
    return JSON.stringify([view, wallet?.uuid, refusal?.kind, refusal?.values, this.#again, wallets.map(({ uuid }) => uuid)]);
  }

  #content(wallets) {
    if (this.#view.kind === "working") return this.#working(this.#view);
    if (this.#view.kind === "trouble") return this.#trouble(this.#view, wallets);
    return [
      this.#view.warning && note(this.#view.warning),
      this.#again && note(say("wallet_again_warning")),
      make("p", { class: "quiet small" }, say("wallet_intro")),
      chooser(wallets, (wallet) => this.#start(wallet)),
      this.#again && button(say("wallet_back"), () => this.#sendAgain(false), { plain: true }),
    ].filter(Boolean);
  }

  #working({ wallet, step, values, slow, moved, note: remark }) {
    const name = nameOf(wallet);
    const lines = [status(say(`wallet_step_${step}`, { wallet: name, ...values }))];
    if (values.account) {
      const account = shortened(values.account);
      const words = values.held === null ? say("wallet_account", { account }) : say("wallet_holds", { account, held: values.held });
      lines.push(make("p", { class: "quiet small" }, words));
    }
    if (moved) lines.push(note(say("wallet_amount_moved", { asked: moved })));
    if (remark) lines.push(note(remark));
    if (slow) lines.push(make("p", { class: "small" }, say("wallet_slow", { wallet: name })));
    lines.push(button(say("wallet_start_over"), () => this.#giveUp(), { plain: true }));
    return lines;
  }

  #trouble({ refusal, wallet, during, options }, wallets) {
    const lines = [note(say(`wallet_${refusal.kind}`, { wallet: nameOf(wallet), ...refusal.values }), true)];
    if (during === "send" && UNCERTAIN.includes(refusal.kind)) lines.push(make("p", { class: "small" }, say("wallet_maybe_sent")));
    const overruled = OVERRULED[refusal.kind];
    const buttons = [button(say("wallet_try_again"), () => this.#start(wallet, options), { primary: true })];
    if (overruled) buttons.push(button(say("wallet_anyway"), () => this.#start(wallet, { ...options, [overruled]: true })));
    if (wallets.length > 1) buttons.push(button(say("wallet_another"), () => this.#show({ kind: "choose" })));
    lines.push(make("div", { class: "act" }, ...buttons));
    return lines;
  }

  #renderSent(sent, wallets) {
    sentCard(this.#root, {
      sent,
      asked: this.#asked,
      wallet: wallets.find((wallet) => wallet.rdns === sent.rdns && wallet.name === sent.wallet),
      onAgain: wallets.length > 0 ? () => this.#sendAgain(true) : null,
      onNews: (facts) => {
        this.#sent.note(sent, facts);
        this.#render(); // what has arrived may now be known for it
      },
    });
  }

  #sendAgain(again) {
    this.#again = again;
    this.#show({ kind: "choose" });
  }
}

function status(text) {
  return make("p", { class: "wallet-status", tabindex: "-1", "data-wallet-status": true }, text);
}

function note(text, isStatus = false) {
  return make("p", { class: "note", ...(isStatus && { tabindex: "-1", "data-wallet-status": true }) }, text);
}
