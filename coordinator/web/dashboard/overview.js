/** How the whole stands, read once for all who show it: the overview, the counts beside the pages, what is paused. */
import { useEffect } from "./dom.js";
import { get } from "./api.js";
import { paused, sagaEvents, useLive } from "./live.js";
import { store, useStore } from "./store.js";

const everyMilliseconds = 10_000;
const soonMilliseconds = 1_500;

/** After how many seconds without an event a saga counts as stuck. Kept in this browser. */
export const stuckSeconds = store(300, "stuck-seconds");

const overview = store({ value: null, problem: null });
let asking = false;
let once = false;

/** Read it anew; once more afterwards, if it is being read already. */
export async function lookAgain() {
  if (asking) {
    once = true;
    return;
  }
  asking = true;
  do {
    once = false;
    try {
      const { value } = await get("v1/overview", { query: { stuck_for_seconds: stuckSeconds.get() } });
      overview.set({ value, problem: null });
    } catch (problem) {
      overview.set((before) => ({ ...before, problem }));
    }
  } while (once);
  asking = false;
}

stuckSeconds.listen(lookAgain);

/** Once, in the frame of all pages: keeps it fresh. */
export function useFreshOverview() {
  useLive(sagaEvents, () => true, lookAgain, soonMilliseconds);
  useEffect(() => {
    lookAgain();
    const timer = setInterval(() => {
      if (!document.hidden && !paused.get()) lookAgain();
    }, everyMilliseconds);
    return () => clearInterval(timer);
  }, []);
}

/** How it stands: {value, problem}; value null while nothing was read. */
export const useOverview = () => useStore(overview);
