/** The HTTP API, as the page uses it. */

import { sleep } from "./dom.js";

/** @typedef {{x_min: number, y_min: number, x_max: number, y_max: number}} Box */
/** @typedef {{label: string, score: number, box: Box}} Detection */
/** @typedef {{id: string, key: string | null, source: string | null, filename: string, media_type: string, width: number, height: number, size_bytes: number,
 *   sha256: string, created_at: string, updated_at: string, metadata: Record<string, any>, objects: Detection[],
 *   links: {self: string, content: string, thumbnail: string, similar: string}}} Image */
/** @typedef {{value: string | number | null, images: number, more: Match[]}} Group */
/** @typedef {"identical" | "copy" | "very_alike" | "alike" | "weak"} Band */
/** @typedef {{rank: number, score: number, likeness: number | null, band: Band | null, group: Group | null, image: Image, region: Detection | null,
 *   regions: {query_region: Box, object: Detection | null, score: number}[] | null}} Match */

const BASE = new URL("./", document.baseURI);
const CHANGES = { "X-Lookalike-Page": "1" }; // see http/gate.py: a cookie alone changes nothing
const MOST_PATIENT = 5;

/** What the service refused or could not do (RFC 9457), or why there is no answer (status 0). */
export class Problem extends Error {
  /** @param {{status: number, code: string, detail: string, request_id?: string}} about @param {number} retryAfter */
  constructor({ status, code, detail, request_id: requestId }, retryAfter = 0) {
    super(detail);
    this.status = status;
    this.code = code;
    this.requestId = requestId ?? "";
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed a little later. */
  get passes() {
    const busy = this.status === 429 || (this.status === 503 && this.code !== "detector_unavailable");
    return busy || this.code === "no_answer" || this.status === 502 || this.status === 504;
  }
}

/** @type {(() => Promise<void>) | null} */
let askForKey = null;

/** What to do when a key is missing: the request is sent again once it is there. @param {() => Promise<void>} ask */
export function whenKeyIsMissing(ask) {
  askForKey = ask;
}

/**
 * Send a request; the answer, if it is a good one. Raises Problem, or the signal's reason.
 * @param {string} path relative to the service, such as `v1/images`, or as the service's links give it
 * @param {{method?: string, json?: any, form?: FormData, headers?: Record<string, string>, signal?: AbortSignal,
 *   keepalive?: boolean, priority?: string}} [options]
 * @returns {Promise<Response>}
 */
export async function send(path, { method = "GET", json, form, headers = {}, ...rest } = {}) {
  const body = json === undefined ? form : JSON.stringify(json);
  const type = json === undefined ? {} : { "Content-Type": "application/json" };
  const all = { ...(method === "GET" ? {} : CHANGES), ...type, ...headers };
  let response;
  try {
    response = await fetch(new URL(path, BASE), { method, body, headers: all, ...rest });
  } catch (error) {
    if (rest.signal?.aborted) throw error;
    if (form && !(await isReadable(form))) {
      throw new Problem({ status: 0, code: "file_unreadable", detail: "The file cannot be read any more. Choose it again." });
    }
    throw new Problem({ status: 0, code: "no_answer", detail: "The service does not answer. Is it running?" });
  }
  if (response.ok) return response;
  if (response.status === 401 && askForKey && !headers.Authorization) {
    await askForKey();
    return send(path, { method, json, form, headers, ...rest });
  }
  throw await problemOf(response);
}

/** Whether a form's files are still as they were chosen: of one that is gone or was changed, `fetch` tells no more than of a dead service. @param {FormData} form */
async function isReadable(form) {
  const files = [...form.values()].filter((value) => value instanceof Blob);
  try {
    await Promise.all(files.map((file) => file.stream().getReader().read()));
    return true;
  } catch {
    return false;
  }
}

/** @param {Response} response */
async function problemOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const fallback = { status: response.status, code: "unexpected_answer", detail: `The service answers ${response.status}.` };
  try {
    return new Problem({ ...fallback, ...(await response.json()) }, retryAfter);
  } catch {
    return new Problem(fallback, retryAfter); // a proxy's own page, for one
  }
}

/**
 * The same as JSON; again while the service is busy, after the time that it names.
 * @param {string} path
 * @param {Parameters<typeof send>[1] & {onwait?: (seconds: number) => void}} [options]
 */
export async function ask(path, { onwait, ...options } = {}) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await (await send(path, options)).json();
    } catch (error) {
      if (!(error instanceof Problem && error.passes && error.retryAfter) || attempt === MOST_PATIENT) throw error;
      onwait?.(error.retryAfter);
      await sleep(error.retryAfter * 1000, options.signal);
    }
  }
}

/** A query string of what is there. @param {Record<string, any>} parameters */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Image>} */
export const getImage = (id, signal) => ask(`v1/images/${id}`, { signal });

/** Where a stored picture's small rendition is. @param {string} id */
export const thumbnailOf = (id) => new URL(`v1/images/${id}/thumbnail`, BASE).href;

/**
 * A page of the listing.
 * @param {{limit: number, cursor?: string | null, filter?: string, order_by?: string | null}} parameters
 * @param {AbortSignal} [signal]
 * @returns {Promise<{items: Image[], next_cursor: string | null, total: number}>}
 */
export const listImages = (parameters, signal) => ask(`v1/images${query(parameters)}`, { signal });

/**
 * How many pictures have each value of some fields, the most frequent values first.
 * @param {string[]} fields
 * @param {{filter?: import("./filter.js").Filter, limit: number, signal?: AbortSignal}} options
 * @returns {Promise<Record<string, {value: string | number | boolean, images: number}[]>>}
 */
export async function facetsOf(fields, { filter, limit, signal }) {
  return (await ask("v1/facets", { method: "POST", json: { fields, filter, limit }, signal })).facets;
}
