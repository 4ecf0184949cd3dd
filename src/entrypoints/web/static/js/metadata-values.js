/** Values of metadata: as text in a field, and back. */

import { typeOf } from "./service.js";

/** @typedef {import("./service.js").Type} Type */
/** @typedef {string | number | boolean | string[] | null} Value */
/** @typedef {"text" | "number" | "truth" | "list" | "moment" | "gone"} Kind */

/** @type {Record<Kind, string>} */
export const KINDS = { text: "text", number: "number", truth: "yes or no", list: "list", moment: "time", gone: "remove" };

/** What the API takes for a declared key. @type {Record<Type, Kind[]>} */
const DECLARED = { keyword: ["text", "list"], integer: ["number"], float: ["number"], bool: ["truth"], datetime: ["moment"] };

/** The kinds of values that a key may have. @param {Type | null} type @returns {Kind[]} */
export const kindsFor = (type) => (type ? DECLARED[type] : ["text", "number", "truth", "list"]);

/** @param {Value} value @param {Type | null} type @returns {Kind} */
export function kindOf(value, type) {
  if (type === "datetime") return "moment";
  if (value === "" && type) return kindsFor(type)[0];
  if (Array.isArray(value)) return "list";
  return typeof value === "number" ? "number" : typeof value === "boolean" ? "truth" : "text";
}

/** Whether a key of this type may hold the value. @param {Type | null} type @param {Value} value */
export function suits(type, value) {
  if (type === "datetime") return typeof value === "string" && !Number.isNaN(Date.parse(value));
  return type === null || DECLARED[type].includes(kindOf(value, null));
}

/** What stands in the field for a value. @param {Value} value @param {Type | null} type */
export function fieldText(value, type) {
  if (type === "datetime") return value ? localTime(String(value)) : "";
  if (Array.isArray(value)) return listText(value);
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}

/** A value to be read and not changed. @param {string} key @param {Value} value */
export function plainText(key, value) {
  if (typeOf(key) === "datetime" && suits("datetime", value)) return new Date(String(value)).toLocaleString();
  return Array.isArray(value) ? value.join(", ") : fieldText(value, null);
}

/** The value that stands in a field. Throws RangeError that says what is wrong. @param {string} key @param {Kind} kind @param {string} text @returns {Value} */
export function parsed(key, kind, text) {
  switch (kind) {
    case "gone":
      return null;
    case "list":
      return parsedList(key, text);
    case "moment":
      if (Number.isNaN(Date.parse(text))) throw new RangeError(`"${key}" is a date with a time.`);
      return new Date(text).toISOString().replace(".000Z", "Z");
    case "truth":
      if (/^(yes|true)$/i.test(text.trim())) return true;
      if (/^(no|false)$/i.test(text.trim())) return false;
      throw new RangeError(`"${key}" is yes or no.`);
    case "number":
      return parsedNumber(key, text);
    default:
      return text;
  }
}

/** @param {string} key @param {string} text */
function parsedNumber(key, text) {
  const number = Number(text);
  if (!text.trim() || !Number.isFinite(number)) throw new RangeError(`"${key}" is a number, such as 19.9.`);
  if (typeOf(key) === "integer" && !Number.isInteger(number)) throw new RangeError(`"${key}" is a whole number.`);
  return number;
}

/** As fields for times want it: in the visitor's time zone, to the second. @param {string} time RFC 3339 */
function localTime(time) {
  const date = new Date(time);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

const parts = (/** @type {string} */ text) => text.split(",").map((part) => part.trim()).filter(Boolean);

/** With commas between its parts, or as JSON if that says something else. @param {string[]} list */
function listText(list) {
  const text = list.join(", ");
  const json = JSON.stringify(list);
  return text.startsWith("[") || /[\r\n]/.test(text) || JSON.stringify(parts(text)) !== json ? json : text;
}

/** @param {string} key @param {string} text @returns {string[]} */
function parsedList(key, text) {
  if (!text.trim().startsWith("[")) return parts(text);
  try {
    return JSON.parse(text);
  } catch {
    throw new RangeError(`"${key}" is a list, such as a, b or, with commas within, ["a, b", "c"].`);
  }
}
