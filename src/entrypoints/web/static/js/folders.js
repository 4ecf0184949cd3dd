/** Folders: keys that are paths can be walked down and up; each step is a filter by the beginning of the key. */

import { h, icon } from "./dom.js";
import { asked, asking } from "./filter.js";

/** @typedef {import("./filter.js").Filter} Filter */

const MOST = 12;

/** A key's folders, the outermost first, each with its name and the beginning that its keys share. @param {string} key */
export function foldersOf(key) {
  let prefix = "";
  return (key.match(/[^/]*\/+/g) ?? []).map((name) => ({ name, prefix: (prefix += name) }));
}

export class Folders {
  /** @param {(filter: Filter) => void} onchange */
  constructor(onchange) {
    this.onchange = onchange;
    /** @type {Filter} */
    this.filter = {};
    this.path = h("ol", {});
    this.below = h("ul", { class: "chips", "aria-label": "Folders here" });
    /** @type {Set<string>} beginnings of the keys below */
    this.seen = new Set();
    this.element = h("nav", { class: "folders", "aria-label": "Folder" }, this.path, this.below);
  }

  /** @param {Filter} filter */
  set(filter) {
    const moved = asked(filter, "key", "prefix") !== asked(this.filter, "key", "prefix");
    this.filter = filter;
    if (moved) this.seen.clear();
    this.#render();
  }

  /** Offer the folders below the present one in which these pictures are. @param {import("./api.js").Image[]} images */
  note(images) {
    const here = asked(this.filter, "key", "prefix");
    for (const { key } of images) {
      const next = key?.startsWith(here) && foldersOf(key).find(({ prefix }) => prefix.length > here.length);
      if (next && this.seen.size < MOST) this.seen.add(next.prefix);
    }
    this.#render();
  }

  #render() {
    const here = asked(this.filter, "key", "prefix");
    const above = foldersOf(here);
    const rest = here.slice(above.at(-1)?.prefix.length ?? 0);
    const steps = [{ name: "All", prefix: "" }, ...above, ...(rest ? [{ name: `${rest}\u2026`, prefix: here }] : [])];
    this.path.hidden = !here;
    this.path.replaceChildren(...steps.map(({ name, prefix }) => h("li", {}, this.#step(name, prefix, prefix === here))));
    this.below.replaceChildren(...[...this.seen].sort().map((prefix) => h("li", {}, this.#step(prefix.slice(here.length), prefix, false))));
    this.element.hidden = !here && !this.seen.size;
  }

  /** @param {string} name @param {string} prefix @param {boolean} current */
  #step(name, prefix, current) {
    const open = () => this.onchange(asking(this.filter, "key", "prefix", prefix));
    return h("button", { type: "button", class: "folder", "aria-current": current && "true", onclick: open }, prefix && !current && icon("folder"), name);
  }
}
