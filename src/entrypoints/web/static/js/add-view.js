/** Add pictures: many files, folders, URLs or the rows of a table, each with its outcome, none lost. */

import { go } from "./address.js";
import { Problem, send } from "./api.js";
import { restored } from "./deletions.js";
import { announce, counted, h, icon, sleep } from "./dom.js";
import { filesChosen, filesOf } from "./folder.js";
import { MetadataEditor } from "./metadata-editor.js";
import { fileButton, seemsPicture } from "./picking.js";
import { QueueStore } from "./queue-store.js";
import { mayChange, service, whyNotFetched } from "./service.js";
import { readTable, seemsTable, tableText } from "./table.js";
import { TableForm } from "./table-form.js";
import { toast } from "./toast.js";
import { UploadQueue } from "./upload-queue.js";
import { UrlList } from "./url-list.js";

/** @typedef {import("./upload-queue.js").Item} Item */
/** @typedef {import("./upload-queue.js").Picture} Picture */
/** @typedef {import("./folder.js").Found} Found */

const ROWS_AT_ONCE = 50; // rows made in one go: the page stays quick
const ROWS_PAUSE = 15; // milliseconds
const REFRESH = 250;
const REVOKED_AFTER = 60_000; // the browser has begun to save long before
const WORDS = { waiting: "Waiting", sending: "Sending", created: "Added", exists: "Was there", replaced: "Replaced", failed: "Failed" };

export class AddView {
  constructor() {
    this.queue = new UploadQueue((item, signal) => this.#send(item, signal), (item) => this.#changed(item));
    /** @type {Map<Item, HTMLElement>} */
    this.rows = new Map();
    this.store = new QueueStore();
    this.metadata = new MetadataEditor();
    this.table = new TableForm((pictures) => this.#begin(pictures));
    this.urls = new UrlList((pictures) => this.#begin(pictures));
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
        h("p", {}, "Drop pictures, whole folders or a table (CSV) anywhere on this page, or"),
        h("div", { class: "actions" },
          fileButton("picture", "Choose pictures", { accept: "image/*,.heic,.heif,.avif", multiple: true, className: "primary", onpick }),
          fileButton("folder", "Choose a folder", { webkitdirectory: true, onpick: (files) => this.#take(filesChosen(files), true) }),
          fileButton("table", "Choose a table", { accept: ".csv,.tsv", onpick: ([file]) => this.#preview(file) })),
        this.urls.element,
        h("details", { class: "lot" }, h("summary", {}, "Metadata for what you add next"), this.metadata.element)),
      this.notice,
      this.table.element,
      this.progress,
      this.list,
    );
    addEventListener("beforeunload", (event) => this.queue.active && this.queue.items.some((item) => isOpen(item) && this.store.wouldLose(item)) && event.preventDefault());
  }

  /** Go on with what an earlier visit left. */
  async restore() {
    const items = mayChange() ? await this.store.open() : [];
    if (!items.length) return;
    const open = items.filter(isOpen).length;
    this.queue.take(items);
    this.#shown(items);
    if (open && !this.element.isConnected) toast(`Going on with ${counted(open, "picture")} from before.`);
  }

  show() {
    this.urls.show();
  }

  leave() {}

  /** @param {DataTransfer} transfer */
  async takeDrop(transfer) {
    const { found, folders } = await filesOf(transfer);
    const table = found.find(({ file, key }) => key === null && seemsTable(file));
    if (table) void this.#preview(table.file);
    this.#take(found.filter((each) => each !== table), folders);
  }

  /** @param {File[]} files */
  takeFiles(files) {
    this.#take(filesChosen(files), false);
  }

  /** Of a folder only what seems to be a picture; of single files all, so that each gets its answer. @param {Found[]} found @param {boolean} folder */
  #take(found, folder) {
    const wanted = folder ? found.filter(({ file }) => seemsPicture(file) && !file.name.startsWith(".")) : found;
    const left = found.length - wanted.length;
    this.#begin(
      wanted.map(({ file, name, key }) => ({ file, url: null, name, key, metadata: {}, fault: "", row: { file: name } })),
      left ? `${counted(left, "file")} in the folder ${left === 1 ? "is" : "are"} no picture and left out.` : "",
    );
  }

  /** Show what a table holds, before any of it is sent. @param {File} file */
  async #preview(file) {
    this.notice.textContent = whyNotFetched();
    if (!service.fetching) return;
    try {
      this.table.show(await readTable(file));
    } catch (error) {
      this.notice.textContent = /** @type {Error} */ (error).message;
    }
  }

  /** Begin to send pictures, each with the metadata of the form beside its own. @param {Picture[]} pictures @param {string} [notice] */
  #begin(pictures, notice = "") {
    let metadata;
    try {
      metadata = this.metadata.read();
    } catch (error) {
      this.notice.textContent = `Nothing is sent yet: in the metadata, ${/** @type {Error} */ (error).message}`;
      return;
    }
    this.notice.textContent = notice;
    if (!pictures.length) return;
    if (this.queue.halted) this.queue.resume();
    const items = this.queue.add(pictures.map((picture) => ({ ...picture, metadata: { ...metadata, ...picture.metadata } })));
    this.store.keep(items);
    this.#shown(items);
  }

  /** @param {Item[]} items */
  #shown(items) {
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
    if (item.status !== "waiting" && item.status !== "sending") this.store.keep([item]);
    this.refreshing ??= setTimeout(() => this.#refresh(), REFRESH);
  }

  #makeProgress() {
    this.bar = h("progress", { "aria-label": "Pictures done", value: 0, max: 1 });
    this.told = h("p", { class: "progress-told" });
    this.pace = h("p", { class: "hint" });
    this.retry = h("button", { type: "button", class: "small", onclick: () => this.queue.retryFailed() }, "Retry failed");
    this.pause = h("button", { type: "button", class: "small", onclick: () => this.#pauseOrGoOn() });
    this.save = h("button", { type: "button", class: "small", onclick: () => this.#saveFailures() }, icon("download"), "Save the failures");
    this.clear = h("button", { type: "button", class: "small", onclick: () => this.#clear() }, "Clear the list");
    const onlyFailed = h("label", { class: "only", for: "only-failed" }, this.only, "Show only failed");
    this.onlyFailed = onlyFailed;
    this.progress = h("section", { class: "upload-progress", "aria-label": "Progress", hidden: true },
      h("div", { class: "progress-words" }, this.told, this.pace), this.bar,
      h("div", { class: "progress-buttons" }, this.pause, this.retry, this.save, this.clear, onlyFailed));
  }

  /** As a table that can be mended and dropped here again. */
  #saveFailures() {
    const failed = this.queue.items.filter(({ status }) => status === "failed");
    const url = URL.createObjectURL(new Blob([tableText(failed.map(({ row, reason }) => ({ ...row, reason })))], { type: "text/csv" }));
    h("a", { href: url, download: "failures.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), REVOKED_AFTER);
  }

  #clear() {
    this.queue.clear();
    this.store.clear();
    this.rows.clear();
    this.list.replaceChildren();
    this.progress.hidden = true;
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
    this.retry.hidden = this.save.hidden = this.onlyFailed.hidden = counts.failed === 0;
    this.clear.hidden = active;
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
  async #send({ file, url, key, metadata, fault }, signal) {
    if (fault) throw new RangeError(fault);
    const about = { ...(key === null ? {} : { key }), ...(Object.keys(metadata).length ? { metadata } : {}) };
    // A batch of one: its answer tells what is wrong with a picture, where a failed request would fill the console too.
    const body = url === null ? { form: formOf(file, about) } : { json: { items: [{ url, ...about }] } };
    const response = await send("v1/images/batch", { method: "POST", ...body, signal });
    const [{ status, image, problem }] = (await response.json()).results;
    if (status === "failed") throw new Problem(problem);
    restored(image.id);
    return { image, status };
  }
}

/** @param {File | null} file null: the browser kept no copy of it over a reload @param {object} about */
function formOf(file, about) {
  if (!file) throw new RangeError("The page was reloaded before this file was sent. Choose it again.");
  if (file.size > service.maxUploadBytes) {
    throw new RangeError(`It has ${(file.size / 1e6).toFixed(1)} MB; the service takes ${(service.maxUploadBytes / 1e6).toFixed(1)} MB.`);
  }
  const form = new FormData();
  form.set("files", file);
  form.set("items", JSON.stringify([about]));
  return form;
}

/** @param {Item} item */
const isOpen = ({ status }) => status === "waiting" || status === "sending";
