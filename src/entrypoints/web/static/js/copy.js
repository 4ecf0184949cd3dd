/** Text beside a button that copies it. */

import { announce, h, icon } from "./dom.js";

const SHOWN = 1500; // milliseconds

/** @param {string} name what it is @param {string} text @param {any} [shown] the text, where that is more than text */
export function copyable(name, text, shown = text) {
  const words = h("span", { class: "copied-text" }, shown);
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy the ${name}`, title: "Copy" }, icon("copy"));
  button.addEventListener("click", async () => {
    await copy(text);
    announce(`The ${name} is copied.`);
    button.replaceChildren(icon("check"));
    setTimeout(() => button.replaceChildren(icon("copy")), SHOWN);
  });
  return h("span", { class: "copyable" }, words, button);
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch {
    // Over plain HTTP there is no clipboard; what is selected can be copied all the same.
  }
  const field = h("textarea", { class: "visually-hidden", readonly: true }, text);
  const over = document.querySelector("dialog[open]") ?? document.body;
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  over.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  focused?.focus();
}
