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

const LIKELY = 0.5;

/** Whether a label may be taken for what it says: below that, detectors call hats vases. @param {Detection} found */
const isLikely = ({ score }) => score >= LIKELY;

/** The detector's confidence. @param {Detection} found */
const percent = ({ score }) => `${Math.round(score * 100)} %`;

/** What was detected and what only perhaps, each label once with its greatest confidence, such as "dog 87 %". @param {Detection[]} objects */
export function detected(objects) {
  /** @type {Map<string, Detection>} */
  const best = new Map();
  for (const found of objects) {
    if (found.score > (best.get(found.label)?.score ?? -1)) best.set(found.label, found);
  }
  const words = (/** @type {Detection[]} */ some) => some.map((found) => `${found.label} ${percent(found)}`).join(", ");
  const all = [...best.values()].sort((one, other) => other.score - one.score);
  return { likely: words(all.filter(isLikely)), doubtful: words(all.filter((found) => !isLikely(found))) };
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
    const words = `${isLikely(found) ? "" : "perhaps "}${found.label}`;
    const button = h("button", {
      type: "button", class: `object-box ${isLikely(found) ? "" : "doubtful"} ${more}`, "aria-label": `${words}, ${percent(found)}: search for it`, ...rest,
    }, h("span", { class: "box-label" }, `${words} ${percent(found)}`));
    return placed(button, found.box, picture);
  });
}

/** @param {Box} box */
const area = (box) => (box.x_max - box.x_min) * (box.y_max - box.y_min);
