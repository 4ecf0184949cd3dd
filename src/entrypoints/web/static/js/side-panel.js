/** What stands beside results where there is room, and folds away above them where there is none. */

import { h } from "./dom.js";

/** @param {string} title shown where it folds @param {...any} content */
export function sidePanel(title, ...content) {
  const narrow = matchMedia("(max-width: 860px)");
  const panel = h("details", { class: "refine-panel", open: !narrow.matches }, h("summary", {}, title), content);
  narrow.addEventListener("change", () => (panel.open = !narrow.matches)); // a wide page has no way to open it
  return panel;
}
