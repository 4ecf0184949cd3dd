/** What is shown where nothing can be: nothing found, something failed. */

import { Problem } from "./api.js";
import { h, icon } from "./dom.js";

const TITLES = {
  no_answer: "The service cannot be reached",
  busy: "The service is busy",
  file_unreadable: "Your picture has gone or changed",
  unsupported_image_format: "That is not a picture that can be read",
  camera_raw: "That is a camera RAW file",
  image_unreadable: "The picture is damaged",
  image_too_large: "The picture has too many pixels",
  body_too_large: "The file is too large",
  image_not_found: "The picture is gone",
  forbidden: "Your key does not allow this",
  detector_unavailable: "Objects cannot be detected here",
};

/**
 * @param {"search" | "picture" | "info"} drawing
 * @param {string} title
 * @param {any} text
 * @param {...any} actions
 */
export function emptyState(drawing, title, text, ...actions) {
  return h("div", { class: "state" }, icon(drawing), h("h2", {}, title), h("p", {}, text), h("div", { class: "actions" }, actions));
}

/** A failure: what it means, the service's own words, its code. @param {unknown} error @param {() => void} [again] */
export function failure(error, again) {
  const { title, detail, code } = told(error);
  return h(
    "div",
    { class: "state failed", role: "alert" },
    icon("info"),
    h("h2", {}, title),
    h("p", {}, detail),
    h("p", { class: "fine" }, code),
    again && h("div", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: again }, "Try again")),
  );
}

/** An error in words. @param {unknown} error */
export function told(error) {
  if (!(error instanceof Problem)) console.error(error);
  const problem = error instanceof Problem ? error : { code: "page_error", message: String(error), requestId: "" };
  const title = TITLES[/** @type {keyof typeof TITLES} */ (problem.code)] ?? "That did not work";
  const code = problem.requestId ? `${problem.code} \u00b7 request ${problem.requestId}` : problem.code;
  return { title, detail: problem.message, code };
}
