// How the wallet section looks. It is built from text alone: nothing that a wallet or a node says becomes markup.

import { say } from "./words.js";

// A new element. `attributes` named on* are listeners; `children` are nodes or texts.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function button(text, onclick, { primary = false, plain = false, ...attributes } = {}) {
  const look = plain ? "plain" : primary ? "button primary" : "button";
  return make("button", { type: "button", class: look, onclick, ...attributes }, text);
}

// What a wallet is called here: its own name, or what it is.
export function nameOf(wallet) {
  return wallet.name ?? say("wallet_nameless");
}

// One button for each wallet.
export function chooser(wallets, onChoose) {
  const list = make("ul", { class: "wallets", role: "list" });
  for (const wallet of wallets) {
    const name = make("span", {}, make("bdi", { translate: "no" }, nameOf(wallet)));
    if (wallet.twin && wallet.rdns) name.append(" ", make("small", { class: "quiet", translate: "no", dir: "ltr" }, wallet.rdns));
    list.append(make("li", {}, make("button", { type: "button", class: "button", onclick: () => onChoose(wallet) }, icon(wallet), name)));
  }
  return list;
}

function icon(wallet) {
  const blank = () => make("span", { class: "wallet-icon", "aria-hidden": "true" });
  if (!wallet.icon) return blank();
  const picture = make("img", { class: "wallet-icon", alt: "", width: 28, height: 28, decoding: "async", src: wallet.icon });
  picture.addEventListener("error", () => picture.replaceWith(blank()), { once: true });
  return picture;
}

// A hash or address in groups of four, first and last emphasised, as the rest of the page writes them.
export function grouped(hex) {
  const groups = [hex.slice(0, 6), ...hex.slice(6).match(/.{1,4}/g)];
  const edge = (index) => index === 0 || index === groups.length - 1;
  return make("span", { class: "mono hex", translate: "no", dir: "ltr" }, ...groups.map((group, index) => make("span", { class: edge(index) ? "edge" : null }, group)));
}

export function shortened(address) {
  return `${address.slice(0, 6)}…${address.slice(-4)}`;
}

export function copyButton(value, what) {
  const label = make("span", { "data-copy-label": true }, say("copy"));
  return make("button", { type: "button", class: "copy", "data-copy": value }, label, make("span", { class: "visually-hidden" }, ` ${what}`));
}
