/** What fields for metadata suggest: keys that were seen or are declared, and the values of declared keys. */

import { facetsOf } from "./api.js";
import { h } from "./dom.js";
import { typeOf } from "./service.js";

const MOST_VALUES = 100;

/** @type {Set<string>} */
const known = new Set();
const keys = h("datalist", { id: "metadata-keys" });
const values = h("datalist", { id: "metadata-values" });
document.body.append(keys, values);

/** @param {string[]} more */
export function suggestKeys(more) {
  for (const key of more) {
    if (!known.has(key)) keys.append(h("option", { value: key }));
    known.add(key);
  }
}

/** Remember the metadata keys of pictures, to suggest them. @param {import("./api.js").Image[]} images */
export const noteKeys = (images) => suggestKeys(images.flatMap((image) => Object.keys(image.metadata)));

/** Fill the one list of values for the field that has the focus. @param {string} key */
export async function suggestValues(key) {
  values.dataset.key = key;
  values.replaceChildren();
  if (typeOf(key) !== "keyword") return;
  const field = `metadata.${key}`;
  try {
    const found = (await facetsOf([field], { limit: MOST_VALUES }))[field];
    if (values.dataset.key === key) values.replaceChildren(...found.map(({ value }) => h("option", { value })));
  } catch {
    // A field without suggestions can be filled in too.
  }
}
