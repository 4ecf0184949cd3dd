/** Add pictures: many files or folders, each with its outcome, none lost. */

import { go } from "./address.js";
import { Problem, send } from "./api.js";
import { restored } from "./deletions.js";
import { announce, counted, h, sleep } from "./dom.js";
import { filesChosen, filesOf } from "./folder.js";
import { MetadataEditor } from "./metadata-editor.js";
import { fileButton, seemsPicture } from "./picking.js";
import { service } from "./service.js";
import { toast } from "./toast.js";
import { UploadQueue } from "./upload-queue.js";

/** @typedef {import("./upload-queue.js").Item} Item */
/** @typedef {import("./folder.js").Found} Found */

const ROWS_AT_ONCE = 50; // rows made in one go: the page stays quick
const ROWS_PAUSE = 15; // milliseconds
const REFRESH = 250;
const WORDS = { waiting: "Waiting", sending: "Sending", created: "Added", exists: "Was there", replaced: "Replaced", failed: "Failed" };

export class AddView {
  constructor() {
    this.queue = new UploadQueue((item, signal) => this.#send(item, signal), (item) => this.#changed(item));
    /** @type {Map<Item, HTMLElement>} */
    this.rows = new Map();
    this.metadata = new MetadataEditor();
    this.notice = h("p", { class: "hint", role: "status" });
    this.list = h("ul", { class: "upload-list", "aria-label": "Pictures being added" });
    this.only = h("input", { type: "checkbox", id: "only-failed", onchange: () => this.list.classList.toggle("only-failed", this.only.checked) });
    this.#makeProgress();
    const onpick = (/** @type {File[]} */ files) => this.#take(filesChosen(files), false);
    this.element = h(
      "div",
      { class: "add-view" },
      h("h1", {}, "Add pictures"),
      h("section", { class: "hero small-hero" },
        h("p", {}, "Drop pictures or whole folders anywhere on this page, or"),
        h("div", { class: "actions" },
          fileButton("picture", "Choose pictures", { accept: "image/*,.heic,.heif,.avif", multiple: true, className: "primary", onpick }),
          fileButton("folder", "Choose a folder", { webkitdirectory: true, onpick: (files) => this.#take(filesChosen(files), true) })),
        h("details", { class: "lot" }, h("summary", {}, "Metadata for what you add next"), this.metadata.element)),
      this.notice,
      this.progress,
      this.list,
    );
    addEventListener("beforeunload", (event) => this.queue.active && !this.queue.halted && event.preventDefault());
  }

  show() {}

  leave() {}

  /** @param {DataTransfer} transfer */
  async takeDrop(transfer) {
    const { found, folders } = await filesOf(transfer);
    this.#take(found, folders);
  }

  /** @param {File[]} files */
  takeFiles(files) {
    this.#take(filesChosen(files), false);
  }

  /** Of a folder only what seems to be a picture; of single files all, so that each gets its answer. @param {Found[]} found @param {boolean} folder */
  #take(found, folder) {
    let metadata;
    try {
      metadata = this.metadata.read();
    } catch (error) {
      this.notice.textContent = `Nothing is sent yet: in the metadata, ${/** @type {Error} */ (error).message}`;
      return;
    }
    const wanted = folder ? found.filter(({ file }) => seemsPicture(file) && !file.name.startsWith(".")) : found;
    const left = found.length - wanted.length;
    this.notice.textContent = left ? `${counted(left, "file")} in the folder ${left === 1 ? "is" : "are"} no picture and left out.` : "";
    if (!wanted.length) return;
    if (this.queue.halted) this.queue.resume();
    const items = this.queue.add(wanted, metadata);
    this.progress.hidden = false;
    void this.#addRows(items);
    this.#refresh();
  }

  /** @param {Item[]} items */
  async #addRows(items) {
    for (let start = 0; start < items.length; start += ROWS_AT_ONCE) {
      await sleep(ROWS_PAUSE);
      const rows = items.slice(start, start + ROWS_AT_ONCE).map((item) => this.#row(item));
      this.list.append(...rows);
    }
  }

  /** @param {Item} item */
  #row(item) {
    const row = h("li", {}, h("span", { class: "preview" }), h("span", { class: "name", title: item.name }, item.name), h("span", { class: "status" }), h("span", { class: "reason" }));
    this.rows.set(item, row);
    this.#paint(item, row);
    return row;
  }

  /** @param {Item} item @param {HTMLElement} row */
  #paint(item, row) {
    row.dataset.status = item.status;
    const [preview, , status, reason] = /** @type {any} */ (row.children);
    status.textContent = WORDS[item.status];
    reason.textContent = item.reason;
    if (item.image && !preview.firstChild) {
      const { id, links, filename } = item.image;
      const open = h("button", { type: "button", "aria-label": `Details of ${filename}`, onclick: () => go({ show: id }) }, h("img", { src: links.thumbnail, alt: "", loading: "lazy", decoding: "async" }));
      preview.append(open);
    }
  }

  /** @param {Item} item */
  #changed(item) {
    const row = this.rows.get(item);
    if (row) this.#paint(item, row);
    this.refreshing ??= setTimeout(() => this.#refresh(), REFRESH);
  }

  #makeProgress() {
    this.bar = h("progress", { "aria-label": "Pictures done", value: 0, max: 1 });
    this.told = h("p", { class: "progress-told" });
    this.pace = h("p", { class: "hint" });
    this.retry = h("button", { type: "button", class: "small", onclick: () => this.queue.retryFailed() }, "Retry failed");
    this.pause = h("button", { type: "button", class: "small", onclick: () => this.#pauseOrGoOn() });
    const onlyFailed = h("label", { class: "only", for: "only-failed" }, this.only, "Show only failed");
    this.onlyFailed = onlyFailed;
    this.progress = h("section", { class: "upload-progress", "aria-label": "Progress", hidden: true },
      h("div", { class: "progress-words" }, this.told, this.pace), this.bar,
      h("div", { class: "progress-buttons" }, this.pause, this.retry, onlyFailed));
  }

  #pauseOrGoOn() {
    if (this.queue.halted) this.queue.resume();
    else this.queue.halt("Paused.");
    this.#refresh();
  }

  #refresh() {
    this.refreshing = undefined;
    const { counts, items, active, halted, pausedUntil } = this.queue;
    const done = counts.created + counts.exists + counts.replaced + counts.failed;
    this.bar.max = items.length;
    this.bar.value = done;
    const parts = [`${counts.created} added`, counts.exists && `${counts.exists} there before`, counts.replaced && `${counts.replaced} replaced`, counts.failed && `${counts.failed} failed`];
    this.told.textContent = `${done} of ${counted(items.length, "picture")}: ${parts.filter(Boolean).join(", ")}`;
    const wait = Math.ceil((pausedUntil - performance.now()) / 1000);
    this.pace.textContent = halted || (active && wait > 0 ? `The service is busy. Going on in ${wait} s.` : this.#paceText(active));
    this.pause.hidden = !active;
    this.pause.replaceChildren(halted ? "Go on" : "Pause");
    this.retry.hidden = this.onlyFailed.hidden = counts.failed === 0;
    if (counts.failed === 0 && this.only.checked) this.only.click();
    if (active && !halted) this.refreshing = setTimeout(() => this.#refresh(), REFRESH * 2);
    else if (!active && this.wasActive) this.#finished(counts);
    this.wasActive = active;
  }

  /** @param {boolean} active */
  #paceText(active) {
    const { rate, left } = this.queue.pace;
    if (!active || rate === null) return active ? "" : "Done.";
    const time = left < 90 ? `${Math.max(1, Math.round(left))} s` : `${Math.round(left / 60)} min`;
    return `${rate.toFixed(1)} a second, about ${time} left`;
  }

  /** @param {{failed: number}} counts */
  #finished({ failed }) {
    announce(`${this.told.textContent}.`);
    if (!this.element.isConnected) toast(failed ? `Adding is done, ${counted(failed, "picture")} failed.` : "All pictures are added.", { failed: failed > 0 });
  }

  /** @param {Item} item @param {AbortSignal} signal */
  async #send({ file, key, metadata }, signal) {
    if (file.size > service.maxUploadBytes) {
      throw new RangeError(`It has ${(file.size / 1e6).toFixed(1)} MB; the service takes ${(service.maxUploadBytes / 1e6).toFixed(1)} MB.`);
    }
    const form = new FormData();
    form.set("files", file);
    form.set("items", JSON.stringify([{ ...(key === null ? {} : { key }), ...(Object.keys(metadata).length ? { metadata } : {}) }]));
    // A batch of one: its answer tells what is wrong with a picture, where a failed request would fill the console too.
    const response = await send("v1/images/batch", { method: "POST", form, signal });
    const [{ status, image, problem }] = (await response.json()).results;
    if (status === "failed") throw new Problem(problem);
    restored(image.id);
    return { image, status };
  }
}
