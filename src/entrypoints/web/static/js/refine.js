/** How the search compares: with what, how strictly, among which pictures. */

import { FilterForm } from "./filter-form.js";
import { debounced, h } from "./dom.js";
import { declared } from "./service.js";
import { byMarks, targetOf } from "./search-request.js";

/** @typedef {import("./address.js").Place} Place */

const TARGETS = { images: "Pictures", objects: "Objects", any: "Both" };

export class Refine {
  /** @param {(change: Partial<Place>, options?: {replace?: boolean}) => void} onchange */
  constructor(onchange) {
    this.targets = Object.entries(TARGETS).map(([target, words]) => {
      const input = h("input", { type: "radio", name: "target", value: target, onchange: () => onchange({ target: /** @type {any} */ (target) }) });
      return { target, input, element: h("label", {}, input, h("span", {}, words)) };
    });
    this.target = h("fieldset", { class: "segmented" }, h("legend", {}, "Compare with"), h("div", {}, this.targets.map(({ element }) => element)));
    this.why = h("p", { class: "hint" });
    const changed = debounced(250, () => onchange({ threshold: this.#threshold() }, { replace: true }));
    this.threshold = h("input", { type: "range", id: "threshold", min: "0", max: "1", step: "0.01", oninput: () => { this.#tellThreshold(); changed(); } });
    this.thresholdText = h("output", { for: "threshold" });
    this.group = h("select", { id: "group-by", onchange: () => onchange({ group: this.group.value || null }) });
    this.filters = new FilterForm((filter, options) => onchange({ filter }, options), { facets: false });
    this.element = h(
      "div",
      { class: "refine" },
      this.target,
      this.why,
      h("div", { class: "threshold" }, h("label", { for: "threshold" }, "Least score"), this.thresholdText, this.threshold),
      h("div", { class: "group-by" }, h("label", { for: "group-by" }, "Group by"), this.group),
      h("h2", { class: "small-heading" }, "Only among"),
      this.filters.element,
    );
  }

  /** @param {Place} place @param {boolean} detector */
  set(place, detector) {
    const target = targetOf(place, detector);
    const severalParts = place.regions.length > 1;
    for (const each of this.targets) {
      each.input.checked = each.target === target;
      each.input.disabled = byMarks(place) || (severalParts && each.target !== "objects");
    }
    this.target.hidden = !detector;
    this.why.textContent = detector ? reason(place, severalParts) : "";
    this.threshold.value = String(Math.max(0, place.threshold ?? 0));
    this.#tellThreshold();
    const groups = [["", "nothing"], ["sha256", "same file"], ...declared("keyword", "integer").map((key) => [`metadata.${key}`, key])];
    this.group.replaceChildren(...groups.map(([field, words]) => h("option", { value: field, selected: field === (place.group ?? "") }, words)));
    this.filters.set(place.filter);
  }

  /** @param {import("./api.js").Image[]} images */
  note(images) {
    this.filters.note(images);
  }

  #threshold() {
    return Number(this.threshold.value) || null;
  }

  #tellThreshold() {
    const least = this.#threshold();
    this.thresholdText.textContent = least === null ? "any" : least.toFixed(2);
    this.threshold.setAttribute("aria-valuetext", least === null ? "any score" : `at least ${least.toFixed(2)}`);
  }
}

/** @param {Place} place @param {boolean} severalParts */
function reason(place, severalParts) {
  if (byMarks(place)) return "Marked pictures are compared as a whole.";
  return severalParts ? "Several parts are compared with the objects in pictures." : "";
}
