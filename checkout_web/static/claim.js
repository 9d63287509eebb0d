// The sender's wallet signs where a refund goes. Without a wallet the form asks the merchant, as it does without this.

import { say, withLanguage } from "./words.js";

const wallets = new Map();

// EIP-6963: every wallet of the browser announces itself.
window.addEventListener("eip6963:announceProvider", (event) => {
  wallets.set(event.detail.info.uuid, event.detail.provider);
});
window.dispatchEvent(new Event("eip6963:requestProvider"));

function findWallet() {
  return wallets.values().next().value ?? window.ethereum ?? null;
}

// In the page's own words. What a wallet says of itself is in no particular language, and not always meant for people.
class Refusal extends Error {}

export function startClaiming(root) {
  root.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-claim]");
    // The Enter key presses the first button, hidden or not: without a wallet it asks the merchant.
    if (!form || event.submitter?.dataset.sign === undefined || findWallet() === null) return;
    event.preventDefault();
    const words = form.querySelector("[data-claim-words]");
    try {
      words.textContent = say("claim_open_wallet");
      addField(form, "signature", await sign(form));
      form.submit();
    } catch (error) {
      words.textContent = error instanceof Refusal ? error.message : say("claim_not_signed");
    }
  });
}

// Shown only where there is a wallet to sign with.
export function showSigning(root) {
  for (const button of root.querySelectorAll("[data-sign]")) button.hidden = findWallet() === null;
}

async function sign(form) {
  const query = new URLSearchParams({
    refund: form.elements.refund.value,
    destination: form.elements.destination.value.trim(),
  });
  const answer = await fetch(`${form.dataset.message}?${query}`, { headers: { Accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new Refusal(say("claim_not_possible"));
  const wallet = findWallet();
  const accounts = await wallet.request({ method: "eth_requestAccounts" });
  const sender = body.sender?.toLowerCase();
  if (!accounts.some((account) => account.toLowerCase() === sender)) {
    throw new Refusal(say("claim_other_account", { sender: body.sender }));
  }
  return wallet.request({ method: "personal_sign", params: [hexOf(body.message), body.sender] });
}

function hexOf(text) {
  return `0x${[...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function addField(form, name, value) {
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name, value });
  form.append(field);
}
