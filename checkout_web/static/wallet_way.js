// The ways to pay around a wallet's section: folded away while what it has sent is awaited. Left open they would invite
// to a second payment.

import { make } from "./wallet_view.js";
import { say } from "./words.js";

export class Way {
  #live;
  #isUnfolded = false; // by the customer, since it was folded

  constructor(live) {
    this.#live = live;
  }

  // Fold all but `section`, or unfold it. Called again and again, and on every new state part.
  show(section, isFolded) {
    const way = this.#live.querySelector("[data-way]");
    if (isFolded === "folded" in way.dataset) return;
    const summary = way.querySelector("summary");
    summary.hidden = !isFolded;
    if (isFolded) this.#fold(way, summary, section);
    else this.#unfold(way, section);
  }

  #fold(way, summary, section) {
    way.dataset.folded = "";
    way.open = this.#isUnfolded;
    way.addEventListener("toggle", () => (this.#isUnfolded = way.open && "folded" in way.dataset));
    way.before(section);
    summary.after(make("p", { class: "note", "data-way-warning": true }, say("wallet_again_warning")));
    const heading = this.#heading();
    heading.dataset.words = heading.textContent;
    heading.textContent = say("wallet_sent_heading");
    this.#setAside(true);
  }

  #unfold(way, section) {
    delete way.dataset.folded;
    way.open = true;
    way.querySelector(".pay").before(section);
    way.querySelector("[data-way-warning]").remove();
    const heading = this.#heading();
    heading.textContent = heading.dataset.words;
    this.#setAside(false);
  }

  // To whom has paid, neither the time that runs is news, nor how to pay, nor what is still to be sent.
  #setAside(isAside) {
    for (const part of this.#live.querySelectorAll(".countdown, .first-time, .rest")) part.hidden = isAside;
  }

  #heading() {
    return this.#live.querySelector("#state-heading");
  }
}
