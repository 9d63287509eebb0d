// Questions to one wallet (EIP-1193), and what its answers may be trusted to be: nothing is, before it was read.

import { Refusal, refusalOf } from "./wallet_refusals.js";

const READ_MS = 15_000;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const QUANTITY = /^0x[0-9a-fA-F]{1,64}$/;

export class Wallet {
  #provider;
  #signal;

  // `signal` ends every question that is open; what the wallet answers later is not heard.
  constructor(provider, signal) {
    this.#provider = provider;
    this.#signal = signal;
  }

  // A question that the wallet puts to its user, who may take any time. Throws a `Refusal`.
  prompt(method, params = []) {
    return this.#until(this.ask(method, params));
  }

  // A question that needs nobody. Throws a `Refusal`, `no_answer` after a while.
  async look(method, params = []) {
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Refusal("no_answer")), READ_MS)));
    try {
      return await this.#until(Promise.race([this.ask(method, params), late]));
    } finally {
      clearTimeout(timer);
    }
  }

  // The bare question: it stays open whatever happens to the page's interest in it. Throws a `Refusal`.
  async ask(method, params) {
    try {
      return await this.#provider.request({ method, params });
    } catch (error) {
      throw refusalOf(error);
    }
  }

  #until(answer) {
    const signal = this.#signal;
    return new Promise((resolve, reject) => {
      const stop = () => reject(signal.reason);
      if (signal.aborted) stop();
      signal.addEventListener("abort", stop, { once: true });
      answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
    });
  }

  // The account in use, in lower case. `ask` opens the wallet; without it, what is known already is read.
  async account({ ask = false } = {}) {
    const accounts = await (ask ? this.prompt("eth_requestAccounts") : this.look("eth_accounts"));
    const first = Array.isArray(accounts) ? accounts[0] : undefined;
    if (typeof first !== "string" || !ADDRESS.test(first)) throw new Refusal("locked");
    return first.toLowerCase();
  }

  async chainId() {
    const answer = await this.look("eth_chainId");
    // By the standard hexadecimal text; some wallets send a number, or digits.
    const chainId = Number(answer);
    if (!Number.isSafeInteger(chainId) || chainId <= 0) throw new Refusal("nonsense");
    return chainId;
  }

  // A number of base units, or null where the wallet does not say: it is not needed to pay.
  async quantity(method, params) {
    try {
      const answer = await this.look(method, params);
      return typeof answer === "string" && QUANTITY.test(answer) ? BigInt(answer) : null;
    } catch (error) {
      if (this.#signal.aborted) throw error;
      return null;
    }
  }

  // Call `listener(event, value)` on the wallet's events until the signal ends.
  listen(listener) {
    for (const name of ["accountsChanged", "chainChanged"]) {
      const hear = (value) => this.#signal.aborted || listener(name, value);
      try {
        this.#provider.on?.(name, hear);
        this.#signal.addEventListener("abort", () => forget(this.#provider, name, hear), { once: true });
      } catch {
        // A wallet without events is asked again before anything is sent.
      }
    }
  }
}

function forget(provider, name, hear) {
  try {
    provider.removeListener?.(name, hear);
  } catch {
    // It is not listened to any more either way.
  }
}
