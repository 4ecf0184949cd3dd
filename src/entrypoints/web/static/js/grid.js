/** A justified grid that loads as it is scrolled, with its loading, empty and error states. */

import { h } from "./dom.js";
import { failure } from "./states.js";

/** How far below the screen the next page is asked for. */
const AHEAD = "800px";
const SKELETON_RATIOS = [1.3, 0.75, 1, 0.7, 1.5, 0.8, 0.75, 1.2, 0.9, 1.6, 0.75, 1.1];

/**
 * @template Item, Cursor
 * @typedef {(cursor: Cursor | null, signal: AbortSignal) => Promise<{items: Item[], next: Cursor | null}>} Load
 */

/** @template Item, Cursor */
export class EndlessGrid {
  /**
   * @param {object} options
   * @param {string} options.label what it lists, for those who do not see it
   * @param {(item: Item) => HTMLElement} options.tile
   * @param {() => HTMLElement} options.empty
   * @param {(shown: number, more: boolean) => void} [options.onload] told after each page
   * @param {() => void} [options.onfail] told when not even the first page comes
   */
  constructor({ label, tile, empty, onload, onfail }) {
    this.tile = tile;
    this.empty = empty;
    this.onload = onload;
    this.onfail = onfail;
    this.list = h("ul", { class: "grid", "aria-label": label });
    this.more = h("button", { type: "button", class: "more", hidden: true, onclick: () => this.#next() }, "Show more");
    this.message = h("div", { class: "grid-message" });
    this.element = h("div", { class: "grid-area" }, this.list, this.message, this.more);
    this.aborter = new AbortController();
    /** @type {Load<Item, Cursor> | null} */
    this.load = null;
    /** @type {Cursor | null} */
    this.cursor = null;
    new IntersectionObserver(([entry]) => entry.isIntersecting && this.#next(), { rootMargin: AHEAD }).observe(this.more);
  }

  /** Show a list from its start; what is shown stays, dimmed, until its first page is there. @param {Load<Item, Cursor>} load */
  async start(load) {
    this.stop();
    this.aborter = new AbortController();
    this.load = load;
    this.more.hidden = true;
    this.element.setAttribute("aria-busy", "true");
    if (!this.list.childElementCount) {
      this.message.replaceChildren();
      this.list.replaceChildren(...SKELETON_RATIOS.map(skeleton));
    }
    await this.#page(null, true);
  }

  /** Forget what is under way. */
  stop() {
    this.aborter.abort();
  }

  /** Show nothing. */
  clear() {
    this.stop();
    this.list.replaceChildren();
    this.message.replaceChildren();
    this.more.hidden = true;
  }

  #next() {
    if (!this.more.hidden && !this.more.disabled) void this.#page(this.cursor, false);
  }

  /** @param {Cursor | null} cursor @param {boolean} first */
  async #page(cursor, first) {
    const { signal } = this.aborter;
    this.more.disabled = true;
    try {
      const { items, next } = await /** @type {Load<Item, Cursor>} */ (this.load)(cursor, signal);
      if (signal.aborted) return;
      const tiles = items.map(this.tile);
      if (first) this.list.replaceChildren(...tiles);
      else this.list.append(...tiles);
      this.cursor = next;
      this.message.replaceChildren(...(this.list.childElementCount ? [] : [this.empty()]));
      this.more.hidden = next === null;
      this.onload?.(this.list.childElementCount, next !== null);
    } catch (error) {
      if (signal.aborted) return;
      if (first) {
        this.list.replaceChildren();
        this.onfail?.();
      }
      this.more.hidden = true;
      this.message.replaceChildren(failure(error, () => {
        this.message.replaceChildren();
        if (first) void this.start(/** @type {Load<Item, Cursor>} */ (this.load));
        else void this.#page(cursor, first);
      }));
    }
    this.element.removeAttribute("aria-busy");
    this.#lookAgain();
  }

  /** The observer tells of changes only: a button that is still on the screen must leave it first. */
  #lookAgain() {
    this.more.disabled = false;
    if (this.more.hidden) return;
    const { top } = this.more.getBoundingClientRect();
    if (top < innerHeight + Number.parseInt(AHEAD, 10)) requestAnimationFrame(() => this.#next());
  }
}

/** @param {number} ratio */
function skeleton(ratio) {
  const item = h("li", { class: "tile skeleton", "aria-hidden": "true" });
  item.style.setProperty("--ratio", String(ratio));
  return item;
}
