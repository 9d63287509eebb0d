// Says that there is no connection, once, and takes it back when there is one.

import { announce } from "./announce.js";

// `lost`: what is missing, "network" or "server", or null.
export function showLost(lost) {
  const note = document.querySelector("[data-offline]");
  note.hidden = lost === null;
  for (const text of note.querySelectorAll("[data-lost]")) {
    text.hidden = text.dataset.lost !== lost;
    if (!text.hidden) announce(text.textContent);
  }
}
