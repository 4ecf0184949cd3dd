/** Elements, icons and small waits. */

/**
 * Make an element: `h("button", {class: "primary", onclick: save}, "Save")`. Attributes that are null or false are
 * left out, `on...` are listeners; children may be nested lists, and those that are null or false are left out.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...any} children
 * @returns {any} the element
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  info: "M12 11v6M12 7.5v.5M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  upload: "M12 16V5M7 9.5L12 4.5l5 5M4.5 16v3.5h15V16",
  camera: "M4 8h3.5L9 5.5h6L16.5 8H20v11H4zM12 10a3.3 3.3 0 1 0 0 6.6 3.3 3.3 0 0 0 0-6.6",
  box: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4",
  download: "M12 4.5V16M7 11l5 5 5-5M4.5 19.5h15",
  trash: "M5 7h14M9.5 7V4.5h5V7M7 7l1 12.5h8L17 7M10.5 10.5v6M13.5 10.5v6",
  search: "M10.5 4.5a6 6 0 1 0 0 12 6 6 0 0 0 0-12M15 15l5 5",
  check: "M5 12.5l4.5 4.5L19 7.5",
  copy: "M9 9h10.5v10.5H9zM15 9V4.5H4.5V15H9",
  table: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 5v14",
  folder: "M3.5 6.5h6l2 2.5h9v10h-17z",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
};

const SVG = "http://www.w3.org/2000/svg";

/**
 * A line drawing; what it stands beside, or the button's label, says what it means.
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Say something to those who do not see it. @param {string} text */
export function announce(text) {
  const announcer = /** @type {HTMLElement} */ (document.getElementById("announcer"));
  announcer.textContent = "";
  setTimeout(() => (announcer.textContent = text), 50); // the same text twice is news only if it was gone in between
}

/**
 * Call `act` once, `milliseconds` after the last of several calls.
 * @param {number} milliseconds
 * @param {(...given: any[]) => void} act
 */
export function debounced(milliseconds, act) {
  let timer = 0;
  return (/** @type {any[]} */ ...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), milliseconds);
  };
}

/**
 * Resolve after a time, or reject with the signal's reason as soon as it is aborted.
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** "1 picture", "1,234 pictures". @param {number} count @param {string} one @param {string} [many] */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
