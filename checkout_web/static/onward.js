// After a payment the page goes on to the shop by itself, unless the customer stops it.

import { isFramed } from "./frame.js";
import { say } from "./words.js";

export class Onward {
  #live;
  #timer = null;
  #left = null;
  #stopped = false;

  constructor(live) {
    this.#live = live;
    live.addEventListener("click", (event) => {
      if (event.target.closest("[data-onward-stop]")) this.#stop({ moveFocus: true });
      // Who prints the receipt is not done with the page.
      if (event.target.closest("[data-print]")) this.#stop();
    });
    // Coming back by the browser's button is a wish to stay.
    addEventListener("pageshow", (event) => event.persisted && this.#stop());
  }

  attach() {
    clearInterval(this.#timer);
    const part = this.#live.querySelector("[data-onward]");
    // In a frame the shop is told, and takes its customer on.
    if (!part || this.#stopped || isFramed) return;
    this.#left ??= Number(part.dataset.onward);
    const shown = part.querySelector("[data-onward-words]");
    const tick = () => {
      shown.textContent = say("onward", { n: this.#left });
      if (this.#left === 0) {
        clearInterval(this.#timer);
        location.assign(part.querySelector("[data-onward-link]").href);
      }
      this.#left -= 1;
    };
    part.querySelector("[data-onward-line]").hidden = false;
    this.#timer = setInterval(tick, 1000);
    tick();
  }

  #stop({ moveFocus = false } = {}) {
    this.#stopped = true;
    clearInterval(this.#timer);
    const line = this.#live.querySelector("[data-onward-line]");
    if (!line) return;
    line.hidden = true;
    if (moveFocus) this.#live.querySelector("[data-onward-link]").focus();
  }
}
