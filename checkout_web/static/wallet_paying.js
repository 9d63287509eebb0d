// One attempt to pay from a wallet, from connecting it to the open request for the transfer.

import { Wallet } from "./wallet_asking.js";
import { Refusal } from "./wallet_refusals.js";
import { amount, briefly, chainFacts, hex, holdings, judge, transaction } from "./wallet_transfer.js";

const SETTLE_TRIES = 8;
const SETTLE_MS = 250;

// Send what is asked for; resolves with what the wallet answered. Throws a `Refusal`.
//
// `current()` fetches what the payment asks for now (null: nothing any more). `step(kind, values)` says what is being
// done. `onAnswer(answer, account)` hears the wallet's answer to the transfer from that account even when the attempt was
// given up before it came: money that was sent is sent.
export async function pay({ provider, asked, signal, current, step, onAnswer, feeAccepted = false }) {
  const wallet = new Wallet(provider, signal);
  let account = null;
  let changed = false;
  wallet.listen((event, value) => {
    if (event === "accountsChanged" && account !== null && !isFirst(value, account)) changed = true;
  });

  step("connect");
  account = await wallet.account({ ask: true });
  await useChain(wallet, asked, step);

  step("look");
  const now = await current();
  if (now === null) throw new Refusal("moved_on");
  if (now.units !== asked.units || now.to !== asked.to) throw new Refusal("amount_changed", { asked: amount(now.units, now) });
  const held = await holdings(wallet, asked, account);
  judge(held, asked, { feeAccepted });
  // What was true before may have changed while the wallet was being looked at, with or without an event.
  if ((await wallet.account()) !== account || changed) throw new Refusal("account_changed");
  if ((await wallet.chainId()) !== asked.chainId) throw new Refusal("wrong_chain", { network: asked.network });

  step("send", { asked: amount(asked.units, asked), account, held: held.token === null ? null : briefly(held.token, asked) });
  wallet.listen((event, value) => {
    if (event === "chainChanged" && Number(value) !== asked.chainId) step("send_moved");
    if (event === "accountsChanged" && !isFirst(value, account)) step("send_moved");
  });
  const answer = wallet.ask("eth_sendTransaction", [transaction(asked, account)]);
  answer.then((value) => onAnswer(value, account), () => {}); // the refusal itself is heard below
  return untilAborted(answer, signal);
}

// Bring the wallet to the payment's network, and add that where the wallet does not know it.
async function useChain(wallet, asked, step) {
  if ((await wallet.chainId()) === asked.chainId) return;
  step("switch", { network: asked.network });
  try {
    await wallet.prompt("wallet_switchEthereumChain", [{ chainId: hex(asked.chainId) }]);
  } catch (error) {
    if (error.kind === "unsupported") throw new Refusal("wrong_chain", { network: asked.network });
    if (error.kind !== "chain_unknown") throw error;
    await addChain(wallet, asked, step);
  }
  // Some wallets answer before they have moved, or although they have not.
  for (let tries = 0; tries < SETTLE_TRIES; tries += 1) {
    if ((await wallet.chainId()) === asked.chainId) return;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  }
  throw new Refusal("wrong_chain", { network: asked.network });
}

async function addChain(wallet, asked, step) {
  const byHand = new Refusal("add_by_hand", { network: asked.network, chain: asked.chainId, coin: asked.coin });
  if (asked.rpcUrls.length === 0) throw byHand;
  step("add", { network: asked.network });
  try {
    await wallet.prompt("wallet_addEthereumChain", [chainFacts(asked)]);
  } catch (error) {
    throw ["rejected", "busy", "disconnected"].includes(error.kind) ? error : byHand;
  }
  // Adding is not yet using, in some wallets.
  if ((await wallet.chainId()) !== asked.chainId) {
    await wallet.prompt("wallet_switchEthereumChain", [{ chainId: hex(asked.chainId) }]);
  }
}

function isFirst(accounts, account) {
  return Array.isArray(accounts) && typeof accounts[0] === "string" && accounts[0].toLowerCase() === account;
}

function untilAborted(answer, signal) {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    answer.then(resolve, reject);
  });
}
