// The page inside a shop's own page: tells it the payment's status and how high the content is, and nothing else.

// The one origin that the server allowed; the browser delivers to no other, whoever holds the frame.
const root = document.documentElement;
// Opened by itself, the same address is a page like any other.
if (window.parent === window) delete root.dataset.framed;
const shop = root.dataset.framed;

export const isFramed = shop !== undefined;

function post(message) {
  window.parent.postMessage(message, shop);
}

function hrefAlone(href) {
  const url = new URL(href);
  url.searchParams.delete("embed");
  return url.href;
}

export class FrameReport {
  #live;
  #said = null;

  constructor(live) {
    this.#live = live;
    if (!isFramed) return;
    post({ openpay: "ready", payment: live.dataset.payment });
    new ResizeObserver(() => this.#measure()).observe(document.body);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) post({ openpay: "escape" });
    });
  }

  // After the state part was put into the page.
  attach() {
    if (!isFramed) return;
    // A shop's page in its own frame would be lost in there: whoever follows its link leaves the frame.
    for (const link of this.#live.querySelectorAll("a[href]")) {
      if (/^https?:$/.test(link.protocol) && link.origin !== location.origin) link.target ||= "_top";
      // In a tab of its own it is a page like any other, which goes back to the shop by itself.
      if (link.origin === location.origin && link.target === "_blank") link.href = hrefAlone(link.href);
    }
    const status = this.#live.querySelector("[data-payment-status]").dataset.paymentStatus;
    if (status === this.#said) return;
    this.#said = status;
    post({ openpay: "status", payment: this.#live.dataset.payment, status });
  }

  #measure() {
    post({ openpay: "resize", height: document.body.getBoundingClientRect().height });
  }
}
