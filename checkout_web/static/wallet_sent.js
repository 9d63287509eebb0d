// What a wallet on this page has sent for a payment, remembered until the payment shows it: over reloads, and in every
// tab of this browser, so that none of them offers to pay a second time unasked.

const KEEP_MS = 86_400_000;
const HASH = /^0x[0-9a-f]{64}$/;
const REPORT_TRIES_MS = [0, 3_000, 15_000];

export class Sent {
  #key;
  #kept = null; // where the browser keeps nothing, this tab at least does

  constructor(payment) {
    this.#key = `openpay:sent:${payment}`;
  }

  // `{hash, at, amount, wallet, rdns, reported}`, or null. `hash` is null where the wallet named none.
  read() {
    const entry = stored(this.#key) ?? this.#kept;
    return entry && Date.now() - entry.at < KEEP_MS ? entry : null;
  }

  write(entry) {
    this.#kept = entry;
    try {
      if (entry) localStorage.setItem(this.#key, JSON.stringify(entry));
      else localStorage.removeItem(this.#key);
    } catch {
      // Full, or not allowed here.
    }
  }
}

// Storage can be written by older versions, and by hand.
function stored(key) {
  try {
    const entry = JSON.parse(localStorage.getItem(key));
    if (typeof entry?.at !== "number" || !(entry.hash === null || HASH.test(entry.hash))) return null;
    return entry;
  } catch {
    return null;
  }
}

// A transaction's hash in what a wallet answered, or null. A smart account may answer with a number of its own that is
// no transaction's: it looks alike, and is not known from one.
export function hashIn(answer) {
  const hash = typeof answer === "string" ? answer.trim().toLowerCase() : "";
  return HASH.test(hash) ? hash : null;
}

// Tell the server, so that a transaction that fails is explained as well. The payment is found without it: whether the
// server heard.
export async function report(url, hash) {
  for (const wait of REPORT_TRIES_MS) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    try {
      const answer = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ tx_hash: hash }),
        keepalive: true,
      });
      if (answer.status < 500 && answer.status !== 429) return true;
    } catch {
      // Offline: once more later, as after an answer that only says "not now".
    }
  }
  return false;
}
