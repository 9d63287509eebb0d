// Says that there is no connection, once, and takes it back when there is one.

import { announce } from "./announce.js";

export function showLost(isLost) {
  const part = document.querySelector("[data-offline]");
  if (!part || part.hidden === !isLost) return;
  part.hidden = !isLost;
  if (isLost) announce(part.textContent.trim());
}
