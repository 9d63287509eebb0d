// What scripts say to the customer, in the page's language. The texts stand in script_words.py; the page carries them
// as data, because a strict policy lets no script stand in it.

const block = document.getElementById("words");
const words = block ? JSON.parse(block.textContent) : {};
const language = document.documentElement.lang || "en";
const otherWay = document.documentElement.dir === "rtl" ? /\p{Script=Latin}/u : /[\p{Script=Arabic}\p{Script=Hebrew}]/u;
const rules = new Intl.PluralRules(language);

// The text for `key`, with its `%(name)s` filled in. A counted text is chosen by `values.n`.
export function say(key, values = {}) {
  const entry = words[key];
  if (entry === undefined) return key;
  const text = typeof entry === "string" ? entry : (entry[rules.select(values.n)] ?? entry.other);
  return text.replace(/%\((\w+)\)s/g, (whole, name) => (name in values ? isolated(String(values[name])) : whole));
}

// A sum or a wallet's name in a sentence that may read in the other direction: between the marks that set it apart
// (FSI and PDI), where it could turn the words around it, or be turned by them.
function isolated(text) {
  return otherWay.test(text) ? `\u2068${text}\u2069` : text;
}

// The language that the address asks for, to be sent along with every question to the server.
export function withLanguage(query) {
  const asked = new URLSearchParams(location.search).get("lang");
  if (asked) query.set("lang", asked);
  return query;
}
