/** From a place to the request that answers it. */

import { ask, query, send } from "./api.js";
import { boxText, files } from "./address.js";
import { filterText, isEmpty } from "./filter.js";

/** @typedef {import("./address.js").Place} Place */
/** @typedef {{query: {low_detail: boolean}, matches: import("./api.js").Match[], next_offset: number | null}} SearchResult */

const PAGE = 30;
const MOST_REGIONS = 8;
const MOST_OF_GROUP = 10;

/** Whether a place says what to search for. @param {Place} place */
export const isSearch = (place) => Boolean(place.image || place.file || byMarks(place));

/** Whether pictures that the visitor marked are searched with, instead of one picture. @param {Place} place */
export const byMarks = (place) => place.positive.length + place.negative.length > 0;

/** How many parts can be searched for together: they are compared with objects. @param {boolean} detector whether objects are indexed */
export const mostRegions = (detector) => (detector ? MOST_REGIONS : 1);

/** What the search compares with. @param {Place} place @param {boolean} detector whether objects are indexed */
export function targetOf(place, detector) {
  if (byMarks(place) || !detector) return "images";
  if (place.regions.length > 1) return "objects";
  return place.target ?? (place.regions.length ? "any" : "images");
}

/** Whether one picture or one part is compared, so that likeness is known. @param {Place} place */
export const comparesOne = (place) => !byMarks(place) && place.regions.length < 2;

/** The stored pictures that a search by marks starts from. @param {Place} place */
export function examplesOf(place) {
  const source = place.image && !place.negative.includes(place.image) ? [place.image] : [];
  return { positive: [...new Set([...source, ...place.positive])], negative: place.negative };
}

/**
 * A page of the matches, from `offset`.
 * @param {Place} place
 * @param {{offset: number, detector: boolean, signal: AbortSignal, onwait: (seconds: number) => void}} options
 * @returns {Promise<SearchResult>}
 */
export async function search(place, { offset, detector, signal, onwait }) {
  const target = targetOf(place, detector);
  const reranking = target === "images" ? { ...(place.colour ? { color_weight: place.colour } : {}), ...(place.adapt ? { adapt_to: place.adapt } : {}) } : {};
  const paging = { limit: PAGE, offset, ...(place.group ? { group_by: place.group, group_size: MOST_OF_GROUP } : {}), ...reranking };
  if (byMarks(place)) {
    const filter = isEmpty(place.filter) ? {} : { filter: place.filter };
    const json = { ...examplesOf(place), ...paging, ...filter };
    return ask("v1/search/examples", { method: "POST", json, signal, onwait });
  }
  const options = { ...paging, min_likeness: comparesOne(place) ? place.likeness : null, filter: filterText(place.filter) };
  if (place.image && !place.regions.length && target === "images") {
    return ask(`v1/images/${place.image}/similar${query(options)}`, { signal, onwait });
  }
  const form = new FormData();
  form.set("file", await pictureOf(place, signal), "query");
  for (const [name, value] of Object.entries({ ...options, target })) {
    if (value !== null && value !== "") form.set(name, String(value));
  }
  for (const box of place.regions) form.append("region", boxText(box));
  const result = await ask("v1/search", { method: "POST", form, signal, onwait });
  // A stored picture is not its own lookalike.
  return { ...result, matches: result.matches.filter((/** @type {any} */ match) => match.image.id !== place.image) };
}

/** The objects in a picture of the visitor's. @param {string} file @param {AbortSignal} signal */
export async function detect(file, signal) {
  const form = new FormData();
  form.set("file", await pictureOf({ file, image: null }, signal), "query");
  return ask("v1/detections", { method: "POST", form, signal });
}

/** @type {{id: string | null, content: Blob | null}} */
const lastOriginal = { id: null, content: null };

/** @param {Pick<Place, "file" | "image">} place @param {AbortSignal} signal @returns {Promise<Blob>} */
async function pictureOf({ file, image }, signal) {
  if (file) return /** @type {File} */ (files.get(file));
  if (lastOriginal.id !== image) {
    const content = await (await send(`v1/images/${image}/content`, { signal })).blob();
    Object.assign(lastOriginal, { id: image, content }); // only what has come whole: a search may be given up amid it
  }
  return /** @type {Blob} */ (lastOriginal.content);
}
