/** Filters: the API's JSON, put together and put into words. */

/** @typedef {{field: string, eq?: any, in?: any[], gt?: any, gte?: any, lt?: any, lte?: any, exists?: boolean}} Condition */
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
  if (test === "gte" || test === "lte") {
    const number = numberIn(text);
    return number === null ? null : ["all", { field, [test]: number }];
  }
  const values = readings(text);
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
 * @returns {{part: Part, index: number, words: string}[]}
 */
export function described(filter) {
  return PARTS.flatMap((part) =>
    (filter[part] ?? []).map((condition, index) => {
      const prefix = part === "none" ? "not: " : part === "any" && (filter.any?.length ?? 0) > 1 ? "or: " : "";
      return { part, index, words: prefix + inWords(condition) };
    }),
  );
}

/** @param {Condition} condition */
function inWords(condition) {
  const name = condition.field === "labels" ? "shows" : condition.field.replace(/^metadata\./, "");
  if (condition.exists !== undefined) return `${name} ${condition.exists ? TESTS.exists : TESTS.missing}`;
  const values = condition.in ?? (condition.eq === undefined ? [] : [condition.eq]);
  const unlike = [...new Set(values.map(String))].join(" or ");
  if (values.length) return condition.field === "labels" ? `shows ${unlike}` : `${name} is ${unlike}`;
  const bounds = Object.entries(BOUNDS).filter(([bound]) => bound in condition);
  return bounds.map(([bound, sign]) => `${name} ${sign} ${condition[/** @type {"gt"} */ (bound)]}`).join(", ");
}
