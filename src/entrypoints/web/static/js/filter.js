/** Filters: the API's JSON, put together and put into words. */

import { typeOf } from "./service.js";

/** @typedef {{field: string, eq?: any, in?: any[], gt?: any, gte?: any, lt?: any, lte?: any, exists?: boolean, prefix?: string,
 *   words?: string}} Condition */
/** @typedef {{all?: Condition[], any?: Condition[], none?: Condition[]}} Filter */
/** @typedef {"all" | "any" | "none"} Part */

/** @type {Part[]} */
const PARTS = ["all", "any", "none"];
const BOUNDS = { gt: ">", gte: "\u2265", lt: "<", lte: "\u2264" };

/** The tests that the form offers, and which part of the filter they go to. */
export const TESTS = {
  is: "is",
  is_not: "is not",
  gte: "is at least",
  lte: "is at most",
  prefix: "begins with",
  exists: "is there",
  missing: "is not there",
};

/** @param {Filter} filter */
export const isEmpty = (filter) => PARTS.every((part) => !filter[part]?.length);

/** What is a filter in something that an address held: lists of conditions, each on a field. @param {any} given @returns {Filter} */
export function understood(given) {
  const conditions = (/** @type {Part} */ part) => (Array.isArray(given?.[part]) ? given[part] : []).filter((/** @type {any} */ each) => typeof each?.field === "string" && Array.isArray(each.in ?? []));
  return Object.fromEntries(PARTS.map((part) => [part, conditions(part)]).filter(([, found]) => found.length));
}

/** As a parameter of the API; nothing for everything. @param {Filter} filter */
export const filterText = (filter) => (isEmpty(filter) ? "" : JSON.stringify(filter));

/** @param {Filter} filter @param {Part} part @param {Condition} condition @returns {Filter} */
export const withCondition = (filter, part, condition) => ({ ...filter, [part]: [...(filter[part] ?? []), condition] });

/** @param {Filter} filter @param {Part} part @param {number} index @returns {Filter} */
export const withoutCondition = (filter, part, index) => ({
  ...filter,
  [part]: (filter[part] ?? []).filter((_, place) => place !== index),
});

/** What the first condition that must hold asks of a field by this test, or "". @param {Filter} filter @param {string} field @param {"prefix" | "words"} test */
export const asked = (filter, field, test) => filter.all?.find((each) => each.field === field && test in each)?.[test] ?? "";

/** The filter that asks this of a field by this test, and no more what it asked before; of "" nothing. @param {Filter} filter @param {string} field @param {"prefix" | "words"} test @param {string} value @returns {Filter} */
export function asking(filter, field, test, value) {
  const others = (filter.all ?? []).filter((each) => !(each.field === field && test in each));
  return { ...filter, all: value ? [...others, { field, [test]: value }] : others };
}

/** The filter with a value of a field wanted, or not any more. @param {Filter} filter @param {string} field @param {any} value @returns {Filter} */
export function toggled(filter, field, value) {
  const index = (filter.all ?? []).findIndex((each) => each.field === field && each.eq === value);
  return index < 0 ? withCondition(filter, "all", { field, eq: value }) : withoutCondition(filter, "all", index);
}

/**
 * A test on a metadata key, as typed. Text that reads as a number or a yes/no is looked for as both.
 * @param {string} key
 * @param {keyof typeof TESTS} test
 * @param {string} text
 * @returns {[Part, Condition] | null} null: the text does not suit the test
 */
export function metadataCondition(key, test, text) {
  const field = `metadata.${key}`;
  if (test === "exists" || test === "missing") return ["all", { field, exists: test === "exists" }];
  if (test === "prefix") return text ? ["all", { field, prefix: text }] : null;
  if (test === "gte" || test === "lte") {
    if (typeOf(key) === "datetime") return text ? ["all", { field, [test]: new Date(text).toISOString() }] : null;
    const number = numberIn(text);
    return number === null ? null : ["all", { field, [test]: number }];
  }
  const values = typeOf(key) === "keyword" ? [text] : readings(text);
  return [test === "is" ? "all" : "none", values.length === 1 ? { field, eq: text } : { field, in: values }];
}

/** @param {string} text */
function readings(text) {
  if (text === "true" || text === "false") return [text, text === "true"];
  const number = numberIn(text);
  return number === null ? [text] : [text, number];
}

/** What metadata can hold as a number: long codes of digits are text. @param {string} text */
function numberIn(text) {
  const number = Number(text);
  return text.trim() && Math.abs(number) <= Number.MAX_SAFE_INTEGER ? number : null;
}

/**
 * Every condition in words.
 * @param {Filter} filter
 * @returns {{part: Part, index: number, condition: Condition, words: string}[]}
 */
export function described(filter) {
  return PARTS.flatMap((part) =>
    (filter[part] ?? []).map((condition, index) => {
      const before = part === "none" ? "not: " : part === "any" && (filter.any?.length ?? 0) > 1 ? "or: " : "";
      return { part, index, condition, words: before + inWords(condition) };
    }),
  );
}

/** What a value of a facet is called. @param {string | number | boolean} value */
export const valueText = (value) => (typeof value === "boolean" ? (value ? "yes" : "no") : String(value));

/** What a field is called. @param {string} field */
export const nameOf = (field) => ({ labels: "detected", media_type: "format", sha256: "same file" })[field] ?? field.replace(/^metadata\./, "");

/** @param {Condition} condition */
function inWords(condition) {
  const name = nameOf(condition.field);
  if (condition.exists !== undefined) return `${name} ${condition.exists ? TESTS.exists : TESTS.missing}`;
  const values = condition.in ?? (condition.eq === undefined ? [] : [condition.eq]);
  const unlike = typeof condition.eq === "boolean" ? valueText(condition.eq) : [...new Set(values.map(String))].join(" or ");
  if (values.length) return condition.field === "labels" ? `detected: ${unlike}` : `${name} is ${unlike}`;
  if (condition.prefix !== undefined) return `${name} ${TESTS.prefix} ${condition.prefix}`;
  if (condition.words !== undefined) return `called ${condition.words}`;
  const bounds = Object.entries(BOUNDS).filter(([bound]) => bound in condition);
  return bounds.map(([bound, sign]) => `${name} ${sign} ${condition[/** @type {"gt"} */ (bound)]}`).join(", ");
}
