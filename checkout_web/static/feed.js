// News of the payment: server-sent events, and polling while those do not come through.

const POLL_MS = 5_000;
const SILENCE_MS = 40_000; // the server speaks every 15 seconds
const TRY_EVENTS_AGAIN_MS = 60_000;

export class Feed {
  #query = new URLSearchParams();
  #source = null;
  #pollTimer = null;
  #silenceTimer = null;

  constructor({ eventsUrl, stateUrl, tag, onState, onNow }) {
    Object.assign(this, { eventsUrl, stateUrl, tag, onState, onNow });
    addEventListener("pagehide", () => this.#source?.close());
    addEventListener("pageshow", (event) => event.persisted && this.#connect());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.ask());
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
    try {
      const answer = await fetch(`${this.stateUrl}?${asked}`, {
        headers: { "If-None-Match": `"${this.tag}"` },
        cache: "no-store",
      });
      if (answer.status === 200 && asked === this.#query) this.#receive(await answer.json());
    } catch {
      // Offline, or the server is restarting.
    }
  }

  #receive(message) {
    this.onNow(message.now);
    this.onState(message);
    this.tag = message.tag;
  }

  #connect() {
    this.#source?.close();
    const query = new URLSearchParams(this.#query);
    query.set("tag", this.tag);
    const source = new EventSource(`${this.eventsUrl}?${query}`);
    this.#source = source;
    source.addEventListener("state", (event) => {
      this.#heard();
      this.#receive(JSON.parse(event.data));
    });
    source.addEventListener("alive", (event) => {
      this.#heard();
      this.onNow(Number(event.data));
    });
    source.addEventListener("error", () => {
      this.#poll();
      // The browser connects again by itself, unless the server refused.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#isCurrent(source) && this.#connect(), TRY_EVENTS_AGAIN_MS);
    });
    this.#expect();
  }

  #isCurrent(source) {
    return this.#source === source;
  }

  #heard() {
    clearInterval(this.#pollTimer);
    this.#pollTimer = null;
    this.#expect();
  }

  #expect() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#poll(), SILENCE_MS);
  }

  #poll() {
    this.#pollTimer ??= setInterval(() => this.ask(), POLL_MS);
  }
}
