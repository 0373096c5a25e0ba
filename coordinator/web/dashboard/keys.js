/** The keyboard: who wants which key now. The last part that came is asked first. */
import { useLayoutEffect, useRef } from "./dom.js";

const wanted = [];

/** @typedef {Record<string, {does: (event: KeyboardEvent) => void, says: string}>} Keys */

/** Keys that work while the calling part is shown: useKeys({r: {says: "pause", does: …}}). */
export function useKeys(/** @type {Keys} */ keys) {
  const current = useRef(keys);
  current.current = keys;
  useLayoutEffect(() => { // at once: what is on the screen can be used
    wanted.push(current);
    return () => wanted.splice(wanted.indexOf(current), 1);
  }, []);
}

/** What may be pressed now, for people. */
export function described() {
  const all = new Map();
  for (const part of wanted) for (const [key, { says }] of Object.entries(part.current)) if (says) all.set(key, says);
  return [...all];
}

function typing(target) {
  return target.closest?.("input, textarea, select, [contenteditable]") != null;
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  for (const part of [...wanted].reverse()) {
    const found = part.current[event.key];
    if (found) {
      event.preventDefault();
      found.does(event);
      return;
    }
  }
});
