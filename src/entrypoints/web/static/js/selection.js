/** Selecting pictures of a grid, to delete them or to change their metadata together. */

import { changeMetadata } from "./bulk-edit.js";
import { remove } from "./deletions.js";
import { counted, h, icon } from "./dom.js";

/** @typedef {import("./api.js").Image} Image */

export class Selection {
  /** @param {HTMLElement} list of tiles, each with a `box` @param {() => void} onchanged told when metadata was changed */
  constructor(list, onchanged) {
    this.list = list;
    this.onchanged = onchanged;
    /** @type {WeakMap<HTMLInputElement, Image>} */
    this.images = new WeakMap();
    /** Where a range begins. @type {HTMLInputElement | null} */
    this.last = null;
    this.button = h("button", { type: "button", class: "small", "aria-pressed": "false", "data-role": "write", onclick: () => this.set(!this.isOn) }, icon("check"), "Select");
    this.count = h("span", { role: "status" });
    this.patch = h("button", { type: "button", class: "small", onclick: () => changeMetadata(this.#chosen(), () => this.#patched()) }, "Change metadata");
    this.delete = h("button", { type: "button", class: "small danger", onclick: () => this.#delete() }, icon("trash"), "Delete");
    this.bar = h("div", { class: "selection-bar", role: "group", "aria-label": "Selected pictures", hidden: true },
      this.count,
      h("button", { type: "button", class: "small", onclick: () => this.#chooseAll() }, "All shown"),
      this.patch, this.delete,
      h("button", { type: "button", class: "small", onclick: () => this.set(false) }, "Done"));
    list.addEventListener("click", (event) => this.#clicked(event), true);
  }

  get isOn() {
    return !this.bar.hidden;
  }

  /** The box that selects a picture: part of its tile. @param {Image} image */
  box(image) {
    const box = h("input", { type: "checkbox", class: "pick", "aria-label": `Select ${image.filename}` });
    this.images.set(box, image);
    return box;
  }

  /** Begin to select, or end it with nothing selected. @param {boolean} on */
  set(on) {
    this.bar.hidden = !on;
    this.last = null;
    this.list.classList.toggle("selecting", on);
    this.button.setAttribute("aria-pressed", String(on));
    for (const box of this.#boxes()) box.checked = false;
    this.tell();
  }

  /** Tell how many are selected, now that other pictures are listed. */
  tell() {
    const chosen = this.#chosen().length;
    this.count.textContent = `${counted(chosen, "picture")} selected`;
    this.patch.disabled = this.delete.disabled = chosen === 0;
  }

  /** @returns {HTMLInputElement[]} */
  #boxes() {
    return [.../** @type {NodeListOf<HTMLInputElement>} */ (this.list.querySelectorAll("li:not([hidden]) > .pick"))];
  }

  #chosen() {
    return this.#boxes().filter((box) => box.checked).map((box) => /** @type {Image} */ (this.images.get(box)));
  }

  #chooseAll() {
    for (const box of this.#boxes()) box.checked = true;
    this.tell();
  }

  /** While pictures are selected, a click anywhere on one selects it; with Shift, all from the last one on. @param {MouseEvent} event */
  #clicked(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const box = this.isOn && /** @type {HTMLInputElement | null} */ (target.closest("li")?.querySelector(".pick"));
    if (!box) return;
    if (target !== box) {
      event.preventDefault();
      event.stopPropagation();
      box.checked = !box.checked;
    }
    const boxes = this.#boxes();
    const from = event.shiftKey && this.last ? boxes.indexOf(this.last) : -1;
    if (from >= 0) {
      const [first, end] = [from, boxes.indexOf(box)].sort((one, other) => one - other);
      for (const each of boxes.slice(first, end + 1)) each.checked = box.checked;
    }
    this.last = box;
    this.tell();
  }

  #delete() {
    const chosen = this.#chosen();
    this.set(false);
    remove(chosen);
    this.button.focus();
  }

  #patched() {
    this.set(false);
    this.button.focus();
    this.onchanged();
  }
}
