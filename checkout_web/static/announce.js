// One polite live region for the whole page, outside the part that is replaced.

export function announce(text) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = text;
}
