/** Short messages at the foot of the page. */

import { h } from "./dom.js";

/** @type {() => HTMLElement} */
const place = () => /** @type {HTMLElement} */ (document.getElementById("toasts"));

/** Show them over a modal dialog too, which leaves nothing outside of it to be clicked. @param {HTMLElement} over it, or the page */
export const showToasts = (over) => over.append(place());

/**
 * Show one; what is returned takes it away before its time.
 * @param {string} text
 * @param {object} [options]
 * @param {string} [options.action] a button's label
 * @param {() => void} [options.onaction]
 * @param {() => void} [options.onend] called when its time is over without the action
 * @param {number} [options.seconds] time does not run while it has the focus or the pointer
 * @param {boolean} [options.failed]
 */
export function toast(text, { action, onaction, onend, seconds = 6, failed = false } = {}) {
  let timer = 0;
  const close = () => {
    clearTimeout(timer);
    element.remove();
  };
  const end = () => {
    close();
    onend?.();
  };
  const run = () => {
    clearTimeout(timer);
    timer = setTimeout(end, seconds * 1000);
  };
  const act = () => {
    close();
    onaction?.();
  };
  const hold = () => clearTimeout(timer);
  const element = h(
    "div",
    { class: failed ? "toast failed" : "toast", role: failed ? "alert" : "status", onpointerenter: hold, onfocusin: hold, onpointerleave: run, onfocusout: run },
    h("span", {}, text),
    action && h("button", { type: "button", onclick: act }, action),
  );
  place().append(element);
  run();
  return close;
}
