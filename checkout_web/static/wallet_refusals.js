// What a wallet's errors mean. Codes are those of EIP-1193, EIP-1474 and EIP-3326, and those that wallets added.

import { plainText } from "./wallets.js";

// A reason to stop. `kind` chooses the words (`wallet_` + kind in the catalogue), `values` fill them in.
export class Refusal extends Error {
  constructor(kind, values = {}) {
    super(kind);
    this.kind = kind;
    this.values = values;
  }
}

const KINDS = new Map([
  [4001, "rejected"],
  [5000, "rejected"], // WalletConnect
  [4100, "unauthorized"],
  [4200, "unsupported"],
  [-32601, "unsupported"],
  [-32004, "unsupported"],
  [4900, "disconnected"],
  [4901, "chain_disconnected"],
  [4902, "chain_unknown"],
  [-32002, "busy"],
  [-32005, "too_often"],
  ["ACTION_REJECTED", "rejected"],
]);

const SAYINGS = [
  [/insufficient (funds|balance)|exceeds balance|not enough (funds|gas|balance)/i, "no_funds"],
  [/user (rejected|denied|cancel)|rejected by user|cancell?ed by/i, "rejected"],
  [/unrecogni[sz]ed chain|chain .{0,30}(not been added|not added|unknown)/i, "chain_unknown"],
  [/nonce too low|already known|replacement transaction|underpriced/i, "pending_before"],
];

// The refusal in whatever a wallet threw: an Error, a plain object, a text, nothing at all.
export function refusalOf(error) {
  if (error instanceof Refusal) return error;
  const layers = layersOf(error);
  for (const { code } of layers) if (KINDS.has(code)) return new Refusal(KINDS.get(code));
  for (const { message } of layers) {
    for (const [saying, kind] of SAYINGS) if (saying.test(message)) return new Refusal(kind);
  }
  const words = layers.map(({ message }) => plainText(message, 160)).find((message) => message !== "");
  if (layers.some(({ code }) => code === -32000 || code === -32003)) return new Refusal("node_refused", { words: words ?? "" });
  return words ? new Refusal("unknown", { words }) : new Refusal("unknown_silent");
}

// An error with those inside it, innermost first: wallets wrap what their node said, and the inner code says more.
function layersOf(error) {
  const layers = [];
  let inner = [error];
  for (let depth = 0; depth < 4 && inner.length > 0; depth += 1) {
    layers.unshift(...inner.map((each) => ({ code: codeOf(each), message: messageOf(each) })));
    inner = inner.flatMap((each) => ["data", "originalError", "cause", "error"].map((name) => read(each, name)).filter(isObject));
  }
  return layers;
}

function codeOf(error) {
  const code = read(error, "code");
  return typeof code === "string" && /^-?\d+$/.test(code) ? Number(code) : code;
}

function messageOf(error) {
  const message = typeof error === "string" ? error : read(error, "message");
  return typeof message === "string" ? message.slice(0, 2_000) : "";
}

function read(object, name) {
  try {
    return isObject(object) ? object[name] : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null;
}
