/** Search: the picture and how it is compared on one side, what looks like it on the other. */

import { files, format, go, here, keep, NOWHERE, searchWith } from "./address.js";
import { getImage, thumbnailOf } from "./api.js";
import { announce, counted, h, icon } from "./dom.js";
import { EndlessGrid } from "./grid.js";
import { groupButton } from "./groups.js";
import { fileButton } from "./picking.js";
import { QueryPicture } from "./query-picture.js";
import { Refine } from "./refine.js";
import { byMarks, detect, examplesOf, isSearch, mostRegions, search, targetOf } from "./search-request.js";
import { service } from "./service.js";
import { sidePanel } from "./side-panel.js";
import { startPage } from "./start-page.js";
import { emptyState } from "./states.js";
import { thumbnail, tile, tileButton } from "./tile.js";

/** @typedef {import("./address.js").Place} Place */
/** @typedef {import("./api.js").Match} Match */

export class SearchView {
  constructor() {
    this.shown = 0;
    this.title = h("h1", { class: "visually-hidden" }, "Search");
    this.picture = new QueryPicture((regions, options) => go({ regions, ...backToPicture() }, options));
    this.refine = new Refine((change, options) => go(change, options));
    this.examples = h("div", { class: "examples" });
    this.status = h("p", { class: "result-status" });
    this.hint = h("p", { class: "hint", hidden: true }, "This picture shows very little, a plain colour or shape. What is found may have nothing to do with it.");
    this.grid = new EndlessGrid({
      label: "Pictures that look alike",
      tile: (/** @type {Match} */ match) => this.#tile(match),
      empty: () => this.#nothing(),
      onload: (_, more) => this.#loaded(more),
      onfail: () => (this.status.textContent = ""),
    });
    this.start = startPage();
    this.another = h("div", { class: "another" },
      fileButton("upload", "Another picture", { accept: "image/*", onpick: ([file]) => this.searchFile(file) }),
      h("a", { class: "button", href: "./", "data-view": "search" }, icon("close"), "Start over"));
    this.searching = h("div", { class: "searching" },
      h("aside", { class: "query", "aria-label": "Your search" }, this.picture.element, this.examples, this.another, sidePanel("Refine", this.refine.element)),
      h("section", { class: "results", "aria-label": "Results" }, this.status, this.hint, this.grid.element));
    this.element = h("div", { class: "search-view" }, this.title);
    this.source = "";
    this.asked = "";
    this.aborter = new AbortController();
  }

  /** Search with a picture of the visitor's. @param {File} file */
  searchFile(file) {
    searchWith({ file: keep(file) });
  }

  /** @param {Place} there an address may hold more parts than can be searched for here */
  show(there) {
    const most = mostRegions(service.detector);
    const place = { ...there, regions: there.regions.slice(-most) };
    const asked = isSearch(place) ? JSON.stringify({ ...place, show: null }) : "start";
    if (asked === this.asked) return;
    this.asked = asked;
    if (!isSearch(place)) {
      this.grid.clear();
      this.element.replaceChildren(this.title, this.start.element);
      this.start.show();
      return;
    }
    if (this.searching.parentElement !== this.element) this.element.replaceChildren(this.title, this.searching);
    this.#showSource(place);
    this.picture.setRegions(place.regions, most);
    this.#showExamples(place);
    this.refine.set(place, service.detector);
    this.#ask(place);
  }

  leave() {
    this.grid.stop();
    this.asked = "";
  }

  /** @param {Place} place */
  #ask(place) {
    this.status.textContent = "Searching\u2026";
    void this.grid.start(async (/** @type {number | null} */ offset, signal) => {
      const onwait = (/** @type {number} */ seconds) => (this.status.textContent = `The service is busy. Trying again in ${seconds} s\u2026`);
      const result = await search(place, { offset: offset ?? 0, detector: service.detector, signal, onwait });
      this.refine.note(result.matches.map(({ image }) => image));
      this.shown = result.matches.length + (offset === null ? 0 : this.shown);
      this.hint.hidden = !result.query.low_detail;
      return { items: result.matches, next: result.next_offset };
    });
  }

  /** Show the picture that is searched with, and find its objects. @param {Place} place */
  #showSource(place) {
    const source = place.file ?? place.image ?? "";
    this.picture.element.hidden = !source;
    this.picture.element.classList.toggle("aside", byMarks(place) && !place.image);
    if (source === this.source) return;
    this.source = source;
    this.aborter.abort();
    this.aborter = new AbortController();
    URL.revokeObjectURL(this.picture.image.src);
    if (place.file) void this.#showFile(place.file, this.aborter.signal);
    else if (place.image) void this.#showStored(place.image, this.aborter.signal);
  }

  /** @param {string} key @param {AbortSignal} signal */
  async #showFile(key, signal) {
    const file = /** @type {File} */ (files.get(key));
    this.picture.setPicture(URL.createObjectURL(file), file.name, null);
    if (!service.detector) return;
    try {
      const { image, detections } = await detect(key, signal);
      this.picture.setSize(image);
      this.picture.setObjects(detections);
    } catch {
      // Boxes are an offer. What is wrong with the picture or the service, the results tell.
    }
  }

  /** @param {string} id @param {AbortSignal} signal */
  async #showStored(id, signal) {
    this.picture.setPicture(thumbnailOf(id), "The indexed picture", null);
    try {
      const image = await getImage(id, signal);
      this.picture.setPicture(image.links.thumbnail, image.filename, image);
      this.picture.setObjects(image.objects);
    } catch {
      // As above.
    }
  }

  /** @param {Place} place */
  #showExamples(place) {
    this.examples.hidden = !byMarks(place);
    if (!byMarks(place)) return;
    const { positive, negative } = examplesOf(place);
    const ownIsAside = place.file && !place.image;
    this.examples.replaceChildren(
      h("h2", { class: "small-heading" }, "More like these, less like those"),
      h("ul", { class: "example-list" }, positive.map((id) => this.#example(place, id, true)), negative.map((id) => this.#example(place, id, false))),
      ownIsAside ? h("p", { class: "hint" }, "Your own picture is set aside meanwhile: only indexed pictures can be examples.") : "",
      h("button", { type: "button", class: "small", onclick: () => go({ positive: [], negative: [] }) }, icon("close"), "Clear the marks"),
    );
  }

  /** @param {Place} place @param {string} id @param {boolean} like */
  #example(place, id, like) {
    const words = like ? "More like this" : "Less like this";
    const isSource = id === place.image;
    return h(
      "li",
      { class: like ? "example like" : "example unlike" },
      thumbnail(id, words),
      h("span", { class: "sign", "aria-hidden": "true" }, icon(like ? "plus" : "minus")),
      !isSource && h("button", { type: "button", class: "remove", "aria-label": `Remove this example (${words.toLowerCase()})`, onclick: () => go(marked(place, id, null)) }, icon("close")),
    );
  }

  /** @param {Match} match */
  #tile(match) {
    const place = here();
    const { image } = match;
    const objects = match.region ? [match.region] : (match.regions ?? []).map((pair) => pair.object);
    const boxes = objects.flatMap((found) => (found ? [found.box] : []));
    const mark = (/** @type {boolean} */ like) => () => {
      const now = here();
      const list = like ? now.positive : now.negative;
      go(marked(now, image.id, list.includes(image.id) ? null : like));
    };
    return tile(image, {
      href: `./${format({ ...NOWHERE, image: image.id })}`,
      label: `${image.filename}, ${likenessText(match)}: search with it`,
      onclick: () => searchWith({ image: image.id }),
      boxes,
      extras: [
        h("span", { class: "score", "data-band": match.band, title: `Cosine similarity ${match.score.toFixed(4)}` }, likenessText(match)),
        place.group && groupButton(match, place.group, (other) => this.#tile(other)),
      ],
      buttons: [
        tileButton("plus", `More like this: ${image.filename}`, { pressed: String(place.positive.includes(image.id)), onclick: mark(true) }),
        tileButton("minus", `Less like this: ${image.filename}`, { pressed: String(place.negative.includes(image.id)), onclick: mark(false) }),
        tileButton("info", `Details: ${image.filename}`, { pressed: null, onclick: () => go({ show: image.id }) }),
      ],
    });
  }

  /** @param {boolean} more */
  #loaded(more) {
    const text = this.shown ? `${counted(this.shown, here().group ? "group" : "picture")}${more ? " so far" : ""}, most alike first` : "Nothing found";
    this.status.textContent = text;
    announce(text);
  }

  #nothing() {
    const place = here();
    const strict = place.likeness !== null || Object.values(place.filter).some((part) => part?.length);
    if (strict) {
      const loosen = h("button", { type: "button", class: "primary", onclick: () => go({ likeness: null, filter: {} }) }, "Show anything");
      return emptyState("search", "Nothing is that alike", "No indexed picture is as alike as asked for and passes the filters.", loosen);
    }
    if (targetOf(place, service.detector) === "objects") {
      return emptyState("picture", "Nothing to compare with", "No object was found in any other indexed picture.");
    }
    return emptyState("picture", "Nothing to compare with", "No other picture is indexed.", h("a", { class: "button primary", href: "./?view=add", "data-view": "add" }, "Add pictures"));
  }
}

/** A box chosen on the picture is meant for it: the search returns to it from the marks. */
function backToPicture() {
  return { positive: [], negative: [] };
}

/** The marks with one picture marked, or not any more. @param {Place} place @param {string} id @param {boolean | null} like */
function marked(place, id, like) {
  const without = (/** @type {string[]} */ ids) => ids.filter((other) => other !== id);
  return {
    positive: like === true ? [...without(place.positive), id] : without(place.positive),
    negative: like === false ? [...without(place.negative), id] : without(place.negative),
    regions: [], // examples are whole pictures
  };
}

const BANDS = { identical: "identical", copy: "copy", very_alike: "very alike", alike: "alike", weak: "weak" };

/** How alike a match is, in words with the number behind; the cosine alone where nothing says what it means. @param {Match} match */
function likenessText({ score, likeness, band }) {
  if (likeness === null) return score.toFixed(2);
  if (band === "weak" && likeness >= 0.5) return "plain"; // as every picture that shows as little
  return `${BANDS[/** @type {import("./api.js").Band} */ (band)]}, ${Math.round(likeness * 100)} %`;
}
