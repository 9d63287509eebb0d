// "I already paid": the form asks in place. Without this it is sent as any form, and the page comes back with the answer.

export function startLookingUp(root) {
  const form = root?.querySelector("[data-lookup-form]");
  if (!form) return;
  const [answer, busy, failed] = ["answer", "busy", "failed"].map((name) => root.querySelector(`[data-lookup-${name}]`));
  let asking = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    asking?.abort();
    const current = (asking = new AbortController());
    answer.replaceChildren();
    failed.hidden = true;
    busy.hidden = false;
    try {
      const response = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
        signal: current.signal,
      });
      const { html } = await response.json();
      if (html === undefined) throw new Error(`answered ${response.status}`);
      answer.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
    } catch {
      failed.hidden = current !== asking;
    } finally {
      if (current === asking) busy.hidden = true;
    }
  });
}

// Asked for only in states where somebody may miss their payment.
export function showLookup(root, live) {
  if (root) root.hidden = live.querySelector("[data-may-ask]") === null;
}
