// Buttons that copy an amount, an address or a hash.

import { announce } from "./announce.js";
import { say } from "./words.js";

const SHOWN_MS = 2_000;

export function startCopying(root) {
  root.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const copied = await copy(button.dataset.copy);
    const label = button.querySelector("[data-copy-label]");
    label.textContent = say(copied ? "copied" : "select_it");
    announce(say(copied ? "copied" : "copying_failed"));
    setTimeout(() => (label.textContent = say("copy")), SHOWN_MS);
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

// The clipboard needs https; a shop being tried out over plain http still gets its copy.
function copyBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}
