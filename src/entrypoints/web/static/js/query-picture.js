/** The picture that is searched with: its objects to click, boxes to draw by pointer or keyboard. */

import { boxText } from "./address.js";
import { objectButtons, placed } from "./boxes.js";
import { debounced, h, icon } from "./dom.js";

/** @typedef {import("./api.js").Box} Box */
/** @typedef {import("./api.js").Detection} Detection */

const CLICK = 6; // pixels that a click may move
const STEP = 0.02; // of the picture's side, by an arrow key

export class QueryPicture {
  /** @param {(regions: Box[], options?: {replace?: boolean}) => void} onchange */
  constructor(onchange) {
    this.onchange = onchange;
    this.size = { width: 1, height: 1 };
    /** @type {Detection[]} */
    this.objects = [];
    /** @type {Box[]} */
    this.regions = [];
    this.most = 1;
    this.image = h("img", { class: "query-image", alt: "", draggable: "false" });
    this.image.addEventListener("load", () => this.#measured());
    this.image.addEventListener("error", () => this.stage.classList.add("no-preview"));
    this.boxes = h("div", { class: "boxes" });
    this.stage = h("div", { class: "stage", role: "group", "aria-label": "The picture you search with" }, this.image, this.boxes);
    this.drawButton = h("button", { type: "button", class: "small", "aria-pressed": "false", onclick: (/** @type {MouseEvent} */ event) => this.#drawPressed(event) }, icon("box"), "Draw a box");
    this.clearButton = h("button", { type: "button", class: "small", onclick: () => this.onchange([]) }, icon("close"), "Whole picture");
    this.hint = h("p", { class: "hint" });
    this.element = h("div", { class: "query-picture" }, this.stage, this.hint, h("div", { class: "query-buttons" }, this.drawButton, this.clearButton));
    // What was moved is meant for the picture that it was moved on, should another come meanwhile.
    this.settled = debounced(350, (picture) => picture === this.image.src && this.onchange(this.regions, { replace: true }));
    this.#listen();
  }

  /** @param {string} url @param {string} name @param {{width: number, height: number} | null} size null: as the browser sees it */
  setPicture(url, name, size) {
    this.stage.classList.remove("no-preview");
    this.image.alt = name;
    this.image.src = url;
    this.objects = [];
    this.sized = size !== null;
    if (size) this.setSize(size);
  }

  /** The upright picture's pixels, in which all boxes are. @param {{width: number, height: number}} size */
  setSize({ width, height }) {
    if (!width || !height) return;
    this.size = { width, height };
    this.stage.style.setProperty("--ratio", String(width / height));
    this.#render();
  }

  /** @param {Detection[]} objects */
  setObjects(objects) {
    this.objects = objects;
    this.#render();
  }

  /** @param {Box[]} regions @param {number} most how many can be chosen; of more, the last ones are */
  setRegions(regions, most) {
    this.regions = regions;
    this.most = most;
    this.#render();
  }

  #measured() {
    if (!this.sized) this.setSize({ width: this.image.naturalWidth, height: this.image.naturalHeight });
  }

  #render() {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.box;
    const chosen = this.regions.map(boxText);
    const known = new Set(this.objects.map((found) => boxText(found.box)));
    this.boxes.replaceChildren(
      ...objectButtons(this.objects, this.size, (found) => this.#objectAttributes(found, chosen)),
      ...this.regions.filter((box) => !known.has(boxText(box))).map((box) => this.#ownBox(box, chosen.indexOf(boxText(box)))),
    );
    if (focused) this.#focus(focused);
    this.clearButton.hidden = !this.regions.length;
    this.hint.textContent = hint(this.regions.length, this.objects.length, this.most);
  }

  /** @param {Detection} found @param {string[]} chosen */
  #objectAttributes(found, chosen) {
    const key = boxText(found.box);
    const place = chosen.indexOf(key);
    const colour = place < 0 ? "" : `colour-${place % 8}`;
    return { class: colour, "data-box": key, "aria-pressed": String(place >= 0), onclick: () => this.#toggle(found.box) };
  }

  /** @param {Box} box @param {number} place */
  #ownBox(box, place) {
    const key = boxText(box);
    const grip = h("button", {
      type: "button", class: "grip", "data-box": key,
      "aria-label": `Your box ${place + 1}: arrow keys move it, with Shift they resize it, Delete removes it`,
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event, place),
    });
    const remove = h("button", { type: "button", class: "remove", "aria-label": `Remove your box ${place + 1}`, onclick: () => this.#toggle(box) }, icon("close"));
    return placed(h("div", { class: `own-box colour-${place % 8}` }, grip, remove), box, this.size);
  }

  /** @param {Box} box */
  #toggle(box) {
    const key = boxText(box);
    const rest = this.regions.filter((region) => boxText(region) !== key);
    this.#choose(rest.length < this.regions.length ? rest : [...this.regions, box]);
  }

  /** @param {Box[]} regions */
  #choose(regions) {
    this.onchange(regions.slice(-this.most));
  }

  /** By keyboard a box appears in the middle, to be moved; by pointer it is drawn next. @param {MouseEvent} event */
  #drawPressed(event) {
    if (event.detail === 0) {
      const { width, height } = this.size;
      const box = { x_min: width / 4, y_min: height / 4, x_max: (width * 3) / 4, y_max: (height * 3) / 4 };
      this.#choose([...this.regions, box]);
      this.#focus(boxText(box));
    } else {
      this.#setDrawing(!this.stage.classList.contains("drawing"));
    }
  }

  /** @param {boolean} drawing whether a finger draws instead of scrolling; a mouse always draws */
  #setDrawing(drawing) {
    this.stage.classList.toggle("drawing", drawing);
    this.drawButton.setAttribute("aria-pressed", String(drawing));
  }

  /** @param {string} key */
  #focus(key) {
    const found = [...this.boxes.querySelectorAll("button")].find((button) => button.dataset.box === key);
    found?.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event @param {number} place */
  #key(event, place) {
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.#toggle(this.regions[place]);
      this.drawButton.focus();
      return;
    }
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!direction) return;
    event.preventDefault();
    const box = moved(this.regions[place], direction, this.size, event.shiftKey);
    this.regions = this.regions.map((region, other) => (other === place ? box : region));
    this.#render();
    this.#focus(boxText(box));
    this.settled(this.image.src);
  }

  #listen() {
    /** @type {{x: number, y: number, rubber: HTMLElement | null} | null} */
    let drag = null;
    let swallow = false;
    this.stage.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      const draws = event.pointerType === "mouse" || this.stage.classList.contains("drawing");
      const onRemove = /** @type {HTMLElement} */ (event.target).closest(".remove");
      if (event.button === 0 && draws && !onRemove) drag = { x: event.clientX, y: event.clientY, rubber: null };
      swallow = false;
    });
    this.stage.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (!drag) return;
      if (!drag.rubber && Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < CLICK) return;
      if (!drag.rubber) {
        this.stage.setPointerCapture(event.pointerId);
        drag.rubber = this.stage.appendChild(h("div", { class: "rubber" }));
      }
      placed(drag.rubber, this.#between(drag, event), this.size);
    });
    const end = (/** @type {PointerEvent} */ event) => {
      if (drag?.rubber) {
        drag.rubber.remove();
        swallow = true;
        const box = this.#between(drag, event);
        const least = { x: this.size.width * STEP, y: this.size.height * STEP };
        if (event.type === "pointerup" && box.x_max - box.x_min >= least.x && box.y_max - box.y_min >= least.y) {
          this.#setDrawing(false);
          this.#choose([...this.regions, box]);
        }
      }
      drag = null;
    };
    this.stage.addEventListener("pointerup", end);
    this.stage.addEventListener("pointercancel", end);
    // The click that ends a drag is not meant for the box under it.
    this.stage.addEventListener("click", (/** @type {MouseEvent} */ event) => swallow && event.stopPropagation(), true);
  }

  /** The box between two points of the screen, clipped to the picture. @param {{x: number, y: number}} from @param {PointerEvent} to @returns {Box} */
  #between(from, to) {
    const area = this.stage.getBoundingClientRect();
    const x = [from.x, to.clientX].map((at) => clamp((at - area.left) / area.width) * this.size.width).sort(ascending);
    const y = [from.y, to.clientY].map((at) => clamp((at - area.top) / area.height) * this.size.height).sort(ascending);
    return { x_min: x[0], y_min: y[0], x_max: x[1], y_max: y[1] };
  }
}

/**
 * A box after an arrow key: moved, or with its far corner moved; never out of the picture, never too small to see.
 * @param {Box} box @param {number[]} direction @param {{width: number, height: number}} size @param {boolean} resize
 */
function moved(box, [right, down], size, resize) {
  const [x, y] = [right * size.width * STEP, down * size.height * STEP];
  if (resize) {
    const least = { x: size.width * STEP * 2, y: size.height * STEP * 2 };
    return {
      ...box,
      x_max: Math.min(size.width, Math.max(box.x_min + least.x, box.x_max + x)),
      y_max: Math.min(size.height, Math.max(box.y_min + least.y, box.y_max + y)),
    };
  }
  const dx = Math.min(size.width - box.x_max, Math.max(-box.x_min, x));
  const dy = Math.min(size.height - box.y_max, Math.max(-box.y_min, y));
  return { x_min: box.x_min + dx, y_min: box.y_min + dy, x_max: box.x_max + dx, y_max: box.y_max + dy };
}

/** @param {number} chosen @param {number} objects @param {number} most */
function hint(chosen, objects, most) {
  if (chosen > 1) return `Searching for pictures that hold all ${chosen} of these parts.`;
  if (chosen === 1) return `Searching for this part.${most > 1 ? " Choose another to search for both together." : ""}`;
  return objects ? "Click an object, or drag a box, to search for just that." : "Drag a box to search for just a part.";
}

/** @param {number} share */
const clamp = (share) => Math.min(1, Math.max(0, share));
/** @param {number} one @param {number} other */
const ascending = (one, other) => one - other;
