/* Open Pay on your own site: the checkout page as a dialog, in a place of yours, or as a page of its own.
 *
 *   <script src="https://pay.example/checkout/openpay.js" async></script>
 *   <a href="CHECKOUT_URL" data-openpay="CHECKOUT_URL">Pay</a>
 *
 *   OpenPay.open(checkoutUrl, handlers)            a dialog; `data-openpay` does this on a click
 *   OpenPay.mount(element, checkoutUrl, handlers)  in `element`, as high as its content; returns { close }
 *   OpenPay.close()                                closes the dialog
 *
 * In the language of the checkout URL (`?lang=`), else of `handlers.lang` or `data-openpay-lang`, else of this page.
 *
 * `handlers`: functions named ready, resize, status, completed, canceled, refused, closed; each is given
 * { payment, status, height }, and `refused` { origin, reason } too. The same are sent as bubbling events `openpay:completed` and so on, from the link or
 * the element. They are for the customer's eyes: that an order is paid, only the signed webhook says.
 */
(() => {
  "use strict";

  const script = new URL(document.currentScript.src);
  const ORIGIN = script.origin;
  const BASE = script.pathname.slice(0, script.pathname.lastIndexOf("/"));
  const PAYMENT = /^pay_[A-Za-z0-9]{1,60}$/;
  const STATUSES = ["initiated", "pending", "confirming", "paid", "reversed", "failed", "expired", "canceled"];

  // A page that may be shown here speaks before it has loaded; the rest is for slow lines.
  const HEARD_AFTER_LOAD_MS = 2_000;
  const HEARD_MS = 15_000;
  const HIGHEST_PX = 20_000;

  // What a page that takes payments needs, and nothing that takes the customer away without a click of theirs.
  const SANDBOX =
    "allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox " +
    "allow-top-navigation-by-user-activation";

  // Name of the dialog, name of its button, by language. The server puts those of its catalogues in this line's place.
  const WORDS = {"en": ["Checkout", "Close"]};

  const STYLE = `
    dialog { box-sizing: border-box; width: min(44rem, calc(100vw - 2rem)); max-width: none; max-height: none;
      margin: auto; padding: 0; border: 0; border-radius: 0.75rem; overflow: hidden; background: Canvas;
      color: CanvasText; color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
    dialog[open] { display: flex; flex-direction: column; }
    dialog::backdrop { background: rgb(0 0 0 / 60%); }
    header { display: flex; justify-content: flex-end; padding: 0.25rem; }
    button { min-width: 2.75rem; min-height: 2.75rem; padding: 0 1rem; border: 0; border-radius: 0.5rem;
      background: transparent; color: inherit; font: inherit; cursor: pointer; }
    button:focus-visible { outline: 3px solid Highlight; outline-offset: -3px; }
    iframe { flex: 1 1 auto; max-height: calc(100vh - 6rem); max-height: calc(100dvh - 6rem); }
    @media (max-width: 40rem) {
      dialog { width: 100vw; height: 100vh; height: 100dvh; border-radius: 0; }
      iframe { max-height: none; }
    }`;

  let opened = null;

  // The payment's page on this script's own site; anything else is refused, whoever put it into the document.
  function paymentUrl(text, lang) {
    let url;
    try {
      url = new URL(text);
    } catch {
      throw new TypeError(`OpenPay: not a URL: ${String(text).slice(0, 100)}`);
    }
    const id = url.pathname.slice(BASE.length + 1);
    if (url.origin !== ORIGIN || url.pathname !== `${BASE}/${id}` || !PAYMENT.test(id) || url.username || url.password) {
      throw new TypeError(`OpenPay: not a payment's page on ${ORIGIN}: ${String(text).slice(0, 100)}`);
    }
    url.hash = "";
    url.searchParams.delete("embed");
    if (isSpoken(primary(lang)) && !url.searchParams.has("lang")) url.searchParams.set("lang", primary(lang));
    return url;
  }

  function primary(tag) {
    return String(tag ?? "").toLowerCase().split("-")[0];
  }

  function isSpoken(language) {
    return Object.hasOwn(WORDS, language);
  }

  // What is shown in this page speaks its language, unless another was asked for.
  function framedUrl(url) {
    const framed = new URL(url);
    framed.searchParams.set("embed", location.origin);
    const around = primary(document.documentElement.lang);
    if (isSpoken(around) && !url.searchParams.has("lang")) framed.searchParams.set("lang", around);
    return framed;
  }

  // The words around a frame, in its language; where none was asked for, it goes by the browser's.
  function wordsAround(url) {
    const tags = [framedUrl(url).searchParams.get("lang"), ...navigator.languages];
    return WORDS[tags.map(primary).find(isSpoken) ?? "en"];
  }

  function named(text) {
    return PAYMENT.test(text) ? text : null;
  }

  // One frame with a payment's page, and what it says. `onRefused`: it may not be shown here, or does not answer.
  class Frame {
    constructor(url, { handlers, target, title, onRefused, onEscape }) {
      Object.assign(this, { handlers: handlers ?? {}, target, onRefused, onEscape });
      this.detail = { payment: url.pathname.slice(BASE.length + 1), status: null, height: null };
      const frame = document.createElement("iframe");
      frame.title = title;
      frame.allow = "clipboard-write";
      // Of no use against a frame of the site's own origin, and browsers say so.
      if (location.origin !== ORIGIN) frame.setAttribute("sandbox", SANDBOX);
      frame.referrerPolicy = "no-referrer";
      Object.assign(frame.style, { display: "block", width: "100%", height: "24rem", border: "0" });
      frame.src = framedUrl(url).href;
      this.element = frame;
      this.hear = (event) => this.receive(event);
      addEventListener("message", this.hear);
      frame.addEventListener("load", () => this.expect(HEARD_AFTER_LOAD_MS, "not_allowed"), { once: true });
      this.expect(HEARD_MS, "no_answer");
    }

    expect(ms, reason) {
      clearTimeout(this.timer);
      if (!this.isHeard && !this.isEnded) this.timer = setTimeout(() => this.refuse(reason), ms);
    }

    // Browsers do not tell a page why a frame stays empty, but its integrator has to know what to do.
    refuse(reason) {
      const shop = location.origin;
      const explained = {
        not_allowed:
          shop === "null"
            ? "a page without an origin of its own (a file, a sandboxed frame) cannot show the checkout: serve it by HTTP"
            : `${shop} may not show the checkout of ${ORIGIN}: its merchant has to allow this origin, beside those that ` +
              `are to stay allowed: openpay merchants set mer_… --embed-origin ${shop}`,
        no_answer: `the checkout of ${ORIGIN} did not answer`,
      };
      console.error(`OpenPay: ${explained[reason]}. The customer is given the hosted page instead.`);
      this.detail = { ...this.detail, origin: shop, reason };
      this.emit("refused");
      this.onRefused();
    }

    receive(event) {
      // Both: another frame of that site is not this payment, and this frame may have gone elsewhere.
      if (event.origin !== ORIGIN || event.source !== this.element.contentWindow) return;
      const { openpay, payment, status, height } = event.data ?? {};
      if (openpay === "ready" && named(payment)) {
        clearTimeout(this.timer);
        this.isHeard = true;
        this.detail = { ...this.detail, payment };
        this.emit("ready");
      } else if (openpay === "resize" && Number.isFinite(height)) {
        this.detail = { ...this.detail, height: Math.min(Math.max(Math.ceil(height), 1), HIGHEST_PX) };
        this.element.style.height = `${this.detail.height}px`;
        this.emit("resize");
      } else if (openpay === "status" && named(payment) && STATUSES.includes(status)) {
        if (payment === this.detail.payment && status === this.detail.status) return;
        this.detail = { ...this.detail, payment, status };
        this.emit("status");
        if (status === "paid") this.emit("completed");
        if (status === "canceled") this.emit("canceled");
      } else if (openpay === "escape") {
        this.onEscape?.();
      }
    }

    emit(name) {
      const detail = { ...this.detail };
      this.target.dispatchEvent(new CustomEvent(`openpay:${name}`, { detail, bubbles: true }));
      this.handlers[name]?.(detail);
    }

    end() {
      if (this.isEnded) return;
      this.isEnded = true;
      clearTimeout(this.timer);
      removeEventListener("message", this.hear);
      this.element.remove();
      this.emit("closed");
    }
  }

  // Styled by CSSOM in a tree of its own: no policy of the site forbids it, and no style of the site changes it.
  function newDialog(title, closeLabel) {
    const host = document.createElement("div");
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-label", title);
    const header = document.createElement("header");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = closeLabel;
    header.append(button);
    dialog.append(header);
    root.append(dialog);
    return { host, dialog, button };
  }

  function open(text, handlers, target = document) {
    const url = paymentUrl(text, handlers?.lang);
    close();
    const before = document.activeElement;
    const page = document.documentElement;
    const overflow = page.style.overflow;
    const [title, closeLabel] = wordsAround(url);
    const { host, dialog, button } = newDialog(title, closeLabel);
    const end = () => {
      if (opened !== end) return;
      opened = null;
      if (dialog.open) dialog.close();
      page.style.overflow = overflow;
      host.remove();
      before?.focus?.({ preventScroll: true });
      frame.end();
    };
    const onRefused = () => {
      end();
      location.assign(url);
    };
    const frame = new Frame(url, { handlers, target, title, onRefused, onEscape: end });
    opened = end;
    button.addEventListener("click", end);
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      end();
    });
    dialog.addEventListener("close", end);
    dialog.append(frame.element);
    document.body.append(host);
    page.style.overflow = "hidden";
    dialog.showModal();
  }

  function close() {
    opened?.();
  }

  // A place in the page is given a link when the frame is refused: nobody has clicked yet, so nobody is taken away.
  function mount(element, text, handlers) {
    const url = paymentUrl(text, handlers?.lang);
    const [title] = wordsAround(url);
    const link = document.createElement("a");
    const onRefused = () => {
      frame.end();
      link.href = url.href;
      link.textContent = title;
      element.append(link);
    };
    const frame = new Frame(url, { handlers, target: element, title, onRefused });
    element.append(frame.element);
    const close = () => {
      frame.end();
      link.remove();
    };
    return { close };
  }

  document.addEventListener("click", (event) => {
    const trigger = event.target.closest?.("[data-openpay]");
    if (!trigger || event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const { openpay, openpayMode, openpayLang: lang } = trigger.dataset;
    if (openpayMode === "page") location.assign(paymentUrl(openpay, lang));
    else open(openpay, { lang }, trigger);
  });

  window.OpenPay = Object.freeze({ open: (url, handlers) => open(url, handlers), mount, close });
})();
