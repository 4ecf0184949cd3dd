/** How pictures come in: chosen, photographed, dropped, pasted. */

import { h, icon } from "./dom.js";

/** A button that opens the system's file dialog. @param {Parameters<typeof icon>[0]} drawing @param {string} text @param {{onpick: (files: File[]) => void, className?: string} & Record<string, any>} options */
export function fileButton(drawing, text, { onpick, className = "", ...attributes }) {
  const input = h("input", { type: "file", class: "visually-hidden", tabindex: "-1", "aria-hidden": "true", ...attributes });
  input.addEventListener("change", () => {
    const picked = [...input.files];
    input.value = ""; // so that the same file can be picked again
    if (picked.length) onpick(picked);
  });
  const button = h("button", { type: "button", class: className, onclick: () => input.click() }, icon(drawing), text);
  return h("span", { class: "file-button" }, button, input);
}

/** Spreadsheets and word processors copy text together with a picture of it: in a field the text is meant. @param {ClipboardEvent} event */
const isTextForField = (event) => /** @type {HTMLElement} */ (event.target).matches?.("input, textarea") && event.clipboardData?.types.includes("text/plain");

const carriesFiles = (/** @type {DragEvent} */ event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

/**
 * Take what is dropped anywhere on the page, or pasted into it.
 * @param {{words: () => string, ondrop: (transfer: DataTransfer) => void, onpaste: (files: File[]) => void}} options
 * `words` says what a drop would do
 */
export function receive({ words, ondrop, onpaste }) {
  const curtain = /** @type {HTMLElement} */ (document.getElementById("drop-curtain"));
  let depth = 0;
  const lower = (/** @type {boolean} */ shown) => {
    curtain.hidden = !shown;
    if (shown) /** @type {HTMLElement} */ (curtain.firstElementChild).textContent = words();
  };
  document.addEventListener("dragenter", (event) => {
    if (carriesFiles(event)) lower(++depth > 0);
  });
  document.addEventListener("dragleave", (event) => {
    if (carriesFiles(event)) lower((depth = Math.max(0, depth - 1)) > 0);
  });
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // the browser would leave the page to show the file
    lower((depth = 0) > 0);
    ondrop(/** @type {DataTransfer} */ (event.dataTransfer));
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || isTextForField(event)) return;
    event.preventDefault();
    onpaste(files);
  });
}

/** Whether a file seems to be a picture, by what the browser makes of its name. The service looks at its content. @param {File} file */
export const seemsPicture = (file) => file.type.startsWith("image/") || /\.(hei[cf]|avif|tiff?)$/i.test(file.name);
