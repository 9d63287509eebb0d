// The shop's own script: orders by its server, shows the checkout by openpay.js, and shows what it is told.

const MOST_SHOWN = 50;
const LOOK_MS = 1_000;
const PAY_AFTER_MS = 1_500; // long enough to see the page wait

const form = document.getElementById("order");
const payButton = document.getElementById("pay");
let last = null;
let inline = null;

function say(text) {
  document.getElementById("said").textContent = text;
}

async function post(path, body) {
  const answer = await fetch(`/demo/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.detail ?? answer.statusText);
  return content;
}

async function payForMe(payment) {
  payButton.disabled = true;
  try {
    const { tx_hash: hash } = await post("pay", { payment, token: form.elements.token.value });
    say(`The demo customer sent transaction ${hash}.`);
  } catch (error) {
    payButton.disabled = false;
    say(error.message);
  }
}

function note(list, summary, detail) {
  const item = document.createElement("li");
  const line = document.createElement("span");
  line.textContent = summary;
  item.append(line);
  if (detail) item.append(detail);
  list.prepend(item);
  while (list.children.length > MOST_SHOWN) list.lastChild.remove();
}

function handlers(isAuto) {
  const tell = (name) => (detail) => {
    note(document.getElementById("events"), `${name} – ${detail.payment}${detail.status ? `: ${detail.status}` : ""}`);
  };
  return {
    ready: (detail) => {
      tell("ready")(detail);
      if (isAuto) setTimeout(() => payForMe(detail.payment), PAY_AFTER_MS);
    },
    status: tell("status"),
    completed: tell("completed"),
    canceled: tell("canceled"),
    closed: tell("closed"),
  };
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const way = event.submitter?.value ?? "modal";
  const isAuto = form.elements.auto.checked;
  let order;
  try {
    order = await post("orders", { amount: form.elements.amount.value });
  } catch (error) {
    say(error.message);
    return;
  }
  const { checkout_url: url, id } = order.answered;
  last = id;
  payButton.disabled = false;
  say("");
  document.getElementById("created").textContent = JSON.stringify(order, null, 2);
  if (way === "modal") {
    OpenPay.open(url, handlers(isAuto));
  } else if (way === "inline") {
    inline?.close();
    document.getElementById("inline-part").hidden = false;
    inline = OpenPay.mount(document.getElementById("inline"), url, handlers(isAuto));
  } else {
    if (isAuto) await payForMe(id);
    location.assign(url);
  }
});

payButton.addEventListener("click", () => payForMe(last));

// --- the webhook log -------------------------------------------------------------------------------------------------

let seen = 0;
let refused = 0;

async function look() {
  try {
    const news = await (await fetch(`/demo/webhooks?after=${seen}`)).json();
    seen += news.received.length;
    for (const webhook of news.received) showWebhook(webhook);
    if (news.refused.length > refused) say(`A webhook was refused: ${news.refused.at(-1)}`);
    refused = news.refused.length;
  } catch {
    // `openpay dev` is restarting, or has ended.
  }
  setTimeout(look, LOOK_MS);
}

function showWebhook({ event, headers, body }) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.className = "good";
  summary.textContent = "Signature verified (Ed25519)";
  const raw = document.createElement("pre");
  raw.textContent = [...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), "", body].join("\n");
  details.append(summary, raw);
  const { payment_id: payment } = JSON.parse(body);
  note(document.getElementById("webhooks"), payment ? `${event} – ${payment}` : event, details);
}

look();
const paid = new URLSearchParams(location.search).get("paid");
if (paid) say(`Welcome back. Payment ${paid} came through the checkout; the webhook below says whether it is paid.`);
