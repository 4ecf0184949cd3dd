/** Rows of metadata: a key, what kind of value it has, and a field for the value that suits the key's declared type. */

import { h, icon } from "./dom.js";
import { fieldText, kindOf, kindsFor, KINDS, parsed, suits } from "./metadata-values.js";
import { typeOf } from "./service.js";
import { suggestValues } from "./suggestions.js";

/** @typedef {import("./metadata-values.js").Value} Value */
/** @typedef {import("./metadata-values.js").Kind} Kind */
/** @typedef {import("./service.js").Type} Type */
/** @typedef {Record<string, Value>} Metadata */

export class MetadataEditor {
  /** @param {Metadata} [metadata] @param {{removes?: boolean}} [options] removes: a row may also say that a key is to go, whose value is null then */
  constructor(metadata = {}, { removes = false } = {}) {
    this.removes = removes;
    /** What rows were made from: a field of text cannot hold every value as it is. @type {WeakMap<Element, {fields: string[], key: string, value: Value}>} */
    this.given = new WeakMap();
    this.rows = h("ul", { class: "metadata-rows" }, Object.entries(metadata).map(([key, value]) => this.#row(key, value)));
    const add = h("button", { type: "button", class: "small", onclick: () => this.add() }, icon("plus"), "Add a field");
    this.element = h("div", { class: "metadata-editor" }, this.rows, add);
  }

  /** What is written in the rows, of untouched keys and values what was given; rows without a key are left out. Throws RangeError that says what is wrong. @returns {Metadata} */
  read() {
    /** @type {Metadata} */
    const metadata = {};
    for (const row of this.rows.children) {
      row.querySelector(".error")?.remove();
      const [name, kind, text] = fieldsOf(row).map(({ value }) => value);
      const { fields, ...given } = /** @type {{fields: string[], key: string, value: Value}} */ (this.given.get(row));
      const key = name === fields[0] ? given.key : name.trim();
      if (!key) continue;
      if (Object.hasOwn(metadata, key)) throw new RangeError(`"${key}" is there twice.`);
      metadata[key] = kind === fields[1] && text === fields[2] ? given.value : parsed(key, /** @type {Kind} */ (kind), text);
    }
    return metadata;
  }

  /** A further row, to be filled in. */
  add() {
    const row = this.#row("", "");
    this.rows.append(row);
    row.querySelector("input").focus();
  }

  /** Show what is wrong at the field that it speaks of; false if it speaks of none here. @param {string} message of ours or the service's */
  showError(message) {
    const spokenOf = (/** @type {string} */ key) => key && (message.startsWith(`"${key}" `) || message.startsWith(`metadata.${key} `));
    const row = [...this.rows.children].find((each) => spokenOf(fieldsOf(each)[0].value.trim()));
    if (!row) return false;
    const value = fieldsOf(row)[2];
    row.append(h("p", { class: "error", role: "alert" }, message));
    value.setAttribute("aria-invalid", "true");
    value.addEventListener("input", () => value.removeAttribute("aria-invalid"), { once: true });
    value.focus();
    return true;
  }

  /** @param {string} key @param {Value} value */
  #row(key, value) {
    const row = h("li", {});
    const remove = () => {
      row.remove();
      /** @type {HTMLElement} */ (this.element.lastElementChild).focus();
    };
    const name = h("input", { type: "text", value: key, placeholder: "key", "aria-label": "Key", list: "metadata-keys", maxlength: 200 });
    let type = value === "" || suits(typeOf(key), value) ? typeOf(key) : null; // what was stored before the key was declared stays as it is
    row.append(name, ...this.#fields(type, kindOf(value, type), fieldText(value, type), name), h("button", { type: "button", "aria-label": "Remove this field", onclick: remove }, icon("close")));
    name.addEventListener("input", () => {
      const now = typeOf(name.value.trim());
      if (now === type) return;
      type = now;
      const [, kind, field] = fieldsOf(row);
      kind.remove();
      const kinds = kindsFor(type);
      const kept = kinds.includes(/** @type {Kind} */ (kind.value)) ? /** @type {Kind} */ (kind.value) : kinds[0];
      field.replaceWith(...this.#fields(type, kept, field.value, name));
    });
    this.given.set(row, { fields: fieldsOf(row).map(({ value: text }) => text), key, value });
    return row;
  }

  /** The choice of a kind, and the field for the value. @param {Type | null} type @param {Kind} kind @param {string} text @param {HTMLInputElement} name */
  #fields(type, kind, text, name) {
    const kinds = [...kindsFor(type), ...(this.removes ? [/** @type {Kind} */ ("gone")] : [])];
    const field = valueField(type, kind, text, name);
    const choice = h("select", { "aria-label": "Kind of value", hidden: kinds.length === 1, onchange: () => (field.hidden = choice.value === "gone") },
      kinds.map((each) => h("option", { value: each, selected: each === kind }, KINDS[each])));
    return [choice, field];
  }
}

/** A row's fields: key, kind, value. @param {Element} row @returns {(HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement)[]} */
const fieldsOf = (row) => /** @type {any[]} */ ([...row.querySelectorAll("input, select, textarea")]);

/** @param {Type | null} type @param {Kind} kind @param {string} text @param {HTMLInputElement} name */
function valueField(type, kind, text, name) {
  const label = { "aria-label": "Value" };
  switch (type) {
    case "bool":
      return h("select", label, ["yes", "no"].map((word) => h("option", { selected: word === text }, word)));
    case "integer":
      return h("input", { ...label, type: "number", step: "1", value: text });
    case "float":
      return h("input", { ...label, type: "number", step: "any", value: text });
    case "datetime":
      return h("input", { ...label, type: "datetime-local", step: "1", value: text });
    default:
      if (kind === "text" && /[\r\n]/.test(text)) return h("textarea", { ...label, rows: 3 }, text);
      return h("input", { ...label, type: "text", value: text, placeholder: "value", list: "metadata-values", onfocus: () => void suggestValues(name.value.trim()) });
  }
}

/** The JSON merge patch that makes one object of another: keys that went are null. @param {Metadata} before @param {Metadata} after */
export function mergePatch(before, after) {
  const gone = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
  const changed = Object.entries(after).filter(([key, value]) => JSON.stringify(before[key]) !== JSON.stringify(value));
  return Object.fromEntries([...changed, ...gone.map((key) => [key, null])]);
}
