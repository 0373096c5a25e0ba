/** The coordinator's API: asked below the base path, answered with values and the text they came in, or a Problem. */
import { useCallback, useEffect, useRef, useState } from "./dom.js";
import { base } from "./router.js";
import { store } from "./store.js";

/** Who is at the screen, for the history of what was asked. Kept in this browser. */
export const actor = store("", "actor");

let skewMilliseconds = 0; // of the coordinator's clock to this machine's

/** The coordinator's time, as near as its answers tell. */
export const now = () => Date.now() + skewMilliseconds;

/**
 * An answer that says why not. `detail` is a sentence; `errors` name places; `allowed` is what may be asked instead.
 */
export class Problem extends Error {
  constructor({ title, detail, status = 0, errors = [], allowed = null, type = "", saga_status = null }) {
    super(detail || title);
    this.title = title;
    this.detail = detail;
    this.status = status;
    this.errors = errors;
    this.allowed = allowed;
    this.type = type;
    this.sagaStatus = saga_status;
  }

  /** Whether asking again later may help. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** The address of a route. Paths in answers ("/v1/…") are relative to the base path, too. */
export const at = (path) => base + path.replace(/^\//, "");

/**
 * Ask the API. Raises Problem; or AbortError, if `signal` says so.
 * @param {string} method
 * @param {string} path such as "v1/sagas"
 * @param {{body?: any, query?: object, headers?: object, signal?: AbortSignal}} [options]
 * @returns {Promise<{value: any, text: string, status: number, headers: Headers}>}
 */
export async function ask(method, path, { body, query, headers = {}, signal } = {}) {
  const stated = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(stated.map(([name, value]) => [name, String(value)])).toString();
  const told = { Accept: "application/json", ...headers };
  if (actor.get()) told["X-Amends-Actor"] = actor.get();
  if (body !== undefined) told["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(at(path) + (text ? (path.includes("?") ? "&" : "?") + text : ""), {
      method, headers: told, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The coordinator can't be reached", detail: "No answer came. It is asked again by itself." });
  }
  return read(response);
}

async function read(response) {
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header is cut to seconds: half of one is added, and a skew that small is none.
  if (date) skewMilliseconds = Math.abs(date + 500 - Date.now()) < 2000 ? 0 : date + 500 - Date.now();
  const text = await response.text();
  let value = null;
  try {
    value = text === "" ? null : JSON.parse(text);
  } catch {
    if (response.ok) throw new Problem({ title: "An answer that isn't JSON", detail: text.slice(0, 200), status: 502 });
  }
  if (!response.ok) {
    const title = response.statusText || `status ${response.status}`;
    throw new Problem({ title, detail: text.slice(0, 200), ...(value ?? {}), status: response.status });
  }
  return { value, text, status: response.status, headers: response.headers };
}

export const get = (path, options) => ask("GET", path, options);
export const post = (path, body, options) => ask("POST", path, { ...options, body });
export const remove = (path, options) => ask("DELETE", path, options);

/**
 * What a route answers, asked when the path or query changes and when `again()` is called. While it is asked anew, the
 * last answer stays; of a new path, nothing stays. A null path asks nothing.
 * @returns {{value: any, text: string, problem: Problem | null, loading: boolean, again: () => Promise<void>}}
 */
export function useAnswer(path, query) {
  const address = path === null ? null : at(path) + "?" + new URLSearchParams(Object.entries(query ?? {}).filter(([, v]) => v != null && v !== ""));
  const [state, set] = useState({ address: null, value: null, text: "", problem: null, loading: true });
  const asking = useRef(null);
  const again = useCallback(async () => {
    if (path === null) return;
    asking.current?.abort();
    const mine = (asking.current = new AbortController());
    set((before) => (before.address === address ? { ...before, loading: true } : { ...before, loading: true, problem: null }));
    try {
      const { value, text } = await get(path, { query, signal: mine.signal });
      set({ address, value, text, problem: null, loading: false });
    } catch (problem) {
      if (problem.name === "AbortError") return;
      set((before) => ({ ...(before.address === address ? before : { value: null, text: "" }), address, problem, loading: false }));
    }
  }, [address]);
  useEffect(() => {
    again();
    return () => asking.current?.abort();
  }, [again]);
  const fresh = state.address === address;
  return { value: fresh ? state.value : null, text: fresh ? state.text : "", problem: fresh ? state.problem : null, loading: state.loading || !fresh, again };
}
