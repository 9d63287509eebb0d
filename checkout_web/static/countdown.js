// Time left to pay, by the server's clock: a silent timer, and a few spoken thresholds. The customer's own clock may be
// wrong, and may be set while the page is open: only how fast time passes is taken from this computer.

import { announce } from "./announce.js";
import { say } from "./words.js";

const DOUBT_MS = 2_000;
const SPOKEN_S = [600, 300, 60];

export class Countdown {
  #live;
  #offsetMs = 0;
  #driftMs = drift();
  #timer = null;
  #spoken = new Set();

  constructor(live) {
    this.#live = live;
  }

  setNow(seconds) {
    this.#offsetMs = seconds * 1000 - performance.now();
    this.#driftMs = drift();
  }

  // Start counting for the timer in the current part, if it has one. `ask` is called once at zero, and where the two
  // clocks of this computer came apart: one was set, or it slept, which one of them does not count.
  attach(ask) {
    clearInterval(this.#timer);
    for (const time of this.#live.querySelectorAll("time[data-local]")) showLocally(time);
    const shown = this.#live.querySelector("[data-deadline]");
    if (!shown) return;
    const tick = () => {
      const left = Math.max(0, Number(shown.dataset.deadline) - Math.floor((performance.now() + this.#offsetMs) / 1000));
      if (Math.abs(drift() - this.#driftMs) > DOUBT_MS) {
        this.#driftMs = drift();
        ask();
      }
      shown.textContent = written(left);
      this.#speak(left);
      if (left > 0) return;
      clearInterval(this.#timer);
      ask();
    };
    shown.closest("[data-countdown]").hidden = false;
    this.#timer = setInterval(tick, 1000);
    tick();
  }

  // Say a threshold when it is crossed, not when the page is opened below it.
  #speak(left) {
    const passed = SPOKEN_S.filter((threshold) => left <= threshold);
    const isFirst = this.#spoken.size === 0;
    const news = passed.filter((threshold) => !this.#spoken.has(threshold));
    for (const threshold of news) this.#spoken.add(threshold);
    this.#spoken.add("started");
    if (!isFirst && news.length > 0 && left > 0) {
      announce(say("minutes_left", { n: Math.min(...news) / 60 }));
    }
  }
}

function drift() {
  return Date.now() - performance.now();
}

function written(seconds) {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = String(seconds % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// In the reader's time zone, and in the page's language as the reader's country writes it.
function showLocally(time) {
  const page = document.documentElement.lang;
  const [language] = page.split("-");
  const country = navigator.languages.find((candidate) => candidate.split("-")[0] === language);
  const moment = new Date(time.dateTime);
  const today = moment.toDateString() === new Date().toDateString();
  const locales = [country ?? page, page];
  const { hour12 } = new Intl.DateTimeFormat(locales, { hour: "numeric" }).resolvedOptions();
  // Latin digits, as in all the figures that stand beside it.
  const clock = { hour: hour12 ? "numeric" : "2-digit", minute: "2-digit", numberingSystem: "latn" };
  time.textContent = moment.toLocaleString(locales, today ? clock : { day: "numeric", month: "long", ...clock });
}
