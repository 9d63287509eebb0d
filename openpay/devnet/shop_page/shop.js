// The shop's own script: orders by its server, shows the checkout by openpay.js, and shows what it is told.

const MOST_SHOWN = 50;
const LOOK_MS = 1_000;
const PAY_AFTER_MS = 1_500; // long enough to see the page wait

const LAST = "openpay-demo-last-order";
const PAYABLE = ["initiated", "pending"];

const form = document.getElementById("order");
const payButton = document.getElementById("pay");
let last = null; // { order, isSent }: what was ordered last in this tab, and whether the demo customer has paid for it
let inline = null;

function say(text) {
  document.getElementById("said").textContent = text;
}

async function ask(path, options) {
  const answer = await fetch(`/demo/${path}`, options);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.detail ?? answer.statusText);
  return content;
}

function post(path, body) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

// --- the last order --------------------------------------------------------------------------------------------------

// The tab remembers it: who comes back from the checkout's own page finds it again, and so does a reload.
function remember(order, isSent) {
  last = { order, isSent };
  sessionStorage.setItem(LAST, JSON.stringify(last));
}

function showLast(payment) {
  document.getElementById("created").textContent = JSON.stringify(last.order, null, 2);
  payButton.disabled = last.isSent || !PAYABLE.includes(payment.status);
  const { metadata, amount, currency, status, checkout_url: url } = payment;
  document.getElementById("last-words").textContent =
    `Last order: #${metadata.order_id}, ${amount} ${currency}, ${status}.`;
  const link = document.getElementById("last-link");
  link.href = url;
  link.hidden = false;
}

async function lookAtLast() {
  if (!last) return;
  const { id } = last.order.answered;
  try {
    const payment = await ask(`orders/${id}`);
    if (id === last?.order.answered.id) showLast(payment);
  } catch {
    // Not an order of this `openpay dev`, which was reset, or is restarting.
    if (id === last?.order.answered.id) payButton.disabled = true;
  }
}

async function payForMe(payment) {
  payButton.disabled = true;
  const isLast = () => payment === last?.order.answered.id;
  if (isLast()) remember(last.order, true);
  try {
    const { tx_hash: hash } = await post("pay", { payment, token: form.elements.token.value });
    say(`The demo customer sent transaction ${hash}.`);
  } catch (error) {
    say(error.message);
    if (isLast()) remember(last.order, false);
    await lookAtLast();
  }
}

// --- what is told ----------------------------------------------------------------------------------------------------

// Newest first, by the time of day: numbers would be other ones with each line that comes.
function note(list, at, summary, detail) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = at.toISOString();
  time.textContent = at.toLocaleTimeString("en-GB");
  const line = document.createElement("span");
  line.textContent = summary;
  item.append(time, " ", line);
  if (detail) item.append(detail);
  list.prepend(item);
  while (list.children.length > MOST_SHOWN) list.lastChild.remove();
}

function handlers(isAuto) {
  const tell = (name) => (detail) => {
    const status = detail.status ? `: ${detail.status}` : "";
    note(document.getElementById("events"), new Date(), `${name} – ${detail.payment}${status}`);
  };
  return {
    ready: (detail) => {
      tell("ready")(detail);
      if (isAuto) setTimeout(() => payForMe(detail.payment), PAY_AFTER_MS);
    },
    status: tell("status"),
    completed: tell("completed"),
    canceled: tell("canceled"),
    refused: tell("refused"),
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
  remember(order, false);
  showLast(order.answered);
  say("");
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

payButton.addEventListener("click", () => payForMe(last.order.answered.id));

// Not `load`: Back may show the page as it was left, without loading it.
addEventListener("pageshow", () => {
  last = JSON.parse(sessionStorage.getItem(LAST));
  lookAtLast();
});

// --- the webhook log -------------------------------------------------------------------------------------------------

let seen = 0;
let refused = 0;

async function look() {
  try {
    const news = await (await fetch(`/demo/webhooks?after=${seen}`)).json();
    seen += news.received.length;
    for (const webhook of news.received) showWebhook(webhook);
    if (news.received.length) lookAtLast();
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
  const { payment_id: payment, metadata } = JSON.parse(body);
  const order = metadata?.order_id ? ` – order #${metadata.order_id}` : "";
  const at = new Date(Number(headers["X-OpenPay-Timestamp"]) * 1_000);
  note(document.getElementById("webhooks"), at, payment ? `${event}${order} – ${payment}` : event, details);
}

look();
const paid = new URLSearchParams(location.search).get("paid");
if (paid) say(`Welcome back. Payment ${paid} came through the checkout; the webhook below says whether it is paid.`);
