/** Groups of results: the best picture stands for its group, and the others open after it. */

import { format, go, NOWHERE } from "./address.js";
import { h } from "./dom.js";
import { nameOf } from "./filter.js";
import { plain } from "./tile.js";

/** @typedef {import("./api.js").Match} Match */

/**
 * The button that opens the others of a match's group, or null where it stands alone.
 * @param {Match} match
 * @param {string} field what is grouped by
 * @param {(match: Match) => HTMLElement} tile
 */
export function groupButton({ group }, field, tile) {
  if (group === null || group.images < 2) return null;
  /** @type {HTMLElement[]} */
  let opened = [];
  const others = group.images - 1;
  const toggle = () => {
    const isOpen = opened.length > 0;
    for (const item of opened) item.remove();
    opened = isOpen ? [] : [...group.more.map(tile), ...(others > group.more.length ? [wholeGroup(field, group)] : [])];
    for (const item of opened) item.classList.add("of-group");
    button.closest("li").after(...opened);
    button.setAttribute("aria-expanded", String(!isOpen));
    button.textContent = isOpen ? closed : "\u2212 fewer";
  };
  const closed = `+ ${others} more`;
  const label = `${others} more where ${nameOf(field)} is ${group.value}`;
  const button = h("button", { type: "button", class: "group-more", "aria-expanded": "false", title: label, onclick: toggle }, closed);
  return button;
}

/** The way to all pictures of a group, where it has more than a search tells. @param {string} field @param {import("./api.js").Group} group */
function wholeGroup(field, { value, images }) {
  const place = { ...NOWHERE, view: /** @type {const} */ ("browse"), filter: { all: [{ field, eq: value }] } };
  const link = h("a", { class: "button", href: `./${format(place)}`, onclick: plain(() => go(place)) }, `All ${images.toLocaleString("en")}`);
  return h("li", { class: "whole-group" }, link);
}
