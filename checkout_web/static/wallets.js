// The browser's wallets: those that announce themselves (EIP-6963), else the one that stands in `window.ethereum`.
// What a wallet says of itself is anybody's text: any extension or script may announce any name and picture.

const MAX_WALLETS = 12;
const MAX_NAME = 32;
const MAX_ICON = 100_000;
const ICON = /^data:image\/(png|jpeg|webp|gif|svg\+xml)[;,]/i;
const RDNS = /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i;

const announced = new Map();
const listeners = new Set();

addEventListener("eip6963:announceProvider", (event) => {
  const wallet = readAnnouncement(event);
  // The first to use an id keeps it: a later one cannot take over its name.
  if (!wallet || announced.has(wallet.uuid) || announced.size >= MAX_WALLETS) return;
  if ([...announced.values()].some((known) => known.provider === wallet.provider)) return;
  announced.set(wallet.uuid, wallet);
  for (const listener of listeners) listener();
});
addEventListener("ethereum#initialized", () => listeners.forEach((listener) => listener()));
dispatchEvent(new Event("eip6963:requestProvider"));

// Every wallet as `{uuid, name, rdns, icon, provider, twin}`. `name` and `icon` may be null; `twin`: another has its name.
export function findWallets() {
  const found = announced.size > 0 ? [...announced.values()] : injected();
  return found.map((wallet) => ({ ...wallet, twin: found.some((other) => other !== wallet && other.name === wallet.name) }));
}

// `listener` is called when there are more wallets than before.
export function onWallets(listener) {
  listeners.add(listener);
}

function injected() {
  try {
    const provider = window.ethereum;
    if (typeof provider?.request !== "function") return [];
    return [{ uuid: "injected", name: null, rdns: null, icon: null, provider }];
  } catch {
    return [];
  }
}

// Getters of a hostile announcement may throw, or answer differently each time: each is read once.
function readAnnouncement(event) {
  try {
    const { info, provider } = event.detail;
    const { uuid, name, rdns, icon } = info;
    if (typeof uuid !== "string" || !uuid || uuid.length > 100 || typeof provider?.request !== "function") return null;
    return { uuid, name: plainText(name, MAX_NAME) || readRdns(rdns), rdns: readRdns(rdns), icon: readIcon(icon), provider };
  } catch {
    return null;
  }
}

function readRdns(rdns) {
  return typeof rdns === "string" && rdns.length <= 60 && RDNS.test(rdns) ? rdns : null;
}

// Only pictures that are in the text itself: nothing is loaded from elsewhere. Shown as <img>, where an SVG runs no
// script and loads nothing.
function readIcon(icon) {
  const text = typeof icon === "string" ? icon.trim() : "";
  return text.length <= MAX_ICON && ICON.test(text) ? text : null;
}

// One line of text: no control or invisible characters (some turn the reading direction), and no longer than `length`.
export function plainText(text, length) {
  if (typeof text !== "string") return "";
  const characters = [...text.slice(0, 1_000).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, " ").replace(/\s+/g, " ").trim()];
  return characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : characters.join("");
}
