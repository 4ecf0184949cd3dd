/** Before there is a search: how to begin. */

import { format, keep, NOWHERE, searchWith } from "./address.js";
import { listImages } from "./api.js";
import { h } from "./dom.js";
import { EndlessGrid } from "./grid.js";
import { fileButton } from "./picking.js";
import { emptyState } from "./states.js";
import { noteKeys } from "./suggestions.js";
import { tile } from "./tile.js";

const OFFERED = 24;

/** The start page; `show` loads what it offers to click. */
export function startPage() {
  const begin = ([/** @type {File} */ file]) => searchWith({ file: keep(file) });
  const grid = new EndlessGrid({
    label: "Indexed pictures",
    tile: (/** @type {import("./api.js").Image} */ image) =>
      tile(image, {
        href: `./${format({ ...NOWHERE, image: image.id })}`,
        label: `Search with ${image.filename}`,
        onclick: () => searchWith({ image: image.id }),
      }),
    empty: () => {
      const add = h("a", { class: "button primary", href: "./?view=add", "data-view": "add" }, "Add pictures");
      return emptyState("picture", "Nothing is indexed yet", "A search finds pictures that were added before.", add);
    },
    onload: (shown) => (heading.hidden = shown === 0),
    onfail: () => (heading.hidden = true),
  });
  const heading = h("h2", { class: "small-heading", hidden: true }, "Or start from one of these");
  const element = h(
    "div",
    { class: "start" },
    h("section", { class: "hero" },
      h("p", { class: "hero-title" }, "Find pictures that look like yours"),
      h("p", {}, "Drop a picture anywhere on this page, paste one, or"),
      h("div", { class: "actions" },
        fileButton("upload", "Choose a picture", { accept: "image/*", className: "primary", onpick: begin }),
        fileButton("camera", "Take a photo", { accept: "image/*", capture: "environment", className: "camera", onpick: begin }))),
    heading,
    grid.element,
  );
  const show = () =>
    void grid.start(async (_, signal) => {
      const { items } = await listImages({ limit: OFFERED }, signal);
      noteKeys(items);
      return { items, next: null };
    });
  return { element, show };
}
