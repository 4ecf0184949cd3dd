/** A table of pictures before it is added: its first rows, and what each of its columns is. */

import { counted, h } from "./dom.js";
import { kindsFor, parsed } from "./metadata-values.js";
import { typeOf } from "./service.js";

/** @typedef {import("./table.js").Table} Table */
/** @typedef {import("./table.js").Row} Row */
/** @typedef {import("./upload-queue.js").Picture} Picture */
/** @typedef {"url" | "key" | "metadata" | "ignored"} Use */

const PREVIEWED = 5;
const FIRST_ROW = 2; // as spreadsheets count: the first line names the columns
const DELIMITER_NAMES = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars" };
/** @type {Record<Use, string>} */
const USES = { url: "picture's URL", key: "name (key)", metadata: "metadata", ignored: "left out" };

export class TableForm {
  /** @param {(pictures: Picture[]) => void} onadd */
  constructor(onadd) {
    this.onadd = onadd;
    this.element = h("section", { class: "table-form", "aria-label": "Table", hidden: true });
  }

  /** @param {Table} table */
  show(table) {
    const uses = guessed(table);
    const choices = table.columns.map((column) => choice(column, uses[column]));
    const error = h("p", { class: "error", role: "alert" });
    const chosen = () => /** @type {Record<string, Use>} */ (Object.fromEntries(choices.map((select, place) => [table.columns[place], select.value])));
    for (const select of choices) select.addEventListener("change", () => keepOne(select, choices));
    const add = () => {
      const pictures = picturesOf(table, chosen());
      error.textContent = pictures ? "" : "Say first which column has the pictures' URLs.";
      if (!pictures) return;
      this.element.hidden = true;
      this.onadd(pictures);
    };
    const { delimiter, encoding, rows } = table;
    this.element.replaceChildren(
      h("h2", {}, table.name),
      h("p", { class: "hint" }, `${counted(rows.length, "row")}, read as ${encoding.toUpperCase()} with ${DELIMITER_NAMES[/** @type {","} */ (delimiter)]} between the columns.`),
      h("div", { class: "table-preview", tabindex: "0", role: "group", "aria-label": "The first rows" },
        h("table", {},
          h("thead", {},
            h("tr", {}, table.columns.map((column) => h("th", { scope: "col" }, column))),
            h("tr", {}, choices.map((select) => h("td", {}, select)))),
          h("tbody", {}, rows.slice(0, PREVIEWED).map((row) => h("tr", {}, table.columns.map((column) => h("td", {}, row[column]))))))),
      error,
      h("div", { class: "actions" },
        h("button", { type: "button", class: "primary", onclick: add }, `Add ${counted(rows.length, "picture")}`),
        h("button", { type: "button", onclick: () => (this.element.hidden = true) }, "Cancel")),
    );
    this.element.hidden = false;
    this.element.scrollIntoView({ block: "nearest" });
    choices[0].focus({ preventScroll: true });
  }
}

/** What the columns seem to be. @param {Table} table @returns {Record<string, Use>} */
function guessed({ columns, rows }) {
  const url = columns.find((column) => rows.slice(0, PREVIEWED).some((row) => /^https?:/i.test(row[column])));
  const key = columns.find((column) => column !== url && /^(key|sku|id|article|product[ _]?id)$/i.test(column));
  const use = (/** @type {string} */ column) => (column === url ? "url" : column === key ? "key" : column === "reason" ? "ignored" : "metadata");
  return Object.fromEntries(columns.map((column) => [column, use(column)]));
}

/** @param {string} column @param {Use} use */
const choice = (column, use) =>
  h("select", { "aria-label": `What ${column} is` }, Object.entries(USES).map(([value, words]) => h("option", { value, selected: value === use }, words)));

/** Only one column can be the URL, and one the key. @param {HTMLSelectElement} changed @param {HTMLSelectElement[]} all */
function keepOne(changed, all) {
  if (changed.value !== "url" && changed.value !== "key") return;
  for (const other of all) if (other !== changed && other.value === changed.value) other.value = "ignored";
}

/** The rows as pictures to add, or null where no column has the URLs. @param {Table} table @param {Record<string, Use>} uses @returns {Picture[] | null} */
function picturesOf({ columns, rows }, uses) {
  const [url, key] = ["url", "key"].map((use) => columns.find((column) => uses[column] === use));
  if (url === undefined) return null;
  const described = columns.filter((column) => uses[column] === "metadata");
  /** @type {Map<string, number>} the row that had a key first */
  const first = new Map();
  return rows.map((row, place) => {
    const number = place + FIRST_ROW;
    const name = key === undefined ? "" : row[key].trim();
    const picture = { file: null, url: row[url].trim(), name: name || row[url].trim() || `Row ${number}`, key: name || null, row };
    const twin = name ? first.get(name) : undefined;
    if (name && twin === undefined) first.set(name, number);
    try {
      if (!picture.url) throw new RangeError(`There is no URL in "${url}".`);
      if (key !== undefined && !name) throw new RangeError(`There is no name in "${key}".`);
      if (twin !== undefined) throw new RangeError(`Row ${twin} has the name "${name}" too.`);
      return { ...picture, metadata: metadataOf(row, described), fault: "" };
    } catch (error) {
      return { ...picture, metadata: {}, fault: `Row ${number}: ${/** @type {Error} */ (error).message}` };
    }
  });
}

/** A row's metadata, each value of the type that its key is declared as; empty cells are left out. Throws RangeError. @param {Row} row @param {string[]} columns */
const metadataOf = (row, columns) =>
  Object.fromEntries(columns.filter((column) => row[column].trim()).map((column) => [column, parsed(column, kindsFor(typeOf(column) ?? "keyword")[0], row[column].trim())]));
