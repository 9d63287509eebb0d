// What the wallet has sent, from its answer until the payment shows it.

import { announce } from "./announce.js";
import { Wallet } from "./wallet_asking.js";
import { QUIET_MS } from "./wallet_sent.js";
import { button, copyButton, grouped, make } from "./wallet_view.js";
import { say } from "./words.js";

const LOOK_MS = 15_000;
const GONE_AFTER = 2; // looks without it: a wallet's node may be behind for a moment

const shown = new WeakMap();

// Show `sent` in `root`; shown already, it stays as it is. `wallet` is the one that sent it, where it is here.
// `onNews({seen, gone})` hears what became known of it meanwhile, and that it has taken long.
export function sentCard(root, { sent, asked, wallet, onAgain, onNews }) {
  const key = `${sent.hash} ${sent.at} ${onAgain === null}`;
  if (shown.get(root)?.key === key && root.querySelector("[data-wallet-sent]")) return;
  shown.get(root)?.end();
  const remarks = make("div", { class: "wallet-remarks" });
  const card = make("div", { class: "wallet-sent", "data-wallet-sent": true }, ...lines(sent, asked), remarks);
  if (onAgain) card.append(again(onAgain));
  root.replaceChildren(card);
  shown.set(root, { key, end: follow({ card, remarks, sent, asked, wallet, onNews }) });
}

function lines(sent, asked) {
  const words = sent.wallet ? say("wallet_sent_from", { amount: sent.amount, wallet: sent.wallet }) : say("wallet_sent_amount", { amount: sent.amount });
  const parts = [
    make("h3", { id: "wallet-sent", tabindex: "-1", "data-wallet-status": true }, say("wallet_sent"), " ", words),
    make("p", { class: "quiet small" }, say("wallet_sent_wait")),
  ];
  if (sent.hash === null) return [...parts, make("p", { class: "quiet small" }, say("wallet_sent_nameless"))];
  const hash = make("dl", { class: "fields boxed" }, make("div", {}, make("dt", {}, say("wallet_hash")), make("dd", {}, grouped(sent.hash)), make("dd", { class: "act" }, copyButton(sent.hash, say("wallet_hash")))));
  parts.push(hash);
  if (asked.explorer) {
    const link = { href: `${asked.explorer}/tx/${sent.hash}`, target: "_blank", rel: "noopener noreferrer" };
    parts.push(make("p", { class: "small" }, make("a", link, say("wallet_explorer"))));
  }
  return parts;
}

function again(onAgain) {
  return make(
    "details",
    { class: "wallet-again" },
    make("summary", {}, say("wallet_again")),
    make("p", { class: "small" }, say("wallet_again_warning")),
    button(say("wallet_again_anyway"), onAgain),
  );
}

// Look after it while the card is there; the returned function ends that.
function follow({ card, remarks, sent, asked, wallet, onNews }) {
  const over = new AbortController();
  const said = new Set();
  let missing = 0;
  let { seen = false, gone = false } = sent;

  const remark = (key, values) => {
    if (said.has(key)) return;
    said.add(key);
    remarks.append(make("p", { class: "note" }, say(key, values)));
    if (card.isConnected) announce(say(key, values));
  };
  const look = async () => {
    if (Date.now() - sent.at >= QUIET_MS) {
      onNews({ seen, gone });
      if (card.isConnected) remark("wallet_quiet", { n: QUIET_MS / 60_000 });
    }
    if (!wallet || sent.hash === null || !card.isConnected) return;
    const found = await knows(new Wallet(wallet.provider, over.signal), sent.hash, asked.chainId);
    missing = found === false ? missing + 1 : 0;
    const before = { seen, gone };
    seen ||= found === true;
    // A wallet that never knew the number may have answered with one of its own, as smart accounts do.
    gone = seen && (found === null ? gone : missing >= GONE_AFTER);
    if (gone) remark("wallet_vanished");
    if (seen !== before.seen || gone !== before.gone) onNews({ seen, gone });
  };
  const timer = setInterval(() => look().catch(() => {}), LOOK_MS);
  look().catch(() => {});
  return () => {
    clearInterval(timer);
    over.abort(new Error("over"));
  };
}

// Whether the wallet's node knows the transaction; null where it cannot be asked.
async function knows(wallet, hash, chainId) {
  try {
    if ((await wallet.chainId()) !== chainId) return null;
    const found = await wallet.look("eth_getTransactionByHash", [hash]);
    return found !== null && found !== undefined;
  } catch {
    return null;
  }
}
