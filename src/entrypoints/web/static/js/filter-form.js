/** Filters by label and metadata: what holds now as chips, and a form that adds to it. */

import { ask } from "./api.js";
import { TESTS, described, metadataCondition, withCondition, withoutCondition } from "./filter.js";
import { h, icon } from "./dom.js";

/** @typedef {import("./filter.js").Filter} Filter */

/** Metadata keys seen on pictures so far, to suggest. @type {Set<string>} */
const seenKeys = new Set();
const suggestions = h("datalist", { id: "metadata-keys" });
document.body.append(suggestions);

/** Remember the metadata keys of pictures, to suggest them. @param {import("./api.js").Image[]} images */
export function noteKeys(images) {
  for (const key of images.flatMap((image) => Object.keys(image.metadata))) {
    if (!seenKeys.has(key)) suggestions.append(h("option", { value: key }));
    seenKeys.add(key);
  }
}

export class FilterForm {
  /** @param {(filter: Filter) => void} onchange */
  constructor(onchange) {
    this.onchange = onchange;
    /** @type {Filter} */
    this.filter = {};
    this.chips = h("ul", { class: "chips", "aria-label": "Filters" });
    this.labels = h("select", { "aria-label": "Only pictures that show", onchange: () => this.#addLabel(), onfocus: () => void this.#loadLabels() });
    this.key = h("input", { type: "text", placeholder: "key", "aria-label": "Metadata key", list: "metadata-keys", required: true, maxlength: 200 });
    this.test = h("select", { "aria-label": "Test", onchange: () => this.#suitValue() }, Object.entries(TESTS).map(([test, words]) => h("option", { value: test }, words)));
    this.value = h("input", { type: "text", placeholder: "value", "aria-label": "Metadata value" });
    const form = h(
      "form",
      { class: "metadata-filter", onsubmit: (/** @type {Event} */ event) => this.#addMetadata(event) },
      this.key, this.test, this.value,
      h("button", { type: "submit", "aria-label": "Add the metadata filter", title: "Add the filter" }, icon("plus")),
    );
    this.element = h("div", { class: "filter-form" }, this.chips, this.labels, form);
    this.#offerLabels([]);
  }

  /** @param {Filter} filter */
  set(filter) {
    if (this.labels.hidden) void this.#loadLabels();
    this.filter = filter;
    this.chips.replaceChildren(
      ...described(filter).map(({ part, index, words }) =>
        h("li", { class: "chip" }, words,
          h("button", { type: "button", "aria-label": `Remove the filter: ${words}`, onclick: () => this.onchange(withoutCondition(this.filter, part, index)) }, icon("close"))),
      ),
    );
  }

  /** Counts change while pictures come and go: they are asked for again each time. */
  async #loadLabels() {
    try {
      this.#offerLabels((await ask("v1/facets", { method: "POST", json: { fields: ["labels"], limit: 1000 } })).facets.labels);
    } catch {
      this.#offerLabels([]); // the results beside it tell what is wrong
    }
  }

  /** @param {{value: string, images: number}[]} labels */
  #offerLabels(labels) {
    this.labels.hidden = labels.length === 0;
    const options = labels.map(({ value, images }) => h("option", { value }, `${value} (${images.toLocaleString("en")})`));
    const words = (/** @type {HTMLOptionElement[]} */ all) => all.map((option) => option.textContent).join();
    if (words(options) === words([...this.labels.options].slice(1))) return; // it may be open, and new options would close it
    this.labels.replaceChildren(h("option", { value: "" }, "Only pictures that show\u2026"), ...options);
  }

  #addLabel() {
    const label = this.labels.value;
    if (!label) return;
    this.labels.value = "";
    this.onchange(withCondition(this.filter, "all", { field: "labels", eq: label }));
  }

  #suitValue() {
    this.value.hidden = ["exists", "missing"].includes(this.test.value);
    this.value.setCustomValidity("");
  }

  /** @param {Event} event */
  #addMetadata(event) {
    event.preventDefault();
    const made = metadataCondition(this.key.value.trim(), this.test.value, this.value.value);
    this.value.setCustomValidity(made ? "" : "This test needs a number.");
    if (!made) {
      this.value.reportValidity();
      this.value.addEventListener("input", () => this.value.setCustomValidity(""), { once: true });
      return;
    }
    this.key.value = this.value.value = "";
    this.onchange(withCondition(this.filter, ...made));
  }
}
