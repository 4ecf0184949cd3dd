/** Changes metadata of several pictures at once: the keys that are named, and no others. */

import { ask } from "./api.js";
import { counted, h } from "./dom.js";
import { MetadataEditor } from "./metadata-editor.js";
import { suggestKeys } from "./suggestions.js";
import { showToasts, toast } from "./toast.js";

const AT_ONCE = 1000; // as the API takes them

/** @param {import("./api.js").Image[]} images @param {() => void} onchanged called once some are changed */
export function changeMetadata(images, onchanged) {
  const editor = new MetadataEditor({}, { removes: true });
  const told = h("p", { class: "error", role: "alert" });
  const apply = h("button", { type: "submit", class: "primary" }, `Change ${counted(images.length, "picture")}`);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    told.textContent = "";
    apply.disabled = true;
    try {
      const metadata = editor.read();
      if (!Object.keys(metadata).length) throw new RangeError("Name a key and its value.");
      const { updated, failed, reason } = await patched(images.map(({ id }) => id), metadata);
      if (updated === 0) throw new RangeError(reason);
      suggestKeys(Object.keys(metadata));
      dialog.close();
      toast(`${counted(updated, "picture")} changed${failed ? `, ${failed} failed: ${reason}` : "."}`, { failed: failed > 0 });
      onchanged();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!editor.showError(message)) told.textContent = message;
    }
    apply.disabled = false;
  };
  const closed = () => {
    showToasts(document.body);
    dialog.remove();
  };
  const dialog = h(
    "dialog",
    { class: "small-dialog bulk-edit", "aria-labelledby": "bulk-title", onclose: closed },
    h("form", { novalidate: true, onsubmit: submit },
      h("h2", { id: "bulk-title" }, `Metadata of ${counted(images.length, "picture")}`),
      h("p", { class: "hint" }, "The keys named here are set or removed. All others stay as they are."),
      editor.element, told,
      h("div", { class: "actions" }, apply, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))),
  );
  document.body.append(dialog);
  dialog.showModal();
  showToasts(dialog);
  editor.add();
}

/** @param {string[]} ids @param {Record<string, any>} metadata @returns {Promise<{updated: number, failed: number, reason: string}>} */
async function patched(ids, metadata) {
  const all = { updated: 0, failed: 0, reason: "" };
  for (let start = 0; start < ids.length; start += AT_ONCE) {
    const items = ids.slice(start, start + AT_ONCE).map((id) => ({ id, metadata }));
    const { results, updated, failed } = await ask("v1/images/metadata", { method: "POST", json: { items } });
    all.updated += updated;
    all.failed += failed;
    all.reason ||= results.find((/** @type {any} */ result) => result.problem)?.problem.detail ?? "";
  }
  return all;
}
