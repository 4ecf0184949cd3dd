/** One picture in a grid. */

import { thumbnailOf } from "./api.js";
import { placed } from "./boxes.js";
import { isDeleted } from "./deletions.js";
import { h, icon } from "./dom.js";

/** @typedef {import("./api.js").Image} Image */
/** @typedef {import("./api.js").Box} Box */

/** Panoramas and slips of paper are shown whole within a tile of bearable shape. */
const WIDEST = 3;
const NARROWEST = 0.5;

/**
 * @param {Image} image
 * @param {object} options
 * @param {string} options.href
 * @param {string} options.label what a click does, with the picture's name
 * @param {(event: MouseEvent) => void} options.onclick
 * @param {Box[]} [options.boxes] to draw on it
 * @param {any} [options.extras] stands on the picture, such as the score
 * @param {any[]} [options.buttons]
 */
export function tile(image, { href, label, onclick, boxes = [], extras = null, buttons = [] }) {
  const picture = h("img", {
    src: image.links.thumbnail, alt: "", loading: "lazy", decoding: "async", width: image.width, height: image.height,
  });
  picture.addEventListener("error", () => picture.closest("li")?.classList.add("broken"));
  const frame = h("span", { class: "frame" }, picture, boxes.map((box, place) => drawnBox(box, image, place)));
  frame.style.setProperty("--ratio", String(image.width / image.height));
  const item = h(
    "li",
    { class: "tile", "data-id": image.id, hidden: isDeleted(image.id) },
    h("a", { href, class: "tile-link", "aria-label": label, title: image.key ?? image.filename, onclick: plain(onclick) }, frame),
    extras,
    buttons.length > 0 && h("span", { class: "tile-buttons" }, buttons),
  );
  item.style.setProperty("--ratio", String(Math.min(WIDEST, Math.max(NARROWEST, image.width / image.height))));
  return item;
}

/** A small round button on a tile. @param {Parameters<typeof icon>[0]} drawing @param {string} label @param {any} options */
export function tileButton(drawing, label, { pressed, onclick }) {
  return h("button", { type: "button", "aria-label": label, title: label.split(":")[0], "aria-pressed": pressed, onclick }, icon(drawing));
}

/** A small rendition alone. @param {string} id @param {string} alt */
export const thumbnail = (id, alt) => h("img", { src: thumbnailOf(id), alt, loading: "lazy", decoding: "async" });

/** @param {Box} box @param {{width: number, height: number}} picture @param {number} place */
function drawnBox(box, picture, place) {
  return placed(h("span", { class: `match-box colour-${place % 8}` }), box, picture);
}

/** A plain click acts here; with a modifier the link opens elsewhere, as links do. @param {(event: MouseEvent) => void} act */
export function plain(act) {
  return (/** @type {MouseEvent} */ event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    act(event);
  };
}
