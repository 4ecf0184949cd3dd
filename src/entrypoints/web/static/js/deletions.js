/** Deleting with time to think: nothing is sent before that is over, or the page is left. */

import { Problem, send } from "./api.js";
import { toast } from "./toast.js";

const SECONDS_TO_UNDO = 7;

/** @typedef {import("./api.js").Image} Image */
/** @type {Map<string, Image>} those that can still be taken back */
const waiting = new Map();
/** @type {Set<string>} */
const deleted = new Set();

/** Whether a picture is not to be shown any more. @param {string} id */
export const isDeleted = (id) => deleted.has(id);

/** @param {Image} image */
export function remove(image) {
  mark(image.id, true);
  waiting.set(image.id, image);
  toast(`${image.filename} is deleted.`, {
    action: "Undo",
    seconds: SECONDS_TO_UNDO,
    onaction: () => {
      waiting.delete(image.id);
      mark(image.id, false);
    },
    onend: () => void carryOut(image),
  });
}

/** @param {Image} image @param {{keepalive?: boolean}} [options] */
async function carryOut(image, options = {}) {
  if (!waiting.delete(image.id)) return;
  try {
    await send(image.links.self, { method: "DELETE", ...options });
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return;
    mark(image.id, false);
    toast(`${image.filename} could not be deleted: ${error instanceof Error ? error.message : error}`, { failed: true });
  }
}

/** Hide it wherever it is shown, or show it again. @param {string} id @param {boolean} gone */
function mark(id, gone) {
  if (gone) deleted.add(id);
  else deleted.delete(id);
  for (const item of document.querySelectorAll(`[data-id="${CSS.escape(id)}"]`)) {
    /** @type {HTMLElement} */ (item).hidden = gone;
  }
}

addEventListener("pagehide", () => {
  for (const image of waiting.values()) void carryOut(image, { keepalive: true });
});
