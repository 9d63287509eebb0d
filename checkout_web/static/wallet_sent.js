// What a wallet on this page has sent for a payment, remembered until the payment shows it: over reloads, and in every
// tab of this browser, so that none of them offers to pay a second time unasked.

const KEEP_MS = 86_400_000;
const HASH = /^0x[0-9a-f]{64}$/;
const REPORT_TRIES_MS = [0, 3_000, 15_000];

export const QUIET_MS = 300_000; // so long a transfer hardly ever takes

export class Sent {
  #key;
  #kept = null; // where the browser keeps nothing, this tab at least does

  constructor(payment) {
    this.#key = `openpay:sent:${payment}`;
  }

  // `{hash, at, amount, account, before, wallet, rdns, reported, seen, gone}`, or null. `hash` is null where the wallet
  // named none, `before` names what had arrived until then, `account` is the one that the wallet sent from. `seen`: the
  // wallet's node knows the hash as a transaction's; `gone`: it does no more.
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

  // Note `facts` about `entry`, unless something else has been sent since.
  note(entry, facts) {
    const kept = this.read();
    if (kept?.at === entry.at && kept.hash === entry.hash) this.write({ ...kept, ...facts });
  }
}

// Whether what was sent is among the payment's `arrivals`. A hash that a node knows says so by itself. Where the wallet
// named none, or an operation of its own as smart accounts do, or the transaction was replaced, it is what has come
// since from the same account, or from inside a contract, which nobody can tell; and after a while whatever has come:
// it may be too little, and a page that goes on waiting would not say so.
export function hasArrived(sent, arrivals) {
  if (arrivals.some(({ name }) => name === sent.hash)) return true;
  if ((sent.seen && !sent.gone) || !sent.before) return false;
  const isQuiet = Date.now() - sent.at >= QUIET_MS;
  return arrivals.some(({ name, payer }) => !sent.before.includes(name) && (isQuiet || !payer || payer === sent.account));
}

// Storage can be written by older versions, and by hand.
function stored(key) {
  try {
    const entry = JSON.parse(localStorage.getItem(key));
    if (typeof entry?.at !== "number" || !(entry.hash === null || HASH.test(entry.hash))) return null;
    return { ...entry, before: Array.isArray(entry.before) ? entry.before : null };
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
