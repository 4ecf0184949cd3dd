/** A list of URLs, one a line, whose pictures the service fetches. */

import { h } from "./dom.js";
import { whyNotFetched } from "./service.js";

export class UrlList {
  /** @param {(pictures: import("./upload-queue.js").Picture[]) => void} onadd */
  constructor(onadd) {
    this.text = h("textarea", { id: "urls", rows: 4, placeholder: "https://\u2026", spellcheck: "false" });
    this.why = h("p", { class: "hint" });
    this.button = h("button", { type: "button", onclick: () => this.#add(onadd) }, "Add these pictures");
    this.element = h("details", { class: "lot urls" }, h("summary", {}, "Pictures on the web"),
      h("label", { for: "urls" }, "Their URLs, one on each line"), this.text, this.why, this.button);
  }

  /** What a service allows is known after the page was made. */
  show() {
    this.why.textContent = whyNotFetched();
    this.text.disabled = this.button.disabled = this.why.textContent !== "";
  }

  /** @param {(pictures: import("./upload-queue.js").Picture[]) => void} onadd */
  #add(onadd) {
    const urls = [...new Set(/** @type {string[]} */ (this.text.value.split(/\s+/)).filter(Boolean))];
    this.text.value = "";
    onadd(urls.map((url) => ({ file: null, url, name: url, key: null, metadata: {}, fault: "", row: { url } })));
  }
}
