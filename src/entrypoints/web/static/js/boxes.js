/** Boxes over pictures: in pixels of the upright picture, drawn at whatever size that is shown. */

import { h } from "./dom.js";

/** @typedef {import("./api.js").Box} Box */
/** @typedef {import("./api.js").Detection} Detection */
/** @typedef {{width: number, height: number}} Size */

/** Put an element over a part of the picture that its parent frames. @param {HTMLElement} element @param {Box} box @param {Size} picture */
export function placed(element, box, picture) {
  element.style.left = `${(100 * box.x_min) / picture.width}%`;
  element.style.top = `${(100 * box.y_min) / picture.height}%`;
  element.style.width = `${(100 * (box.x_max - box.x_min)) / picture.width}%`;
  element.style.height = `${(100 * (box.y_max - box.y_min)) / picture.height}%`;
  return element;
}

/**
 * A button for each object. The largest come first, so that smaller ones lie above them and can be clicked.
 * @param {Detection[]} objects
 * @param {Size} picture
 * @param {(found: Detection) => Record<string, any>} attributes of its button
 * @returns {HTMLElement[]}
 */
export function objectButtons(objects, picture, attributes) {
  const largestFirst = [...objects].sort((one, other) => area(other.box) - area(one.box));
  return largestFirst.map((found) => {
    const { class: more = "", ...rest } = attributes(found);
    const label = `${found.label}, ${Math.round(found.score * 100)} %: search for it`;
    const button = h("button", { type: "button", class: `object-box ${more}`, "aria-label": label, ...rest }, h("span", { class: "box-label" }, found.label));
    return placed(button, found.box, picture);
  });
}

/** @param {Box} box */
const area = (box) => (box.x_max - box.x_min) * (box.y_max - box.y_min);
