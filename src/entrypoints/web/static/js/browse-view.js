/** Browse: everything that is indexed, narrowed down and sorted; several pictures can be selected. */

import { format, go, here, searchWith } from "./address.js";
import { listImages } from "./api.js";
import { isDeleted } from "./deletions.js";
import { announce, counted, h } from "./dom.js";
import { filterText, isEmpty } from "./filter.js";
import { FilterForm } from "./filter-form.js";
import { EndlessGrid } from "./grid.js";
import { Selection } from "./selection.js";
import { declared } from "./service.js";
import { sidePanel } from "./side-panel.js";
import { emptyState } from "./states.js";
import { tile, tileButton } from "./tile.js";

const PAGE = 60;

export class BrowseView {
  constructor() {
    this.status = h("p", { class: "result-status" });
    this.filters = new FilterForm((filter, options) => go({ filter }, options), { facets: true });
    this.sort = h("select", { "aria-label": "Sort", onchange: () => go({ order: this.sort.value || null }) });
    this.total = 0;
    this.asked = "";
    this.filter = {};
    this.grid = new EndlessGrid({
      label: "Indexed pictures",
      tile: (/** @type {import("./api.js").Image} */ image) =>
        tile(image, {
          href: `./${format({ ...here(), show: image.id })}`,
          label: `${image.filename}: details`,
          onclick: () => go({ show: image.id }),
          extras: this.selection.box(image),
          buttons: [tileButton("search", `Find similar: ${image.filename}`, { pressed: null, onclick: () => searchWith({ image: image.id }) })],
        }),
      empty: () => this.#nothing(),
      onload: () => {
        this.total -= this.#tiles().filter(({ dataset }) => isDeleted(dataset.id ?? "")).length;
        this.#tell();
        announce(this.status.textContent ?? "");
      },
      onfail: () => (this.status.textContent = ""),
    });
    this.selection = new Selection(this.grid.list, () => this.#again());
    this.element = h("div", { class: "browse-view" },
      h("h1", {}, "Browse"),
      h("div", { class: "searching" },
        h("aside", { class: "query", "aria-label": "Filters" }, sidePanel("Narrow down", this.filters.element)),
        h("section", { class: "results", "aria-label": "Pictures" },
          h("div", { class: "browse-head" }, this.status, this.sort, this.selection.button),
          this.grid.element, this.selection.bar)));
    addEventListener("deletion", (event) => {
      const { id, gone } = /** @type {CustomEvent<{id: string, gone: boolean}>} */ (event).detail;
      if (!this.#tiles().some(({ dataset }) => dataset.id === id)) return;
      this.total += gone ? -1 : 1;
      this.#tell();
    });
  }

  /** @param {import("./address.js").Place} place */
  show({ filter, order }) {
    const asked = `asked ${order} ${filterText(filter)}`;
    if (asked === this.asked) return;
    this.asked = asked;
    this.filters.set(filter);
    this.filter = filter;
    const orders = ordersThereAre();
    this.sort.replaceChildren(...Object.entries(orders).map(([name, words]) => h("option", { value: name, selected: name === (order ?? "") }, `Sort: ${words}`)));
    this.order = order ?? "";
    void this.grid.start(async (/** @type {string | null} */ cursor, signal) => {
      const page = await listImages({ limit: PAGE, cursor, filter: filterText(filter), order_by: order }, signal);
      this.filters.note(page.items);
      this.total = page.total;
      return { items: page.items, next: page.next_cursor };
    });
  }

  /** What is listed may change while another view is shown. */
  leave() {
    this.grid.clear();
    this.selection.set(false);
    this.asked = "";
  }

  #again() {
    this.asked = "";
    this.show(here());
  }

  #tell() {
    const left = this.order?.includes("metadata.") ? "; those without are left out" : "";
    this.status.textContent = `${counted(this.total, "picture")}, ${ordersThereAre()[this.order ?? ""] ?? this.order}${left}`;
    this.selection.tell();
  }

  /** Those of deleted pictures too, which are hidden. */
  #tiles() {
    return /** @type {HTMLElement[]} */ ([...this.grid.list.children]);
  }

  #nothing() {
    if (!isEmpty(this.filter)) {
      const drop = h("button", { type: "button", class: "primary", onclick: () => go({ filter: {} }) }, "Drop the filters");
      return emptyState("search", "No picture passes the filters", "Remove one of them, or all.", drop);
    }
    if (this.order) {
      const drop = h("button", { type: "button", class: "primary", onclick: () => go({ order: null }) }, "Newest first");
      return emptyState("search", "No picture has this key", "Sort by something else.", drop);
    }
    return emptyState("picture", "Nothing is indexed yet", "Pictures appear here as soon as they are added.", h("a", { class: "button primary", href: "./?view=add", "data-view": "add" }, "Add pictures"));
  }
}

/** The API's orders, each in words; the usual one is "". @returns {Record<string, string>} */
function ordersThereAre() {
  const both = (/** @type {string} */ key, /** @type {string} */ up, /** @type {string} */ down) => [[`metadata.${key}`, `${key}, ${up} first`], [`-metadata.${key}`, `${key}, ${down} first`]];
  return Object.fromEntries([
    ["", "newest first"], ["created_at", "oldest first"], ["-updated_at", "last changed first"],
    ...declared("integer", "float").flatMap((key) => both(key, "lowest", "highest")),
    ...declared("datetime").flatMap((key) => both(key, "earliest", "latest")),
  ]);
}
