// Puts a newly rendered state part into the page without taking the customer's place away.

import { say } from "./words.js";

// Returns what to announce, or null when nothing worth saying changed.
export function showState(live, message) {
  if (message.tag === live.dataset.tag) return null;
  const before = live.querySelector("[data-part]");
  const wasBehind = live.querySelector("[data-behind]");
  const focused = live.contains(document.activeElement) ? document.activeElement : null;
  const openParts = [...live.querySelectorAll("details[open]")].map((element) => element.className);

  const typed = [...live.querySelectorAll("input[id]")].map((input) => [input.id, input.value]);
  const parsed = new DOMParser().parseFromString(message.html, "text/html");
  live.replaceChildren(...parsed.body.childNodes);
  live.dataset.tag = message.tag;
  document.title = document.title.replace(/^.*? – /, `${message.title} – `);

  for (const element of live.querySelectorAll("details")) {
    if (openParts.includes(element.className)) element.open = true;
  }
  for (const [id, value] of typed) {
    const field = document.getElementById(id);
    if (field) field.value = value;
  }
  if (focused) restoreFocus(live, focused);

  const after = live.querySelector("[data-part]");
  const samePart = before && after && before.dataset.part === after.dataset.part;
  if (!samePart || after.dataset.part === "underpaid") return message.title;
  // Said when it begins and when it is over, not with every minute in between.
  const behind = live.querySelector("[data-behind]");
  if (behind && !wasBehind) return behind.textContent;
  return wasBehind && !behind ? say("up_to_date") : null;
}

function restoreFocus(live, focused) {
  const again = focused.id ? document.getElementById(focused.id) : null;
  if (again) again.hidden = false;
  (again ?? live.querySelector("#state-heading"))?.focus({ preventScroll: true });
}
