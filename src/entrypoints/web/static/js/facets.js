/** Facets: how many of the pictures that pass the filters have each label, format and value; a click wants one. */

import { facetsOf } from "./api.js";
import { h } from "./dom.js";
import { nameOf, toggled, valueText } from "./filter.js";
import { declared } from "./service.js";

/** @typedef {import("./filter.js").Filter} Filter */
/** @typedef {string | number | boolean} Value */

const MOST = 100;
const AT_FIRST = 8;
const MOST_FIELDS = 16; // of the values of so many the API tells at once at least

export class Facets {
  /** @param {(filter: Filter) => void} onchange @param {boolean} open */
  constructor(onchange, open) {
    this.onchange = onchange;
    /** @type {Filter} */
    this.filter = {};
    this.aborter = new AbortController();
    this.isCurrent = false;
    /** Fields of which all values are shown. @type {Set<string>} */
    this.whole = new Set();
    this.fields = h("div", { class: "facet-fields" });
    this.element = h("details", { class: "facets", open }, h("summary", {}, "What there is"), this.fields);
    // Counted only where they are seen: it costs the service something.
    new IntersectionObserver(([entry]) => (this.isSeen = entry.isIntersecting) && this.#count()).observe(this.element);
    this.element.addEventListener("toggle", () => this.#count());
  }

  /** @param {Filter} filter */
  set(filter) {
    this.filter = filter;
    this.isCurrent = false;
    this.aborter.abort();
    void this.#count();
  }

  async #count() {
    if (this.isCurrent || !this.isSeen || !this.element.open) return;
    this.isCurrent = true;
    this.aborter = new AbortController();
    const keys = declared("keyword", "integer", "bool").map((key) => `metadata.${key}`);
    try {
      const fields = ["labels", "media_type", ...keys].slice(0, MOST_FIELDS);
      this.#show(await facetsOf(fields, { filter: this.filter, limit: MOST, signal: this.aborter.signal }));
    } catch {
      // The pictures beside it tell what is wrong.
    }
  }

  /** @param {Record<string, {value: Value, images: number}[]>} facets */
  #show(facets) {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.facet;
    const found = Object.entries(facets).filter(([, values]) => values.length);
    this.fields.replaceChildren(...found.map(([field, values]) => this.#field(field, values)));
    if (focused) this.#buttons().find(({ dataset }) => dataset.facet === focused)?.focus();
  }

  #buttons() {
    return /** @type {HTMLElement[]} */ ([...this.fields.querySelectorAll("[data-facet]")]);
  }

  /** @param {string} field @param {{value: Value, images: number}[]} values */
  #field(field, values) {
    const name = nameOf(field);
    const buttons = values.map(({ value, images }) => this.#value(field, value, images));
    const rest = this.whole.has(field) ? [] : buttons.slice(AT_FIRST);
    for (const item of rest) item.hidden = true;
    const showAll = () => {
      this.whole.add(field);
      for (const item of rest) item.hidden = false;
      more.remove();
      rest[0].firstElementChild.focus();
    };
    const more = h("button", { type: "button", class: "quiet", onclick: showAll }, `${rest.length} more`);
    return h("section", {}, h("h3", { class: "small-heading" }, name),
      h("ul", { class: "chips", "aria-label": name }, buttons, rest.length > 0 && h("li", {}, more)));
  }

  /** @param {string} field @param {Value} value @param {number} images */
  #value(field, value, images) {
    const isWanted = this.filter.all?.some((each) => each.field === field && each.eq === value) ?? false;
    const words = field === "media_type" ? String(value).replace("image/", "").toUpperCase() : valueText(value);
    return h("li", {}, h("button", {
      type: "button", class: "facet", "aria-pressed": String(isWanted), "data-facet": JSON.stringify([field, value]),
      onclick: () => this.onchange(toggled(this.filter, field, value)),
    }, h("span", {}, words), " ", h("span", { class: "count" }, images.toLocaleString("en"))));
  }
}
