/** Where the visitor is: what is shown and searched, as the address bar holds it. */

import { isEmpty, understood } from "./filter.js";

/** @typedef {import("./api.js").Box} Box */
/** @typedef {import("./filter.js").Filter} Filter */
/**
 * @typedef {object} Place
 * @property {"search" | "browse" | "add"} view
 * @property {string | null} image the stored picture that is searched with
 * @property {string | null} file the visitor's own picture that is searched with: a key of `files`
 * @property {Box[]} regions the parts of it that are searched for
 * @property {"images" | "objects" | "any" | null} target null: what suits the regions
 * @property {number | null} likeness the least that is shown, as the API's `min_likeness`
 * @property {number} colour how much colours count, as the API's `color_weight`
 * @property {string | null} adapt whose values the order learns from, as the API's `adapt_to`
 * @property {Filter} filter
 * @property {string | null} order how Browse is sorted, as the API's `order_by`
 * @property {string | null} group what results are grouped by, as the API's `group_by`
 * @property {string[]} positive
 * @property {string[]} negative
 * @property {string | null} show the picture whose details are open
 */

/** @type {Readonly<Place>} */
export const NOWHERE = Object.freeze({
  view: "search", image: null, file: null, regions: [], target: null, likeness: null, colour: 0, adapt: null, filter: {},
  order: null, group: null, positive: [], negative: [], show: null,
});

/** The visitor's own pictures: they stay in this tab, and an address cannot hold them. @type {Map<string, File>} */
export const files = new Map();

/** Keep a picture of the visitor's. @param {File} file @returns {string} its key */
export function keep(file) {
  const key = crypto.randomUUID?.() ?? String(Math.random()); // randomUUID is there in secure contexts only
  files.set(key, file);
  return key;
}

/** @param {Box} box */
export const boxText = (box) => [box.x_min, box.y_min, box.x_max, box.y_max].map((n) => Math.round(n * 10) / 10).join(",");

/** @param {string} text @returns {Box[]} one, or none if it is not a box */
function parseBox(text) {
  const [x_min, y_min, x_max, y_max] = text.split(",").map(Number);
  return x_max > x_min && y_max > y_min ? [{ x_min, y_min, x_max, y_max }] : [];
}

/** The place that a query string stands for; what it does not understand is left out. @param {string} search */
function parse(search) {
  const given = new URLSearchParams(search);
  const one = (/** @type {string} */ name, /** @type {string[]} */ known) => {
    const value = given.get(name);
    return value !== null && known.includes(value) ? value : null;
  };
  const share = (/** @type {string} */ name) => {
    const value = Number.parseFloat(given.get(name) ?? "");
    return value > 0 && value <= 1 ? value : null;
  };
  return /** @type {Place} */ ({
    view: one("view", ["browse", "add"]) ?? "search",
    image: given.get("image"),
    file: null,
    regions: given.getAll("region").flatMap(parseBox).slice(0, 8),
    target: one("target", ["images", "objects", "any"]),
    likeness: share("min_likeness"),
    colour: share("color_weight") ?? 0,
    adapt: given.get("adapt_to"),
    filter: parseFilter(given.get("filter")),
    order: given.get("order_by"),
    group: given.get("group_by"),
    positive: given.getAll("positive"),
    negative: given.getAll("negative"),
    show: given.get("show"),
  });
}

/** @param {string | null} text @returns {Filter} */
function parseFilter(text) {
  try {
    return understood(JSON.parse(text ?? "{}"));
  } catch {
    return {};
  }
}

/** The query string of a place. @param {Place} place */
export function format(place) {
  const search = new URLSearchParams();
  if (place.view !== "search") search.set("view", place.view);
  if (place.image) search.set("image", place.image);
  for (const box of place.regions) search.append("region", boxText(box));
  if (place.target) search.set("target", place.target);
  if (place.likeness !== null) search.set("min_likeness", String(place.likeness));
  if (place.colour) search.set("color_weight", String(place.colour));
  if (place.adapt) search.set("adapt_to", place.adapt);
  if (!isEmpty(place.filter)) search.set("filter", JSON.stringify(place.filter));
  if (place.order) search.set("order_by", place.order);
  if (place.group) search.set("group_by", place.group);
  for (const id of place.positive) search.append("positive", id);
  for (const id of place.negative) search.append("negative", id);
  if (place.show) search.set("show", place.show);
  // Commas, colons and ids may stand in a query as they are: the address stays readable.
  return search.size ? `?${search}`.replaceAll("%2C", ",").replaceAll("%3A", ":") : "";
}

/** @type {Set<(place: Place) => void>} */
const listeners = new Set();

/** @param {(place: Place) => void} listener called with each new place */
export const onPlace = (listener) => listeners.add(listener);

/** @returns {Place} */
export function here() {
  const kept = history.state?.file;
  return { ...parse(location.search), file: files.has(kept) ? kept : null };
}

/**
 * Go somewhere: `go({likeness: 0.5})` changes what is named and keeps the rest.
 * @param {Partial<Place>} change
 * @param {{replace?: boolean}} [options] replace: not a step that Back undoes
 */
export function go(change, { replace = false } = {}) {
  const place = { ...here(), ...change };
  const address = new URL(`./${format(place)}`, document.baseURI);
  history[replace ? "replaceState" : "pushState"]({ file: place.file }, "", address);
  tell();
}

/** Search anew with a picture; filters and groups stay, what was said of the picture before does not. @param {Partial<Place>} source */
export function searchWith(source) {
  const { filter, likeness, colour, adapt, group } = here();
  go({ ...NOWHERE, filter, likeness, colour, adapt, group, ...source });
  scrollTo(0, 0);
}

/** Let all who listen show the present place. */
export function tell() {
  const place = here();
  for (const listener of listeners) listener(place);
}

addEventListener("popstate", tell);
