// The receipt: a button that prints it, and paper that shows all of it.

export function startPrinting(root) {
  root.addEventListener("click", (event) => event.target.closest("[data-print]") && print());

  // Paper cannot be unfolded.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...root.querySelectorAll("details[data-print-open]:not([open])")];
    for (const part of unfolded) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of unfolded) part.open = false;
  });
}

// The button does nothing without this module, so it is hidden until now.
export function showPrinting(part) {
  for (const button of part.querySelectorAll("[data-print]")) button.hidden = false;
}
