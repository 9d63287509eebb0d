// What scripts say to the customer, in the page's language. The texts stand in script_words.py; the page carries them
// as data, because a strict policy lets no script stand in it.

const block = document.getElementById("words");
const words = block ? JSON.parse(block.textContent) : {};
const language = document.documentElement.lang || "en";
const rules = new Intl.PluralRules(language);

// The text for `key`, with its `%(name)s` filled in. A counted text is chosen by `values.n`.
export function say(key, values = {}) {
  const entry = words[key];
  if (entry === undefined) return key;
  const text = typeof entry === "string" ? entry : (entry[rules.select(values.n)] ?? entry.other);
  return text.replace(/%\((\w+)\)s/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

// The language that the address asks for, to be sent along with every question to the server.
export function withLanguage(query) {
  const asked = new URLSearchParams(location.search).get("lang");
  if (asked) query.set("lang", asked);
  return query;
}
