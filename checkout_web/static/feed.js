// News of the payment: server-sent events, and polling while those do not come through.
//
// Thousands of pages may lose their server in the same instant: every wait here is a different one on each page.

const POLL_MS = 5_000;
const LONGEST_MS = 60_000;
const SILENCE_MS = 40_000; // the server speaks every 15 seconds
const FIRST_TRY_MS = 2_000;
const HIDDEN_MS = 60_000; // a page that nobody has looked at for this long gives its stream up
const LOST_AFTER = 2; // questions without an answer

export class Feed {
  #query = new URLSearchParams();
  #source = null;
  #timers = {};
  #failures = 0; // of questions, in a row
  #tries = 0; // to connect, in a row
  #asks = 0; // questions so far
  #newest = 0; // the question whose answer is shown; older ones are overtaken
  #missing = null; // "network" or "server"

  constructor({ eventsUrl, stateUrl, tag, onState, onNow, onLost = () => {} }) {
    Object.assign(this, { eventsUrl, stateUrl, tag, onState, onNow, onLost });
    addEventListener("pagehide", () => this.#rest());
    addEventListener("pageshow", (event) => event.persisted && this.#wake());
    addEventListener("offline", () => this.#lost("network"));
    addEventListener("online", () => this.#after("wake", spread(1_000), () => this.#wake()));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#wake();
      else this.#after("hide", HIDDEN_MS, () => this.#doze());
    });
    if (navigator.onLine === false) this.#lost("network");
  }

  // Follow the part as this selection shows it.
  choose(searchParams, { ask = true } = {}) {
    this.#query = new URLSearchParams();
    for (const name of ["token", "qr", "lang", "embed"]) {
      if (searchParams.has(name)) this.#query.set(name, searchParams.get(name));
    }
    if (ask) this.ask().then(() => this.#connect());
    else this.#connect();
  }

  // Fetch the part once, now. Failures are left to the next try: the page keeps what it shows.
  async ask() {
    const asked = this.#query;
    const number = (this.#asks += 1);
    try {
      const answer = await fetch(`${this.stateUrl}?${asked}`, {
        headers: { "If-None-Match": `"${this.tag}"` },
        cache: "no-store",
      });
      // In the server's place, while it is away, answers what stands before it.
      if (answer.status >= 500) throw new Error(`answered ${answer.status}`);
      this.#failures = answer.ok || answer.status === 304 ? 0 : this.#failures + 1;
      this.#lost(null);
      if (answer.headers.has("Openpay-Now")) this.onNow(Number(answer.headers.get("Openpay-Now")));
      const message = answer.status === 200 ? await answer.json() : null;
      // Held up on its way it may be older than what is shown: a payment that was found would be asked for again.
      if (message === null || asked !== this.#query || number < this.#newest) return;
      this.#newest = number;
      this.#receive(message);
    } catch {
      // No network, or the server is restarting.
      this.#failures += 1;
      if (this.#failures >= LOST_AFTER) this.#lost(navigator.onLine === false ? "network" : "server");
    }
  }

  #receive(message) {
    this.onNow(message.now);
    this.onState(message);
    this.tag = message.tag;
  }

  #connect() {
    this.#after("connect", 0, null);
    this.#source?.close();
    const query = new URLSearchParams(this.#query);
    query.set("tag", this.tag);
    const source = new EventSource(`${this.eventsUrl}?${query}`);
    this.#source = source;
    source.addEventListener("state", (event) => {
      this.#heard();
      this.#newest = this.#asks + 1;
      this.#receive(JSON.parse(event.data));
    });
    source.addEventListener("alive", (event) => {
      this.#heard();
      this.onNow(Number(event.data));
    });
    source.addEventListener("error", () => {
      // By itself the browser would connect again three seconds later, like every other page.
      source.close();
      if (this.#source !== source) return;
      this.#poll();
      this.#after("connect", spread(Math.min(LONGEST_MS, FIRST_TRY_MS * 2 ** this.#tries)), () => this.#connect());
      this.#tries += 1;
    });
    this.#after("silence", SILENCE_MS, () => this.#poll());
  }

  #heard() {
    this.#tries = this.#failures = 0;
    this.#lost(null);
    this.#after("poll", 0, null);
    this.#after("silence", SILENCE_MS, () => this.#poll());
  }

  // Ask again and again, more seldom while there is no answer, until an event is heard.
  #poll(usualMs = POLL_MS) {
    if (this.#timers.poll) return;
    const waitMs = spread(Math.min(LONGEST_MS, usualMs * 2 ** Math.max(0, this.#failures - LOST_AFTER)));
    this.#after("poll", waitMs, () => {
      // The next is set first: an answer that stops the polling has to find it.
      this.#timers.poll = null;
      this.#poll(usualMs);
      this.ask();
    });
  }

  // Nobody looks: a question in a minute keeps the title true, and an open stream is left to others.
  #doze() {
    this.#source?.close();
    this.#source = null;
    for (const name of ["connect", "silence", "poll"]) this.#after(name, 0, null);
    this.#poll(LONGEST_MS);
  }

  #rest() {
    this.#source?.close();
    this.#source = null;
    for (const name of Object.keys(this.#timers)) this.#after(name, 0, null);
  }

  // Somebody looks again, or the network is back.
  #wake() {
    this.#after("hide", 0, null);
    this.ask();
    if (this.#source?.readyState === EventSource.OPEN) return;
    this.#tries = 0;
    this.#after("poll", 0, null);
    this.#connect();
  }

  #lost(what) {
    if (what === this.#missing) return;
    this.#missing = what;
    this.onLost(what);
  }

  // One timer for each purpose; `work` null only stops it.
  #after(name, ms, work) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = work && setTimeout(work, ms);
  }
}

// Somewhere between half of `ms` and half as much again.
function spread(ms) {
  return ms * (0.5 + Math.random());
}
