/** State that several parts share: a value, who listens to it, and, if it has a name, the browser's own storage. */
import { useEffect, useState } from "./dom.js";

/**
 * @template T
 * @param {T} first
 * @param {string} [kept] under which name the browser keeps it; without one it is forgotten with the page
 */
export function store(first, kept) {
  const listeners = new Set();
  let value = kept ? remembered(kept, first) : first;
  return {
    get: () => value,
    /** @param {T | ((before: T) => T)} next */
    set(next) {
      const after = typeof next === "function" ? next(value) : next;
      if (Object.is(after, value)) return;
      value = after;
      if (kept) remember(kept, value);
      for (const listener of [...listeners]) listener(value);
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The value of a store, and the part is drawn anew whenever it changes. */
export function useStore(from) {
  const [value, set] = useState(from.get());
  useEffect(() => {
    set(() => from.get());
    return from.listen((next) => set(() => next));
  }, [from]);
  return value;
}

export function remembered(name, otherwise) {
  try {
    const text = localStorage.getItem(`amends.${name}`);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise; // storage is shut, or holds what another release wrote
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`amends.${name}`, JSON.stringify(value));
  } catch {
    // storage is shut or full; it lasts as long as the page, then
  }
}
