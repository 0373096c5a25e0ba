/** The coordinator's API: asked below the base path, answered with values and the text they came in, or a Problem. */
import { useCallback, useEffect, useRef, useState } from "./dom.js";
import { base } from "./router.js";
import { store } from "./store.js";

/** Who is at the screen, for the history of what was asked. Kept in this browser. */
export const actor = store("", "actor");

/** Whether the coordinator wants to know who asks, and doesn't. */
export const unknown = store(false);

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

/** A query as text, without what is null or empty. */
function text(query, mark = "?") {
  const stated = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const told = new URLSearchParams(stated.map(([name, value]) => [name, String(value)])).toString();
  return told && mark + told;
}

/**
 * Ask the API. Raises Problem; or AbortError, if `signal` says so. `raw` is a body that is JSON text already, so that
 * its numbers go out as they were typed.
 * @param {string} method
 * @param {string} path such as "v1/sagas"
 * @param {{body?: any, raw?: string, query?: object, headers?: object, signal?: AbortSignal}} [options]
 * @returns {Promise<{value: any, text: string, status: number, headers: Headers}>}
 */
export async function ask(method, path, { body, raw, query, headers = {}, signal } = {}) {
  const told = { Accept: "application/json", "X-Amends-Dashboard": "1", ...headers };
  const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  if (actor.get()) told["X-Amends-Actor"] = actor.get();
  if (sent !== undefined) told["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(at(path) + text(query, path.includes("?") ? "&" : "?"), {
      method, headers: told, signal, body: sent, cache: "no-store",
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
  const said = await response.text();
  let value = null;
  try {
    value = said === "" || isText(response) ? null : JSON.parse(said);
  } catch {
    if (response.ok) throw new Problem({ title: "An answer that isn't JSON", detail: said.slice(0, 200), status: 502 });
  }
  if (!response.ok) {
    if (response.status === 401) unknown.set(true);
    const title = response.statusText || `status ${response.status}`;
    throw new Problem({ title, detail: said.slice(0, 200), ...(value ?? {}), status: response.status });
  }
  return { value, text: said, status: response.status, headers: response.headers };
}

/** An answer that was asked for as text, such as Markdown. */
const isText = (response) => /^text\/(markdown|plain)/.test(response.headers.get("content-type") ?? "");

export const get = (path, options) => ask("GET", path, options);
export const post = (path, body, options) => ask("POST", path, { ...options, body });
export const remove = (path, options) => ask("DELETE", path, options);

/**
 * What a route answers: asked when the path or query changes, and when `again()` is called. While it is asked anew the
 * last answer stays; of another path or query, nothing stays. A null path asks nothing.
 * @returns {{value: any, text: string, problem: Problem | null, loading: boolean, again: () => void}}
 */
export function useAnswer(path, query) {
  const address = path === null ? null : path + text(query);
  const [state, set] = useState(unanswered);
  const asking = useRef({ current: null, once: false });
  const again = useCallback(async () => {
    const own = asking.current;
    if (address === null) return;
    if (own.current) {
      own.once = true; // what is under way may have begun too early to know
      return;
    }
    do {
      own.once = false;
      const mine = (own.current = new AbortController());
      set((before) => (before.address === address ? { ...before, loading: true } : { ...unanswered, address }));
      try {
        const { value, text: told } = await get(path, { query, signal: mine.signal });
        if (own.current === mine) set({ address, value, text: told, problem: null, loading: false });
      } catch (problem) {
        if (own.current !== mine) return;
        set((before) => ({ ...(before.address === address ? before : unanswered), address, problem, loading: false }));
      }
      if (own.current !== mine) return;
      own.current = null;
    } while (own.once);
  }, [address]);
  useEffect(() => {
    again();
    return () => {
      const own = asking.current;
      own.current?.abort();
      own.current = null;
      own.once = false;
    };
  }, [again]);
  return { ...(state.address === address ? state : unanswered), again };
}

const unanswered = { address: null, value: null, text: "", problem: null, loading: true };
