/** Sends pictures one by one, a few at a time, no faster than the service takes them. Knows nothing of the page. */

import { Problem } from "./api.js";
import { sleep } from "./dom.js";

/** @typedef {import("./api.js").Image} Image */
/** @typedef {"waiting" | "sending" | "created" | "exists" | "replaced" | "failed"} Status */
/**
 * A picture to add: a file, or what the service fetches.
 * @typedef {object} Picture
 * @property {File | null} file
 * @property {string | null} url
 * @property {string} name what it is called on the page
 * @property {string | null} key
 * @property {Record<string, any>} metadata
 * @property {string} fault why it cannot be sent, or ""
 * @property {Record<string, string>} row what a table of failures says of it
 */
/** @typedef {Picture & {number: number, status: Status, reason: string, image: Image | null, attempts: number}} Item number: of its own, rising */

const AT_ONCE = 2;
const MOST_ATTEMPTS = 30; // a service that is busy that often in a row is in trouble
const LONGEST_PAUSE = 30;
const RATE_WINDOW = 15_000;

export class UploadQueue {
  /**
   * @param {(item: Item, signal: AbortSignal) => Promise<{image: Image, status: "created" | "exists" | "replaced"}>} send raises Problem
   * @param {(item: Item) => void} onchange told of each step of each item
   */
  constructor(send, onchange) {
    this.send = send;
    this.onchange = onchange;
    /** @type {Item[]} */
    this.items = [];
    this.counts = none();
    /** @type {Item[]} those to send, the next one last */
    this.pending = [];
    this.workers = 0;
    this.last = 0;
    this.pausedUntil = 0;
    /** Why nothing more is sent, until it is told to go on. */
    this.halted = "";
    /** @type {number[]} when the latest were done */
    this.done = [];
    this.aborter = new AbortController();
  }

  /** @param {Picture[]} pictures @returns {Item[]} */
  add(pictures) {
    const items = pictures.map((picture) => /** @type {Item} */ ({ ...picture, number: this.#number(), status: "waiting", reason: "", image: null, attempts: 0 }));
    this.take(items);
    return items;
  }

  /** Take items as they were left before, and go on with those that wait. @param {Item[]} items */
  take(items) {
    for (const item of items) {
      this.items.push(item);
      this.counts[item.status]++;
    }
    this.pending.unshift(...items.filter(({ status }) => status === "waiting").toReversed());
    this.#work();
  }

  /** Forget all; nothing is left to do then. */
  clear() {
    this.items = [];
    this.counts = none();
  }

  /** Send what failed again. */
  retryFailed() {
    const failed = this.items.filter((item) => item.status === "failed");
    for (const item of failed) this.#set(item, "waiting");
    this.pending.unshift(...failed.toReversed());
    this.resume();
  }

  /** Send nothing more for now; what is under way is taken back. @param {string} reason */
  halt(reason) {
    this.halted = reason;
    this.aborter.abort();
  }

  /** Go on. */
  resume() {
    this.halted = "";
    this.pausedUntil = 0;
    this.#work();
  }

  /** Whether anything is left to do. */
  get active() {
    return this.counts.waiting + this.counts.sending > 0;
  }

  /** Pictures a second of late, and the seconds that the rest will take; null while unknown. */
  get pace() {
    const now = performance.now();
    const recent = this.done.filter((time) => now - time < RATE_WINDOW);
    if (recent.length < 3) return { rate: null, left: null };
    const rate = (1000 * recent.length) / (now - recent[0]);
    return { rate, left: (this.counts.waiting + this.counts.sending) / rate };
  }

  #number() {
    this.last = Math.max(Date.now() * 1000, this.last + 1); // greater than those of an earlier visit
    return this.last;
  }

  #work() {
    if (this.aborter.signal.aborted) this.aborter = new AbortController();
    while (this.workers < AT_ONCE && this.workers < this.pending.length) {
      this.workers++;
      void this.#worker();
    }
  }

  async #worker() {
    for (;;) {
      const pause = this.pausedUntil - performance.now();
      if (pause > 0) await sleep(pause);
      else {
        const item = this.halted ? undefined : this.pending.pop();
        if (!item) break;
        await this.#sendOne(item);
      }
    }
    this.workers--;
  }

  /** @param {Item} item */
  async #sendOne(item) {
    const { signal } = this.aborter;
    this.#set(item, "sending");
    try {
      const { image, status } = await this.send(item, signal);
      item.image = image;
      this.#finish(item, status);
    } catch (error) {
      if (signal.aborted) this.#putBack(item);
      else this.#failed(item, /** @type {Error} */ (error));
    }
  }

  /** @param {Item} item @param {Error} error */
  #failed(item, error) {
    item.attempts++;
    const problem = error instanceof Problem ? error : null;
    if (problem?.passes && item.attempts < MOST_ATTEMPTS) {
      // All wait: the service that was too busy for one picture is so for the others.
      const seconds = problem.retryAfter || Math.min(LONGEST_PAUSE, 2 ** Math.min(item.attempts, 5));
      this.pausedUntil = Math.max(this.pausedUntil, performance.now() + seconds * 1000);
      this.#putBack(item, `${problem.message} Trying again.`);
      return;
    }
    this.#finish(item, "failed", error.message);
    if (problem?.code === "storage_full" || problem?.status === 403) this.halt(error.message);
  }

  /** @param {Item} item @param {string} [reason] */
  #putBack(item, reason = "") {
    this.pending.push(item);
    this.#set(item, "waiting", reason);
  }

  /** @param {Item} item @param {Status} status @param {string} [reason] */
  #finish(item, status, reason = "") {
    item.attempts = 0;
    this.done = [...this.done.slice(-200), performance.now()];
    this.#set(item, status, reason);
  }

  /** @param {Item} item @param {Status} status @param {string} [reason] */
  #set(item, status, reason = "") {
    this.counts[item.status]--;
    this.counts[status]++;
    item.status = status;
    item.reason = reason;
    this.onchange(item);
  }
}

const none = () => ({ waiting: 0, sending: 0, created: 0, exists: 0, replaced: 0, failed: 0 });
