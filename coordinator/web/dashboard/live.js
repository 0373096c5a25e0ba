/**
 * What happens, as it happens: server-sent events, one connection per address however many parts listen. Nothing is
 * heard while the tab is hidden or somebody has paused the page; whoever comes back, or lost the connection, is told to
 * begin anew ("reset"), and the same is told again and again while no connection can be had, so that pages go on by
 * asking.
 */
import { useEffect, useRef } from "./dom.js";
import { at } from "./api.js";
import { store } from "./store.js";

const retryMillisecondsMin = 2_000;
const retryMillisecondsMax = 15_000;

/** Whether the person paused the page. */
export const paused = store(false);

/** How the connections are: "idle", "connecting", "live", "lost". */
export const connection = store("idle");

/** Everything that moves: sagas, and what has begun anew. */
export const sagaEvents = "v1/events";
export const incidentEvents = "v1/incidents/events";

const kinds = ["saga", "incident", "report", "remedy", "reset"];
const streams = new Map();

class Stream {
  constructor(path) {
    this.path = path;
    this.listeners = new Set();
    this.source = null;
    this.timer = null;
    this.wait = retryMillisecondsMin;
    this.state = "idle";
    this.missed = false; // something may have happened that nobody here heard
  }

  /** Listen, or don't, by what is wanted now. */
  settle() {
    const wanted = this.listeners.size > 0 && !paused.get() && !document.hidden;
    if (wanted && !this.source && !this.timer) this.open();
    if (!wanted) this.shut();
  }

  open() {
    this.is("connecting");
    const source = (this.source = new EventSource(at(this.path)));
    source.onopen = () => {
      this.wait = retryMillisecondsMin;
      this.is("live");
      if (this.missed) this.tell({ kind: "reset", data: {} });
      this.missed = false;
    };
    source.onerror = () => {
      this.missed = true;
      this.is("lost");
      if (source.readyState !== EventSource.CLOSED) return; // the browser itself tries again
      this.source = null;
      this.tell({ kind: "reset", data: {} });
      this.timer = setTimeout(() => {
        this.timer = null;
        this.settle();
      }, this.wait);
      this.wait = Math.min(2 * this.wait, retryMillisecondsMax);
    };
    for (const kind of kinds) {
      source.addEventListener(kind, (event) => {
        let data = {};
        try {
          data = JSON.parse(event.data);
        } catch {
          kind = "reset"; // what can't be read may have been anything
        }
        this.tell({ kind, data });
      });
    }
  }

  shut() {
    if (this.source || this.timer) this.missed = true;
    this.source?.close();
    clearTimeout(this.timer);
    this.source = this.timer = null;
    this.is("idle");
  }

  tell(event) {
    for (const listener of [...this.listeners]) listener(event);
  }

  is(state) {
    this.state = state;
    const states = [...streams.values()].map((stream) => stream.state);
    connection.set(["lost", "connecting", "live"].find((one) => states.includes(one)) ?? "idle");
  }
}

const settleAll = () => streams.forEach((stream) => stream.settle());
paused.listen(settleAll);
document.addEventListener("visibilitychange", settleAll);

/** Hear the events of an address while the calling part is shown. */
export function useEvents(path, listener) {
  const current = useRef(listener);
  current.current = listener;
  useEffect(() => {
    if (!path) return undefined;
    if (!streams.has(path)) streams.set(path, new Stream(path));
    const stream = streams.get(path);
    const hear = (event) => current.current(event);
    stream.listeners.add(hear);
    stream.settle();
    return () => {
      stream.listeners.delete(hear);
      stream.settle();
    };
  }, [path]);
}

/**
 * Do something soon after each event that matters, and not more often than every `milliseconds`.
 * @param {string} path
 * @param {(event: {kind: string, data: any}) => boolean} matters
 * @param {() => any} does
 */
export function useLive(path, matters, does, milliseconds = 700) {
  const state = useRef({ timer: null, last: 0, does });
  state.current.does = does;
  useEvents(path, (event) => {
    if (event.kind !== "reset" && !matters(event)) return;
    const own = state.current;
    if (own.timer) return;
    own.timer = setTimeout(() => {
      own.timer = null;
      own.last = Date.now();
      own.does();
    }, Math.max(50, own.last + milliseconds - Date.now()));
  });
  useEffect(() => () => clearTimeout(state.current.timer), []);
}

/** Do something again and again while the calling part is shown, the tab is looked at and nobody has paused the page. */
export function useEvery(milliseconds, does) {
  const current = useRef(does);
  current.current = does;
  useEffect(() => {
    const timer = setInterval(() => document.hidden || paused.get() || current.current(), milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
}
