/** Deleting with time to think: nothing is sent before that is over, or the page is left. */

import { ask, Problem, send } from "./api.js";
import { counted } from "./dom.js";
import { toast } from "./toast.js";

const SECONDS_TO_UNDO = 7;
const AT_ONCE = 1000; // values that a condition of a filter may name

/** @typedef {import("./api.js").Image} Image */
/** @typedef {{images: Map<string, Image>, close: () => void}} Deletion pictures that can still be taken back together, and what closes the offer */
/** @type {Map<string, Deletion>} */
const waiting = new Map();
/** @type {Set<string>} those that the service may still list */
const deleted = new Set();

/** Whether a picture is not to be shown any more. @param {string} id */
export const isDeleted = (id) => deleted.has(id);

/** @param {Image[]} images */
export function remove(images) {
  for (const { id } of images) forget(id); // deleted already, and opened again by Back: its time begins anew
  const deletion = { images: new Map(images.map((image) => [image.id, image])), close: () => {} };
  for (const { id } of images) {
    waiting.set(id, deletion);
    mark(id, true);
  }
  deletion.close = toast(`${named(images)} deleted.`, {
    action: "Undo",
    seconds: SECONDS_TO_UNDO,
    onaction: () => [...deletion.images.keys()].forEach(restored),
    onend: () => void carryOut(deletion),
  });
}

/** A picture is to stay after all: its deletion was undone, or it was added once more. @param {string} id */
export function restored(id) {
  forget(id);
  mark(id, false);
}

/** Wait for a picture no more; the offer to undo goes with the last of those deleted together. @param {string} id */
function forget(id) {
  const deletion = waiting.get(id);
  waiting.delete(id);
  deletion?.images.delete(id);
  if (deletion?.images.size === 0) deletion.close();
}

/** @param {Deletion} deletion @param {{keepalive?: boolean}} [options] */
async function carryOut(deletion, options = {}) {
  const images = [...deletion.images.values()];
  deletion.close(); // a page that is left may come back as it was, by Back
  for (const { id } of images) forget(id);
  for (let start = 0; start < images.length; start += AT_ONCE) await carryOutSome(images.slice(start, start + AT_ONCE), options);
}

/** @param {Image[]} images @param {{keepalive?: boolean}} options */
async function carryOutSome(images, options) {
  try {
    if (images.length === 1) await send(images[0].links.self, { method: "DELETE", ...options });
    else await Promise.all(filtersOf(images).map((filter) => ask("v1/images/delete", { method: "POST", json: { filter }, ...options })));
  } catch (error) {
    if (!(error instanceof Problem && error.status === 404)) {
      for (const { id } of images) mark(id, false);
      const reason = error instanceof Error ? error.message : error;
      toast(`${named(images)} not deleted: ${reason}`, { failed: true });
      return;
    }
  }
  for (const { id } of images) deleted.delete(id); // what is listed from now on has been added again, here or elsewhere
}

/** Filters that name these pictures alone: by their keys, and those without by their bytes. @param {Image[]} images */
function filtersOf(images) {
  const keys = images.flatMap(({ key }) => (key === null ? [] : [key]));
  const digests = images.flatMap(({ key, sha256 }) => (key === null ? [sha256] : []));
  return [
    ...(keys.length ? [{ all: [{ field: "key", in: keys }] }] : []),
    ...(digests.length ? [{ all: [{ field: "sha256", in: digests }, { field: "key", exists: false }] }] : []),
  ];
}

/** "a.jpg is", "3 pictures are". @param {Image[]} images */
const named = (images) => (images.length === 1 ? `${images[0].filename} is` : `${counted(images.length, "picture")} are`);

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
  for (const deletion of new Set(waiting.values())) void carryOut(deletion, { keepalive: true });
});
