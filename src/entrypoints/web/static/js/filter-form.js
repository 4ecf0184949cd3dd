/** Filters: a box that finds by name, folders, what there is with counts, and tests on metadata. What holds now stands as chips. */

import { debounced, h, icon } from "./dom.js";
import { Facets } from "./facets.js";
import { TESTS, asked, asking, described, metadataCondition, withCondition, withoutCondition } from "./filter.js";
import { Folders } from "./folders.js";
import { typeOf } from "./service.js";
import { noteKeys, suggestValues } from "./suggestions.js";

/** @typedef {import("./filter.js").Filter} Filter */

const TYPING = 300; // milliseconds
const HAS_WORDS = /[\p{L}\p{N}]/u;

export class FilterForm {
  /** @param {(filter: Filter, options?: {replace?: boolean}) => void} onchange @param {{facets: boolean}} opened whether the facets are open at first */
  constructor(onchange, { facets }) {
    this.onchange = onchange;
    /** @type {Filter} */
    this.filter = {};
    const pause = debounced(TYPING, () => this.#findByName());
    this.isTyping = false;
    const typed = () => {
      this.isTyping = true;
      pause();
    };
    this.name = h("input", { type: "search", placeholder: "Find by name", "aria-label": "Find by name", title: "Beginnings of words of the key, the source and the file name", maxlength: 200, oninput: typed });
    this.chips = h("ul", { class: "chips", "aria-label": "Filters" });
    this.folders = new Folders((filter) => onchange(filter));
    this.facets = new Facets((filter) => onchange(filter), facets);
    this.key = h("input", { type: "text", placeholder: "key", "aria-label": "Metadata key", list: "metadata-keys", required: true, maxlength: 200, oninput: () => this.#suitValue() });
    this.test = h("select", { "aria-label": "Test", onchange: () => this.#suitValue() }, Object.entries(TESTS).map(([test, words]) => h("option", { value: test }, words)));
    this.value = h("input", { type: "text", placeholder: "value", "aria-label": "Metadata value", list: "metadata-values", onfocus: () => void suggestValues(this.key.value.trim()) });
    const form = h(
      "form",
      { class: "metadata-filter", onsubmit: (/** @type {Event} */ event) => this.#addMetadata(event) },
      this.key, this.test, this.value,
      h("button", { type: "submit", "aria-label": "Add the metadata filter", title: "Add the filter" }, icon("plus")),
    );
    this.element = h("div", { class: "filter-form" }, this.name, this.chips, this.folders.element, this.facets.element, form);
  }

  /** @param {Filter} filter */
  set(filter) {
    this.filter = filter;
    const words = asked(filter, "name", "words");
    if (!this.isTyping && words !== this.name.value.trim()) this.name.value = words;
    this.folders.set(filter);
    this.facets.set(filter);
    // The box and the folders show theirs themselves.
    const others = described(filter).filter(({ part, condition }) => part !== "all" || !("words" in condition || (condition.field === "key" && "prefix" in condition)));
    this.chips.replaceChildren(
      ...others.map(({ part, index, words }) =>
        h("li", { class: "chip" }, words,
          h("button", { type: "button", "aria-label": `Remove the filter: ${words}`, onclick: () => this.onchange(withoutCondition(this.filter, part, index)) }, icon("close"))),
      ),
    );
  }

  /** Learn from what is shown which keys and folders there are. @param {import("./api.js").Image[]} images */
  note(images) {
    noteKeys(images);
    this.folders.note(images);
  }

  /** Back leads to before the box was used, not through each pause in typing. */
  #findByName() {
    this.isTyping = false;
    const before = asked(this.filter, "name", "words");
    const words = HAS_WORDS.test(this.name.value) ? this.name.value.trim() : "";
    if (words !== before) this.onchange(asking(this.filter, "name", "words", words), { replace: before !== "" });
  }

  #suitValue() {
    this.value.hidden = ["exists", "missing"].includes(this.test.value);
    const isTime = ["gte", "lte"].includes(this.test.value) && typeOf(this.key.value.trim()) === "datetime";
    this.value.type = isTime ? "datetime-local" : "text";
    this.value.setCustomValidity("");
  }

  /** @param {Event} event */
  #addMetadata(event) {
    event.preventDefault();
    const made = metadataCondition(this.key.value.trim(), this.test.value, this.value.value);
    this.value.setCustomValidity(made ? "" : this.test.value === "prefix" ? "Say how it begins." : "This test needs a number or, of a key that holds times, a time.");
    if (!made) {
      this.value.reportValidity();
      this.value.addEventListener("input", () => this.value.setCustomValidity(""), { once: true });
      return;
    }
    this.key.value = this.value.value = "";
    this.#suitValue();
    this.onchange(withCondition(this.filter, ...made));
  }
}
