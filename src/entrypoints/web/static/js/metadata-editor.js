/** Rows of metadata: a key, a value, and what kind of value it is. */

import { h, icon } from "./dom.js";

/** @typedef {Record<string, string | number | boolean | string[]>} Metadata */

const KINDS = { text: "text", number: "number", truth: "yes or no", list: "list" };

export class MetadataEditor {
  /** @param {Metadata} [metadata] */
  constructor(metadata = {}) {
    /** What rows were made from: a field of text cannot hold every value as it is. @type {WeakMap<Element, {fields: string[], key: string, value: Metadata[string]}>} */
    this.given = new WeakMap();
    this.rows = h("ul", { class: "metadata-rows" }, Object.entries(metadata).map(([key, value]) => this.#row(key, value)));
    const add = h("button", { type: "button", class: "small", onclick: () => this.#add() }, icon("plus"), "Add a field");
    this.element = h("div", { class: "metadata-editor" }, this.rows, add);
  }

  /** What is written in the rows, of untouched keys and values what was given; rows without a key are left out. Throws RangeError that says what is wrong. @returns {Metadata} */
  read() {
    /** @type {Metadata} */
    const metadata = {};
    for (const row of this.rows.children) {
      const [name, kind, text] = fieldsOf(row);
      const { fields, ...given } = /** @type {{fields: string[], key: string, value: Metadata[string]}} */ (this.given.get(row));
      const key = name === fields[0] ? given.key : name.trim();
      if (!key) continue;
      if (Object.hasOwn(metadata, key)) throw new RangeError(`"${key}" is there twice.`);
      metadata[key] = kind === fields[1] && text === fields[2] ? given.value : parsed(key, kind, text);
    }
    return metadata;
  }

  #add() {
    const row = this.#row("", "");
    this.rows.append(row);
    row.querySelector("input").focus();
  }

  /** @param {string} key @param {Metadata[string]} value */
  #row(key, value) {
    const kind = kindOf(value);
    const text = Array.isArray(value) ? listText(value) : kind === "truth" ? (value ? "yes" : "no") : String(value);
    const remove = () => {
      row.remove();
      /** @type {HTMLElement} */ (this.element.lastElementChild).focus();
    };
    const row = h(
      "li",
      {},
      h("input", { type: "text", value: key, placeholder: "key", "aria-label": "Key", list: "metadata-keys", maxlength: 200 }),
      h("select", { "aria-label": "Kind of value" }, Object.entries(KINDS).map(([name, words]) => h("option", { value: name, selected: name === kind }, words))),
      kind === "text" && /[\r\n]/.test(text)
        ? h("textarea", { rows: 3, "aria-label": "Value" }, text)
        : h("input", { type: "text", value: text, placeholder: "value", "aria-label": "Value" }),
      h("button", { type: "button", "aria-label": "Remove this field", onclick: remove }, icon("close")),
    );
    this.given.set(row, { fields: fieldsOf(row), key, value });
    return row;
  }
}

/** What a row's fields hold: key, kind, value. @param {Element} row */
const fieldsOf = (row) => [...row.querySelectorAll("input, select, textarea")].map((field) => /** @type {HTMLInputElement} */ (field).value);

/** @param {Metadata[string]} value @returns {keyof typeof KINDS} */
function kindOf(value) {
  if (Array.isArray(value)) return "list";
  return typeof value === "number" ? "number" : typeof value === "boolean" ? "truth" : "text";
}

const parts = (/** @type {string} */ text) => text.split(",").map((part) => part.trim()).filter(Boolean);

/** With commas between its parts, or as JSON if that says something else. @param {string[]} list */
function listText(list) {
  const text = list.join(", ");
  const json = JSON.stringify(list);
  return text.startsWith("[") || /[\r\n]/.test(text) || JSON.stringify(parts(text)) !== json ? json : text;
}

/** @param {string} key @param {string} text @returns {string[]} */
function parsedList(key, text) {
  if (!text.trim().startsWith("[")) return parts(text);
  try {
    return JSON.parse(text);
  } catch {
    throw new RangeError(`"${key}" is a list, such as a, b or, with commas within, ["a, b", "c"].`);
  }
}

/** @param {string} key @param {string} kind @param {string} text */
function parsed(key, kind, text) {
  if (kind === "list") return parsedList(key, text);
  if (kind === "truth") {
    if (/^(yes|true)$/i.test(text.trim())) return true;
    if (/^(no|false)$/i.test(text.trim())) return false;
    throw new RangeError(`"${key}" is yes or no.`);
  }
  if (kind === "number") {
    if (text.trim() && Number.isFinite(Number(text))) return Number(text);
    throw new RangeError(`"${key}" is a number, such as 19.9.`);
  }
  return text;
}

/** The JSON merge patch that makes one object of another: keys that went are null. @param {Metadata} before @param {Metadata} after */
export function mergePatch(before, after) {
  const gone = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
  const changed = Object.entries(after).filter(([key, value]) => JSON.stringify(before[key]) !== JSON.stringify(value));
  return Object.fromEntries([...changed, ...gone.map((key) => [key, null])]);
}
