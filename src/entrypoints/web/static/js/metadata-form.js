/** A picture's metadata: to be edited by those who may, as text for the others. */

import { ask } from "./api.js";
import { h } from "./dom.js";
import { mergePatch, MetadataEditor } from "./metadata-editor.js";
import { plainText } from "./metadata-values.js";
import { mayChange } from "./service.js";
import { noteKeys } from "./suggestions.js";

/** @typedef {import("./api.js").Image} Image */

/** @param {Image} image */
export const metadataOf = (image) => (mayChange() ? form(image) : text(image));

/** @param {Image} image */
function text({ metadata }) {
  const pairs = Object.entries(metadata).map(([key, value]) => [h("dt", {}, key), h("dd", {}, plainText(key, value))]);
  if (!pairs.length) return null;
  return h("section", { class: "detail-metadata" }, h("h3", { class: "small-heading" }, "Metadata"), h("dl", {}, pairs));
}

/** @param {Image} image */
function form(image) {
  const editor = new MetadataEditor(image.metadata);
  const told = h("p", { class: "hint", role: "status" });
  const save = h("button", { type: "submit", class: "small" }, "Save");
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    told.textContent = "";
    told.classList.remove("error");
    save.disabled = true;
    try {
      const written = editor.read();
      const patch = mergePatch(image.metadata, written);
      await ask(image.links.self, { method: "PATCH", json: { metadata: patch } });
      image.metadata = written; // and not what others have added meanwhile, which the next time would look removed
      noteKeys([image]);
      told.textContent = "Saved.";
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      told.classList.add("error");
      if (!editor.showError(message)) told.textContent = message;
    }
    save.disabled = false;
  };
  return h("form", { class: "detail-metadata", novalidate: true, onsubmit: submit },
    h("h3", { class: "small-heading" }, "Metadata"), editor.element,
    h("div", { class: "save" }, save, told));
}
