// The exact transfer: what is asked for, as the page's wallet section says it, and as a transaction.

import { Refusal } from "./wallet_refusals.js";

const TRANSFER = "a9059cbb"; // transfer(address,uint256)
const BALANCE_OF = "70a08231"; // balanceOf(address)
const TRANSFER_GAS = 65_000n;
const PLAIN_GAS = 21_000n;
const TOLD_PLACES = 6;

// The section's facts, or null where the page asks for no money. Amounts are BigInt base units.
export function readAsked(root) {
  const data = root?.querySelector("[data-wallet]")?.dataset;
  if (!data) return null;
  return {
    payment: data.payment,
    chainId: Number(data.chainId),
    network: data.network,
    coin: data.coin,
    rpcUrls: data.rpcUrls.split(" ").filter(Boolean),
    explorer: data.explorer || null,
    token: data.token,
    contract: data.contract || null,
    decimals: Number(data.decimals),
    to: data.to,
    units: BigInt(data.units),
    arrived: data.arrived.split(" ").filter(Boolean).map(arrival),
  };
}

// As drawing writes it: content/arrivals.py.
function arrival(text) {
  const [name, payer] = text.split("@");
  return { name, payer };
}

export function transaction(asked, from) {
  const call = asked.contract
    ? { to: asked.contract, value: "0x0", data: `0x${TRANSFER}${word(asked.to)}${asked.units.toString(16).padStart(64, "0")}` }
    : { to: asked.to, value: hex(asked.units) };
  // With the chain's id a wallet that was moved to another network meanwhile refuses instead of sending there.
  return { from, ...call, chainId: hex(asked.chainId) };
}

// For wallet_addEthereumChain (EIP-3085).
export function chainFacts(asked) {
  return {
    chainId: hex(asked.chainId),
    chainName: asked.network,
    nativeCurrency: { name: asked.coin, symbol: asked.coin, decimals: 18 },
    rpcUrls: asked.rpcUrls,
    ...(asked.explorer && { blockExplorerUrls: [asked.explorer] }),
  };
}

// What the account holds: of the token, of the chain's coin, and the fee that the transfer needs about. Each may be null.
export async function holdings(wallet, asked, account) {
  const call = asked.contract && { to: asked.contract, data: `0x${BALANCE_OF}${word(account)}` };
  const [coin, token, gasPrice] = await Promise.all([
    wallet.quantity("eth_getBalance", [account, "latest"]),
    call ? wallet.quantity("eth_call", [call, "latest"]) : null,
    wallet.quantity("eth_gasPrice", []),
  ]);
  return {
    coin,
    token: call ? token : coin,
    fee: gasPrice === null ? null : gasPrice * (call ? TRANSFER_GAS : PLAIN_GAS),
  };
}

// Throws a `Refusal` where the account cannot pay: `too_little`, or `no_fee`, which the customer may overrule (some
// wallets let others pay fees).
export function judge({ coin, token, fee }, asked, { feeAccepted }) {
  if (token !== null && token < asked.units) {
    throw new Refusal("too_little", { held: briefly(token, asked), asked: amount(asked.units, asked) });
  }
  const left = coin === null ? null : coin - (asked.contract ? 0n : asked.units);
  if (!feeAccepted && left !== null && (left <= 0n || (fee !== null && left < fee))) {
    throw new Refusal("no_fee", { held: written(coin, 18, TOLD_PLACES), coin: asked.coin });
  }
}

export function amount(units, asked) {
  return `${written(units, asked.decimals)} ${asked.token}`;
}

// What is held and not sent: never more than there is, and its last digits tell nobody anything.
export function briefly(units, asked) {
  return `${written(units, asked.decimals, TOLD_PLACES)} ${asked.token}`;
}

// Base units as a decimal number in the page's language, cut to `places`; never rounded up, and without grouping. With two
// decimals at least, as the page writes them; never with three: elsewhere 25,125 is twenty-five thousand.
export function written(units, decimals, places = decimals) {
  const digits = units.toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const rest = digits.slice(digits.length - decimals).slice(0, places).replace(/0+$/, "").padEnd(2, "0");
  return `${whole}${mark()}${rest}${rest.length === 3 ? "0" : ""}`;
}

function mark() {
  const format = new Intl.NumberFormat(document.documentElement.lang || "en", { numberingSystem: "latn" });
  return format.formatToParts(1.5).find((part) => part.type === "decimal").value;
}

export function hex(number) {
  return `0x${number.toString(16)}`;
}

function word(address) {
  return address.slice(2).toLowerCase().padStart(64, "0");
}
