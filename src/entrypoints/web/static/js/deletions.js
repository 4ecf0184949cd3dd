/** Deleting with time to think: nothing is sent before that is over, or the page is left. */

import { Problem, send } from "./api.js";
import { toast } from "./toast.js";

const SECONDS_TO_UNDO = 7;

/** @typedef {import("./api.js").Image} Image */
/** @type {Map<string, {image: Image, close: () => void}>} those that can still be taken back, and what closes the offer */
const waiting = new Map();
/** @type {Set<string>} those that the service may still list */
const deleted = new Set();

/** Whether a picture is not to be shown any more. @param {string} id */
export const isDeleted = (id) => deleted.has(id);

/** @param {Image} image */
export function remove(image) {
  waiting.get(image.id)?.close(); // deleted already, and opened again by Back: its time begins anew
  mark(image.id, true);
  const close = toast(`${image.filename} is deleted.`, {
    action: "Undo",
    seconds: SECONDS_TO_UNDO,
    onaction: () => restored(image.id),
    onend: () => void carryOut(image),
  });
  waiting.set(image.id, { image, close });
}

/** A picture is to stay after all: its deletion was undone, or it was added once more. @param {string} id */
export function restored(id) {
  waiting.get(id)?.close();
  waiting.delete(id);
  mark(id, false);
}

/** @param {Image} image @param {{keepalive?: boolean}} [options] */
async function carryOut(image, options = {}) {
  waiting.get(image.id)?.close(); // a page that is left may come back as it was, by Back
  if (!waiting.delete(image.id)) return;
  try {
    await send(image.links.self, { method: "DELETE", ...options });
  } catch (error) {
    if (!(error instanceof Problem && error.status === 404)) {
      mark(image.id, false);
      toast(`${image.filename} could not be deleted: ${error instanceof Error ? error.message : error}`, { failed: true });
      return;
    }
  }
  deleted.delete(image.id); // what is listed from now on has been added again, here or elsewhere
}

/** Hide it wherever it is shown, or show it again; the event "deletion" tells those who count. @param {string} id @param {boolean} gone */
function mark(id, gone) {
  if (gone) deleted.add(id);
  else deleted.delete(id);
  /** @type {HTMLElement[]} */
  const changed = [...document.querySelectorAll(`[data-id="${CSS.escape(id)}"]`)].filter((item) => item.hidden !== gone);
  for (const item of changed) item.hidden = gone;
  if (changed.length) dispatchEvent(new CustomEvent("deletion", { detail: { id, gone } }));
}

addEventListener("pagehide", () => {
  for (const { image } of waiting.values()) void carryOut(image, { keepalive: true });
});
