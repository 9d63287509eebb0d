// The sender's wallet signs where a refund goes. Without a wallet, or this, the form asks the merchant.

import { Wallet } from "./wallet_asking.js";
import { Refusal, refusalOf } from "./wallet_refusals.js";
import { nameOf } from "./wallet_view.js";
import { findWallets } from "./wallets.js";
import { say, withLanguage } from "./words.js";

export function startClaiming(root) {
  root.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-claim]");
    if (!form || event.submitter?.dataset.sign === undefined) return;
    event.preventDefault();
    const words = form.querySelector("[data-claim-words]");
    let wallet = null;
    try {
      words.textContent = say("claim_open_wallet");
      const claimed = await askMessage(form);
      wallet = await walletOf(claimed.sender);
      addField(form, "signature", await sign(wallet.provider, claimed));
      form.submit();
    } catch (error) {
      words.textContent = wordsFor(refusalOf(error), wallet);
    }
  });
}

// The buttons are hidden until there is a wallet to sign with, which is when this module is loaded.
export function showSigning(root) {
  for (const button of root.querySelectorAll("[data-sign]")) button.hidden = false;
}

// In the page's own words. What a wallet says of itself is in no particular language, and not always meant for people.
function wordsFor({ kind, values }, wallet) {
  if (kind.startsWith("claim_")) return say(kind, values);
  const known = ["locked", "busy", "unauthorized"].includes(kind);
  return known && wallet ? say(`wallet_${kind}`, { wallet: nameOf(wallet) }) : say("claim_not_signed");
}

// The text to sign and who has to: `{message, sender}`.
async function askMessage(form) {
  const query = new URLSearchParams({
    refund: form.elements.refund.value,
    destination: form.elements.destination.value.trim(),
  });
  const answer = await fetch(`${form.dataset.message}?${query}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Refusal("claim_not_possible");
  return answer.json();
}

// Of several wallets the one that shows this page the account already, so that none is opened for nothing.
async function walletOf(sender) {
  const wallets = findWallets();
  if (wallets.length === 1) return wallets[0];
  const { signal } = new AbortController();
  const known = await Promise.all(wallets.map(({ provider }) => new Wallet(provider, signal).look("eth_accounts").catch(() => [])));
  return wallets[Math.max(0, known.findIndex((accounts) => holds(accounts, sender)))];
}

async function sign(provider, { message, sender }) {
  const accounts = await provider.request({ method: "eth_requestAccounts" });
  if (!Array.isArray(accounts) || accounts.length === 0) throw new Refusal("locked");
  if (!holds(accounts, sender)) throw new Refusal("claim_other_account", { sender });
  return provider.request({ method: "personal_sign", params: [hexOf(message), sender] });
}

function holds(accounts, sender) {
  return Array.isArray(accounts) && accounts.some((account) => String(account).toLowerCase() === sender?.toLowerCase());
}

function hexOf(text) {
  return `0x${[...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function addField(form, name, value) {
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name, value });
  form.append(field);
}
