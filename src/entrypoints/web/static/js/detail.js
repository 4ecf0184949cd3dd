/** One picture in full: its objects, what is known of it, its metadata to edit, what is similar, download, delete. */

import { format, go, here, NOWHERE, searchWith } from "./address.js";
import { ask, getImage } from "./api.js";
import { detected, objectButtons } from "./boxes.js";
import { copyable } from "./copy.js";
import { remove } from "./deletions.js";
import { h, icon } from "./dom.js";
import { asking } from "./filter.js";
import { foldersOf } from "./folders.js";
import { metadataOf } from "./metadata-form.js";
import { failure } from "./states.js";
import { noteKeys } from "./suggestions.js";
import { plain, tile } from "./tile.js";
import { showToasts } from "./toast.js";

/** @typedef {import("./api.js").Image} Image */

const SIMILAR = 8;

export class Detail {
  constructor() {
    this.body = h("div", { class: "detail-body" });
    this.close = h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.element.close() }, icon("close"));
    this.element = h(
      "dialog",
      {
        class: "detail", "aria-label": "Details of a picture", onclose: () => this.#closed(),
        onclick: (/** @type {MouseEvent} */ event) => event.target === this.element && this.element.close(),
      },
      this.close,
      this.body,
    );
    document.body.append(this.element);
    /** @type {string | null} */
    this.shown = null;
    this.aborter = new AbortController();
  }

  /** The event comes late: by then Back and Forward may have opened it again, or have closed it themselves. */
  #closed() {
    if (!this.element.open) showToasts(document.body);
    if (!this.element.open && this.shown !== null && here().show) go({ show: null });
  }

  /** @param {string | null} id null: nothing */
  show(id) {
    if (id === this.shown) return;
    this.shown = id;
    this.aborter.abort();
    this.aborter = new AbortController();
    if (id === null) {
      this.element.close();
      return;
    }
    if (!this.element.open) {
      this.element.showModal();
      showToasts(this.element);
    }
    void this.#load(id, this.aborter.signal);
  }

  /** @param {string} id @param {AbortSignal} signal */
  async #load(id, signal) {
    this.body.replaceChildren(h("p", { class: "detail-loading" }, "Loading\u2026"));
    try {
      const image = await getImage(id, signal);
      noteKeys([image]);
      this.body.replaceChildren(this.#picture(image), this.#facts(image, signal));
      this.element.scrollTop = 0;
    } catch (error) {
      if (!signal.aborted) this.body.replaceChildren(failure(error));
    }
  }

  /** @param {Image} image */
  #picture(image) {
    const shown = h("img", { src: image.links.content, alt: image.filename, width: image.width, height: image.height });
    // A browser may not know the original's format; the small rendition it always knows.
    shown.addEventListener("error", () => (shown.src = image.links.thumbnail), { once: true });
    const boxes = objectButtons(image.objects, image, (found) => ({ onclick: () => searchWith({ image: image.id, regions: [found.box] }) }));
    const frame = h("div", { class: "detail-frame" }, shown, boxes);
    frame.style.setProperty("--ratio", String(image.width / image.height));
    return h("div", { class: "detail-picture" }, frame);
  }

  /** @param {Image} image @param {AbortSignal} signal */
  #facts(image, signal) {
    const { likely, doubtful } = detected(image.objects);
    const facts = {
      Key: image.key && copyable("key", image.key, keyWithFolders(image.key)),
      Source: image.source && copyable("source", image.source),
      Detected: likely,
      Perhaps: doubtful && h("span", { class: "hint" }, doubtful),
      Size: `${image.width} \u00d7 ${image.height} pixels, ${bytes(image.size_bytes)}`,
      Format: image.media_type.replace("image/", "").toUpperCase(),
      Indexed: new Date(image.created_at).toLocaleString(),
      Changed: image.updated_at !== image.created_at && new Date(image.updated_at).toLocaleString(),
      Id: image.id,
    };
    return h(
      "div",
      { class: "detail-facts" },
      h("h2", {}, image.filename),
      h("div", { class: "detail-actions" },
        h("button", { type: "button", class: "primary", onclick: () => searchWith({ image: image.id }) }, icon("search"), "Find similar"),
        h("a", { class: "button", href: image.links.content, download: image.filename }, icon("download"), "Download"),
        h("button", { type: "button", class: "danger", "data-role": "write", onclick: () => this.#delete(image) }, icon("trash"), "Delete")),
      h("dl", {}, Object.entries(facts).map(([name, told]) => told && [h("dt", {}, name), h("dd", {}, told)])),
      metadataOf(image),
      this.#similar(image, signal),
    );
  }

  /** @param {Image} image */
  #delete(image) {
    this.element.close();
    remove([image]);
  }

  /** @param {Image} image @param {AbortSignal} signal */
  #similar(image, signal) {
    const list = h("ul", { class: "grid strip", "aria-label": "Similar pictures" });
    const section = h("section", { class: "detail-similar", hidden: true }, h("h3", { class: "small-heading" }, "Similar"), list);
    const show = async () => {
      const { matches } = await ask(`${image.links.similar}?limit=${SIMILAR}`, { signal });
      section.hidden = matches.length === 0;
      list.replaceChildren(...matches.map((/** @type {import("./api.js").Match} */ match) => tile(match.image, {
        href: `./${format({ ...NOWHERE, view: here().view, show: match.image.id })}`,
        label: `${match.image.filename}: details`,
        onclick: () => go({ show: match.image.id }),
      })));
    };
    show().catch(() => section.remove()); // the picture itself is what counts here
    return section;
  }
}

/** A key whose folders lead to what else is in them. @param {string} key */
function keyWithFolders(key) {
  const folders = foldersOf(key);
  const links = folders.map(({ name, prefix }) => {
    const place = { ...NOWHERE, view: /** @type {const} */ ("browse"), filter: asking({}, "key", "prefix", prefix) };
    return h("a", { href: `./${format(place)}`, onclick: plain(() => go(place)) }, name);
  });
  return [...links, key.slice(folders.at(-1)?.prefix.length ?? 0)];
}

/** @param {number} count */
function bytes(count) {
  return count < 1e6 ? `${Math.ceil(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}
