/** Asks for a key when the service wants one: once, a cookie that scripts cannot read remembers it. */

import { Problem, send } from "./api.js";
import { h } from "./dom.js";

/** @type {Promise<void> | null} */
let asking = null;

/** Resolves once a valid key was given. */
export function askForKey() {
  asking ??= new Promise((resolve) => {
    const error = h("p", { class: "error", role: "alert" });
    const input = h("input", { type: "password", id: "key", autocomplete: "current-password", required: true, minlength: 8 });
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      error.textContent = "";
      try {
        await send("session", { method: "POST", headers: { Authorization: `Bearer ${input.value.trim()}` } });
      } catch (problem) {
        const wrong = problem instanceof Problem && problem.status === 401;
        error.textContent = wrong ? "That is not a key of this service." : String(/** @type {Error} */ (problem).message);
        input.select();
        return;
      }
      asking = null;
      dialog.close();
      dialog.remove();
      document.dispatchEvent(new Event("signed-in"));
      resolve();
    };
    const dialog = h(
      "dialog",
      { class: "small-dialog", "aria-labelledby": "key-title", onclose: () => asking && dialog.showModal() },
      h("form", { onsubmit: submit },
        h("h2", { id: "key-title" }, "This service asks for a key"),
        h("p", {}, "Whoever runs it can give you one. This browser will remember it for 30 days."),
        h("label", { for: "key" }, "Key"), input, error,
        h("button", { type: "submit", class: "primary" }, "Continue")),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}
