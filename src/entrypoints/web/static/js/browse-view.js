/** Browse: everything that is indexed, newest first. */

import { go, searchWith } from "./address.js";
import { listImages } from "./api.js";
import { isDeleted } from "./deletions.js";
import { announce, counted, h } from "./dom.js";
import { filterText, isEmpty } from "./filter.js";
import { FilterForm, noteKeys } from "./filter-form.js";
import { EndlessGrid } from "./grid.js";
import { emptyState } from "./states.js";
import { tile, tileButton } from "./tile.js";

const PAGE = 60;

export class BrowseView {
  constructor() {
    this.status = h("p", { class: "result-status" });
    this.filters = new FilterForm((filter) => go({ filter }));
    this.total = 0;
    this.asked = "";
    this.filter = {};
    this.grid = new EndlessGrid({
      label: "Indexed pictures, newest first",
      tile: (/** @type {import("./api.js").Image} */ image) =>
        tile(image, {
          href: `./?view=browse&show=${image.id}`,
          label: `${image.filename}: details`,
          onclick: () => go({ show: image.id }),
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
    this.element = h(
      "div",
      { class: "browse-view" },
      h("div", { class: "browse-head" }, h("div", {}, h("h1", {}, "Browse"), this.status), this.filters.element),
      this.grid.element,
    );
    addEventListener("deletion", (event) => {
      const { id, gone } = /** @type {CustomEvent<{id: string, gone: boolean}>} */ (event).detail;
      if (!this.#tiles().some(({ dataset }) => dataset.id === id)) return;
      this.total += gone ? -1 : 1;
      this.#tell();
    });
  }

  /** @param {import("./address.js").Place} place */
  show({ filter }) {
    this.filters.set(filter);
    this.filter = filter;
    const asked = `asked ${filterText(filter)}`;
    if (asked === this.asked) return;
    this.asked = asked;
    void this.grid.start(async (/** @type {string | null} */ cursor, signal) => {
      const page = await listImages({ limit: PAGE, cursor, filter: filterText(filter) }, signal);
      noteKeys(page.items);
      this.total = page.total;
      return { items: page.items, next: page.next_cursor };
    });
  }

  /** What is listed may change while another view is shown. */
  leave() {
    this.grid.clear();
    this.asked = "";
  }

  #tell() {
    this.status.textContent = `${counted(this.total, "picture")}, newest first`;
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
    return emptyState("picture", "Nothing is indexed yet", "Pictures appear here as soon as they are added.", h("a", { class: "button primary", href: "./?view=add", "data-view": "add" }, "Add pictures"));
  }
}
