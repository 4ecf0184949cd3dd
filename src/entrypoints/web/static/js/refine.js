/** How the search compares: with what, how strictly, among which pictures. */

import { facetsOf } from "./api.js";
import { FilterForm } from "./filter-form.js";
import { debounced, h } from "./dom.js";
import { declared } from "./service.js";
import { byMarks, comparesOne, targetOf } from "./search-request.js";

/** @typedef {import("./address.js").Place} Place */

/** The least likeness of each band, see Search in the API. @type {[string, string][]} */
const LEAST = [["", "anything"], ["0.5", "alike"], ["0.75", "very alike"], ["1", "identical"]];
/** The API learns from two values of five pictures each. */
const FEWEST_VALUES = 2;
const FEWEST_PICTURES = 5;

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
    this.likeness = h("select", { id: "likeness", onchange: () => onchange({ likeness: Number(this.likeness.value) || null }) });
    const changed = debounced(250, () => onchange({ colour: Number(this.colour.value) }, { replace: true }));
    this.colour = h("input", { type: "range", id: "colour", min: "0", max: "1", step: "0.05", oninput: () => { this.#tellColour(); changed(); } });
    this.colourText = h("output", { for: "colour" });
    this.adapt = h("select", { id: "adapt-to", onchange: () => onchange({ adapt: this.adapt.value || null }) });
    /** The declared keys whose values the order can learn from; asked for until there are any. @type {string[]} */
    this.labelled = [];
    this.group = h("select", { id: "group-by", onchange: () => onchange({ group: this.group.value || null }) });
    this.filters = new FilterForm((filter, options) => onchange({ filter }, options), { facets: false });
    this.element = h(
      "div",
      { class: "refine" },
      this.target,
      this.why,
      h("div", { class: "choice" }, h("label", { for: "likeness" }, "Show"), this.likeness),
      (this.colours = h("div", { class: "slider" }, h("label", { for: "colour" }, "From shape to colour"), this.colourText, this.colour)),
      (this.adapting = h("div", { class: "choice" }, h("label", { for: "adapt-to" }, "Sort by what is alike as"), this.adapt)),
      h("div", { class: "choice" }, h("label", { for: "group-by" }, "Group by"), this.group),
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
    offer(this.likeness, LEAST, String(place.likeness ?? ""));
    this.likeness.disabled = !comparesOne(place);
    this.colours.hidden = target !== "images";
    this.colour.value = String(place.colour);
    this.#tellColour();
    offer(this.group, [["", "nothing"], ["sha256", "same file"], ...fields(declared("keyword", "integer"))], place.group ?? "");
    void this.#offerLabels(place.adapt ?? "", target === "images");
    this.filters.set(place.filter);
  }

  /** @param {import("./api.js").Image[]} images */
  note(images) {
    this.filters.note(images);
  }

  /** @param {string} chosen @param {boolean} possible */
  async #offerLabels(chosen, possible) {
    this.adapting.hidden = true;
    if (!this.labelled.length) this.labelled = await labelledKeys().catch(() => []);
    offer(this.adapt, [["", "the picture"], ...fields(this.labelled)], chosen);
    this.adapting.hidden = !possible || this.adapt.length === 1;
  }

  #tellColour() {
    const percent = `${Math.round(Number(this.colour.value) * 100)} % colour`;
    this.colourText.textContent = percent;
    this.colour.setAttribute("aria-valuetext", percent);
  }
}

/** The declared keys that have enough pictures of enough values. */
async function labelledKeys() {
  const asked = fields(declared("keyword")).map(([field]) => field);
  if (!asked.length) return [];
  const facets = await facetsOf(asked, { limit: FEWEST_VALUES });
  const isEnough = (/** @type {{images: number}[]} */ values) => values.filter(({ images }) => images >= FEWEST_PICTURES).length === FEWEST_VALUES;
  return declared("keyword").filter((key) => isEnough(facets[`metadata.${key}`]));
}

/** Metadata keys as the API's fields, each with its name. @param {string[]} keys @returns {[string, string][]} */
const fields = (keys) => keys.map((key) => [`metadata.${key}`, key]);

/** Offer options, and what is chosen too where an address names something else. @param {HTMLSelectElement} select @param {[string, string][]} options value and words of each @param {string} chosen */
function offer(select, options, chosen) {
  const all = options.some(([value]) => value === chosen) ? options : [...options, [chosen, chosen.replace("metadata.", "")]];
  select.replaceChildren(...all.map(([value, words]) => h("option", { value, selected: value === chosen }, words)));
}

/** @param {Place} place @param {boolean} severalParts */
function reason(place, severalParts) {
  if (byMarks(place)) return "Marked pictures are compared as a whole.";
  return severalParts ? "Several parts are compared with the objects in pictures." : "";
}
