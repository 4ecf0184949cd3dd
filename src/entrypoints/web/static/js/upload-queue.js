/** Sends pictures one by one, a few at a time, no faster than the service takes them. Knows nothing of the page. */

import { Problem } from "./api.js";
import { sleep } from "./dom.js";

/** @typedef {import("./api.js").Image} Image */
/** @typedef {"waiting" | "sending" | "created" | "exists" | "replaced" | "failed"} Status */
/** @typedef {{file: File, name: string, key: string | null, metadata: Record<string, any>, status: Status, reason: string, image: Image | null, attempts: number}} Item */

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
    this.counts = { waiting: 0, sending: 0, created: 0, exists: 0, replaced: 0, failed: 0 };
    /** @type {Item[]} those to send, the next one last */
    this.pending = [];
    this.workers = 0;
    this.pausedUntil = 0;
    /** Why nothing more is sent, until it is told to go on. */
    this.halted = "";
    /** @type {number[]} when the latest were done */
    this.done = [];
    this.aborter = new AbortController();
  }

  /** @param {{file: File, name: string, key: string | null}[]} files @param {Record<string, any>} metadata @returns {Item[]} */
  add(files, metadata) {
    const items = files.map(({ file, name, key }) => /** @type {Item} */ ({ file, name, key, metadata, status: "waiting", reason: "", image: null, attempts: 0 }));
    this.items.push(...items);
    this.counts.waiting += items.length;
    this.pending.unshift(...items.toReversed());
    this.#work();
    return items;
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
