/**
 * Lists that change while one looks at them. What is known of a row is shown at once; rows come and go only while nobody
 * points at them. Until then they wait, and a small button says how many.
 */
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { useAnswer } from "../api.js";
import { useEvents, useLive } from "../live.js";

const patchesMax = 500;
const scrolledPixels = 160;

/**
 * @param {string} path of a route that answers {items, next}
 * @param {object} query
 * @param {{keyOf: (row: any) => string, events?: string, kind?: string, held?: boolean, milliseconds?: number}} options
 *   `kind`: of the events that tell of a row; `held`: nothing may move now (rows are chosen, say)
 */
export function useLiveList(path, query, { keyOf, events = null, kind = "", held = false, milliseconds = 800 }) {
  const answer = useAnswer(path, query);
  const [pointer, setPointer] = useState({ hovers: false, focused: false });
  const pointed = pointer.hovers || pointer.focused;
  const [shown, setShown] = useState(null); // {rows, of: the answer's address}
  const patches = useRef(new Map());
  const [, drawAgain] = useState(0);

  useLive(events, (event) => event.kind === kind, answer.again, milliseconds);
  useEvents(events, (event) => {
    if (event.kind !== kind) return;
    const own = patches.current;
    own.delete(keyOf(event.data));
    own.set(keyOf(event.data), event.data);
    if (own.size > patchesMax) own.delete(own.keys().next().value);
    if (shown?.rows.some((row) => keyOf(row) === keyOf(event.data))) drawAgain((count) => count + 1);
  });

  const items = answer.value?.items ?? null;
  useEffect(() => {
    if (items === null) return;
    const still = shown !== null && shown.of === answer.address && (pointed || held || scrollY > scrolledPixels);
    if (!still) setShown({ rows: items, of: answer.address });
  }, [items, pointed, held]);

  const rows = useMemo(() => {
    if (items === null) return null;
    const newest = new Map(items.map((row) => [keyOf(row), row]));
    const mine = shown?.of === answer.address ? shown.rows : items;
    return mine.map((row) => newest.get(keyOf(row)) ?? row);
  }, [items, shown]);
  const waiting = rows === null ? 0 : items.filter((row) => !rows.some((one) => keyOf(one) === keyOf(row))).length;

  return {
    ...answer,
    rows: rows?.map((row) => patched(row, patches.current.get(keyOf(row)))) ?? null,
    next: answer.value?.next ?? null,
    waiting,
    take: () => {
      setShown({ rows: items, of: answer.address });
      scrollTo({ top: 0 });
    },
    onPointer: (where) => setPointer((before) => ({ ...before, ...where })),
  };
}

function patched(row, patch) {
  if (!patch || (patch.revision ?? 0) <= (row.revision ?? 0)) return row;
  const told = Object.entries(patch).filter(([name]) => name in row);
  return { ...row, ...Object.fromEntries(told) };
}

/** "3 new", for rows that wait to be let in. */
export function Waiting({ list, what = "new" }) {
  return html`<div class="waiting" role="status">
    ${list.waiting > 0 && html`<button class="waiting-button" onClick=${list.take}>${list.waiting} ${what}</button>`}
  </div>`;
}

/** The way through the pages of a list: the next is where the answer says, the first is where it began. */
export function Pager({ next, cursor, change, loading }) {
  const after = next ? new URLSearchParams(next.split("?")[1]).get("cursor") : null;
  if (!after && !cursor) return null;
  return html`<nav class="pager" aria-label="Pages of the list" aria-busy=${loading}>
    <button class="button small" disabled=${!cursor} onClick=${() => change(null)}>Newest</button>
    <button class="button small" disabled=${!after} onClick=${() => change(after)}>Older</button>
  </nav>`;
}
