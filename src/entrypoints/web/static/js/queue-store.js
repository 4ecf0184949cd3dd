/** Keeps the pictures that are being added in the browser's database, so that a reload of the page loses none. */

/** @typedef {import("./upload-queue.js").Item} Item */

const DATABASE = "lookalike-adding";
const STORE = "items";
const MOST_BYTES = 256e6; // of files: the browser copies each one; of the others it knows the names after a reload

export class QueueStore {
  constructor() {
    /** @type {IDBDatabase | null} null: nothing is kept */
    this.database = null;
    /** Bytes kept of each item's file. @type {Map<number, number>} */
    this.bytes = new Map();
    this.total = 0;
    /** Writes, one after the other. @type {Promise<void>} */
    this.written = Promise.resolve();
  }

  /** What was kept, in its order. Empty where the browser keeps nothing, or another tab has the list. @returns {Promise<Item[]>} */
  async open() {
    try {
      if (!(await isOnlyTab())) return [];
      const opening = indexedDB.open(DATABASE, 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "number" });
      this.database = await done(opening);
      const items = await done(this.#store("readonly").getAll());
      for (const { number, file } of items) this.#count(number, file?.size ?? 0);
      return items;
    } catch {
      return []; // a private window may have no database
    }
  }

  /** Keep items as they are now. @param {Item[]} items */
  keep(items) {
    this.written = this.written.then(async () => {
      for (const item of items) if (this.database) await this.#put(item).catch(() => this.#put({ ...item, file: null })).catch(() => undefined);
    });
  }

  /** Forget all. */
  clear() {
    this.bytes.clear();
    this.total = 0;
    this.written = this.written.then(async () => void (this.database && (await done(this.#store("readwrite").clear()))));
  }

  /** Whether a reload would lose an item that is not sent. @param {Item} item */
  wouldLose(item) {
    return this.database === null || (item.file !== null && !this.bytes.has(item.number));
  }

  /** @param {Item} item */
  async #put(item) {
    const isOpen = item.status === "waiting" || item.status === "sending" || item.status === "failed";
    const file = isOpen && this.#hasRoom(item) ? item.file : null;
    const status = item.status === "sending" ? "waiting" : item.status;
    await done(this.#store("readwrite").put({ ...item, status, file }));
    this.#count(item.number, file?.size ?? 0);
  }

  /** @param {Item} item */
  #hasRoom({ number, file }) {
    return file !== null && this.total - (this.bytes.get(number) ?? 0) + file.size <= MOST_BYTES;
  }

  /** @param {number} number @param {number} bytes */
  #count(number, bytes) {
    this.total += bytes - (this.bytes.get(number) ?? 0);
    if (bytes) this.bytes.set(number, bytes);
    else this.bytes.delete(number);
  }

  /** @param {IDBTransactionMode} mode */
  #store(mode) {
    return /** @type {IDBDatabase} */ (this.database).transaction(STORE, mode).objectStore(STORE);
  }
}

/** Two tabs must not send the same list. Where the browser has no locks (outside of secure contexts), each tab takes itself for the only one. @returns {Promise<boolean>} */
async function isOnlyTab() {
  if (!navigator.locks) return true;
  return new Promise((resolve) => {
    void navigator.locks.request(DATABASE, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise(() => undefined); // held until the page goes
    });
  });
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
