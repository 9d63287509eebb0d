// Most customers have no wallet in their browser. What only a wallet needs is loaded once there is one.

import { isFramed } from "./frame.js";
import { Sent } from "./wallet_sent.js";
import { findWallets, onWallets } from "./wallets.js";

export class WalletLate {
  #live;
  #refresh;
  #paying = new Late(() => import("./wallet.js"));
  #signing = new Late(() => import("./claim.js"));

  // `refresh()` brings the page up to date now.
  constructor(live, refresh) {
    this.#live = live;
    this.#refresh = refresh;
    onWallets(() => this.attach());
    addEventListener("storage", () => this.attach()); // another tab may have sent
  }

  // After the state part was put into the page, and when there is a wallet.
  attach() {
    const place = this.#live.querySelector("[data-wallet]");
    if (isFramed) this.#pointElsewhere(place);
    else this.#paying.use(place && (hasWallets() || new Sent(place.dataset.payment).read()), {
      begin: ({ WalletPart }) => new WalletPart(this.#live, this.#refresh),
      each: (part) => part.attach(),
    });
    this.#signing.use(hasWallets() && this.#live.querySelector("[data-sign]"), {
      begin: ({ startClaiming, showSigning }) => (startClaiming(this.#live), showSigning),
      each: (showSigning) => showSigning(this.#live),
    });
  }

  // Call before the state part is replaced, and what it returns after: the focus stays where it was.
  hold() {
    return this.#paying.begun?.hold() ?? (() => {});
  }

  // Wallets stay out of frames, and a page around this one could hide what is being agreed to.
  #pointElsewhere(place) {
    if (!place) return;
    place.hidden = false;
    place.querySelector("[data-wallet-elsewhere]").hidden = false;
    // Below what can be done here: on a phone, where a browser hardly ever has a wallet, it would only be in the way.
    this.#live.querySelector(".pay").after(place);
  }
}

// A module that is loaded when it is first wanted.
class Late {
  begun = null;
  #load;
  #isLoading = false;

  constructor(load) {
    this.#load = load;
  }

  // `begin(module)` once, and `each` with what that returned now and every time from then on, wanted or not: what has
  // begun has to notice its end.
  async use(isWanted, { begin, each }) {
    if (this.begun) return each(this.begun);
    if (!isWanted || this.#isLoading) return undefined;
    this.#isLoading = true;
    try {
      this.begun = begin(await this.#load());
    } catch {
      return undefined; // no network just now: with the next news it is tried again
    } finally {
      this.#isLoading = false;
    }
    return each(this.begun);
  }
}

function hasWallets() {
  return findWallets().length > 0;
}
