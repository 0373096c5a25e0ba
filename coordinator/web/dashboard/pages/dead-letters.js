/**
 * The dead letters: what nobody could read or carry out. Those with one reason, of one participant, are one group, since
 * what helps one of them helps them all; a letter, a choice of them or a whole group is sent again or discarded.
 */
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { get } from "../api.js";
import { useEvery } from "../live.js";
import { useOverview } from "../overview.js";
import { countText, many } from "../parts/count.js";
import { Filters } from "../parts/filters.js";
import { Icon } from "../parts/icons.js";
import { Empty, Loading, Trouble } from "../parts/notice.js";
import { OneOf } from "../parts/one-of.js";
import { Page, Section } from "../parts/page.js";
import { Badge } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Ago } from "../parts/time.js";
import { Link, href, useQuery } from "../router.js";
import { Allowed, useMay } from "../session.js";
import { Doing, discardAll, redriveAll } from "./dead-letters-many.js";

const pageSize = 200;
const lettersMax = 1_000; // more are read once these are dealt with
const shownFirst = 50;
const againMilliseconds = 3_000; // after what went wrong

const filters = [
  { name: "participant", label: "participant" },
  { name: "source", label: "came from", hint: "replies.payment" },
  { name: "saga_id", label: "saga", hint: "its whole id" },
];

export const states = {
  open: { icon: "cross", tone: "bad", label: "open", says: "nobody has seen to it" },
  redriven: { icon: "send", tone: "good", label: "sent again" },
  discarded: { icon: "closed", tone: "quiet", label: "discarded" },
};

export function LetterState({ letter }) {
  const { icon, tone, label, says } = states[letter.status] ?? { icon: "ring", tone: "quiet", label: letter.status };
  return html`<${Badge} icon=${icon} tone=${tone} title=${says}>${label}<//>`;
}

export function DeadLetters() {
  const [query, change] = useQuery();
  const status = query.status ?? "open";
  const [chosen, setChosen] = useState(new Set());
  const letters = useLetters({ status, participant: query.participant, source: query.source, saga_id: query.saga_id }, chosen.size > 0);
  const groups = useMemo(() => grouped(letters.items ?? []), [letters.items]);
  const group = groups.find((one) => one.key === query.group) ?? null;
  useEffect(() => setChosen(new Set()), [status, query.group, query.participant, query.source, query.saga_id]);
  const { value: overview } = useOverview();
  const open = overview?.dead_letters.open;
  const options = Object.entries(states).map(([value, { label, says }]) => ({
    value, label, says, count: value === "open" && open?.count ? countText(open) : null,
  }));
  const choose = (keys, on) => setChosen((before) => {
    const after = new Set(before);
    for (const key of keys) if (on) after.add(key); else after.delete(key);
    return after;
  });
  const done = () => {
    setChosen(new Set());
    letters.again();
  };
  const mine = useMay("operator");
  const rows = group ? group.letters : (letters.items ?? []);
  const filtered = query.participant || query.source || query.saga_id;
  return html`<${Page} title="Dead letters" says="Messages that nobody could read, or carry out. Nothing is lost: each is kept until a person has seen to it.">
    <${OneOf} label="What became of them" options=${options} value=${status} change=${(value) => change({ status: value === "open" ? null : value, group: null })} />
    <${Filters} filters=${filters} query=${query} change=${(parts) => change({ ...parts, group: null })} />
    <${Doing} />
    ${letters.problem && html`<${Trouble} problem=${letters.problem} again=${letters.again} />`}
    ${letters.items === null && !letters.problem && html`<${Loading} what="Reading the letters…" />`}
    ${letters.items?.length === 0 && html`<${Nothing} status=${status} filtered=${filtered} clear=${() => change({ participant: null, source: null, saga_id: null })} />`}
    ${letters.items?.length > 0 && html`
      ${status === "open" && html`<${Groups} groups=${groups} here=${group} change=${change} done=${done} />`}
      <${Section} title=${group ? "Letters of this group" : "Letters"} says=${letters.more ? `the newest ${countText(rows.length)}; older ones come when these are dealt with` : many(rows.length, "letter")}
          verbs=${group && html`<button class="quiet-button" onClick=${() => change({ group: null })}>Show all groups</button>`}>
        ${chosen.size > 0 && html`<${Chosen} letters=${rows.filter((one) => chosen.has(one.id))} clear=${() => setChosen(new Set())} done=${done} />`}
        <${List} key=${`${status} ${query.group}`} rows=${rows} status=${status} chosen=${chosen} choose=${status === "open" && mine ? choose : undefined} onPointer=${letters.onPointer} />
      <//>`}
  <//>`;
}

/** All letters that match, up to a bound; read anew when their number changes, but not under the pointer. */
function useLetters(filter, held) {
  const [state, set] = useState({ items: null, more: false, problem: null, of: "" });
  const [pointer, setPointer] = useState({});
  const { value: overview } = useOverview();
  const address = JSON.stringify(filter);
  const current = useRef(address);
  current.current = address;
  const again = async () => {
    const items = [];
    try {
      let cursor = null;
      do {
        const { value } = await get("v1/dead-letters", { query: { ...filter, limit: pageSize, cursor } });
        items.push(...value.items);
        cursor = value.next ? new URLSearchParams(value.next.split("?")[1]).get("cursor") : null;
      } while (cursor && items.length < lettersMax);
      if (current.current === address) set({ items, more: cursor !== null, problem: null, of: address });
    } catch (problem) {
      if (current.current === address) set((before) => ({ ...before, problem }));
    }
  };
  const still = held || pointer.hovers || pointer.focused;
  const mark = overview && `${overview.dead_letters.open.count} ${overview.dead_letters.oldest_at}`;
  const read = useRef("");
  useEffect(() => {
    if (read.current === `${address} ${mark}` || (still && state.of === address)) return;
    read.current = `${address} ${mark}`;
    again();
  }, [address, mark, still]);
  useEvery(againMilliseconds, () => state.problem && again());
  const mine = state.of === address ? state : { ...state, items: null, more: false };
  return { ...mine, again, onPointer: (where) => setPointer((before) => ({ ...before, ...where })) };
}

/** A reason without what is different in each letter: ids, numbers, what was quoted. */
export function reasonOf(text) {
  return text.replace(/[0-9a-f]{8}-[0-9a-f-]{27,}/gi, "…").replace(/\b[0-9a-f]{16,}\b/gi, "…").replace(/\d+/g, "…");
}

function grouped(letters) {
  const found = new Map();
  for (const letter of letters) {
    const key = `${letter.source}|${reasonOf(letter.reason)}`.slice(0, 300);
    if (!found.has(key)) found.set(key, { key, source: letter.source, participant: letter.participant, reason: letter.reason, letters: [] });
    found.get(key).letters.push(letter);
  }
  return [...found.values()].sort((a, b) => b.letters.length - a.letters.length || (a.letters[0].at < b.letters[0].at ? 1 : -1));
}

/** "a reply of payment", "a command to payment". */
export function sourceText({ source, participant }) {
  const lane = source.split(".")[0];
  if (!participant) return lane;
  return lane === "replies" ? `replies of ${participant}` : lane === "commands" ? `commands to ${participant}` : `${lane}, ${participant}`;
}

function Groups({ groups, here, change, done }) {
  return html`<${Section} title="By reason" says=${many(groups.length, "group")}>
    <ul class="groups">${groups.map((group) => html`<li key=${group.key} class=${group === here ? "chosen" : ""}>
      <button type="button" class="group" aria-pressed=${group === here} onClick=${() => change({ group: group === here ? null : group.key }, { replace: true })}>
        <span class="group-count">${countText(group.letters.length)}</span>
        <span class="group-why"><bdi>${group.letters.length > 1 ? reasonOf(group.reason) : group.reason}</bdi>
          <small>${sourceText(group)} · the newest <${Ago} at=${group.letters[0].at} /></small></span>
      </button>
      <${Allowed}><span class="row-verbs">
        <button type="button" class="row-button" onClick=${() => redriveAll(group.letters, done)}>Send again</button>
        <button type="button" class="row-button" onClick=${() => discardAll(group.letters, done)}>Discard</button>
      </span><//>
    </li>`)}</ul>
  <//>`;
}

function Chosen({ letters, clear, done }) {
  return html`<div class="bulk" role="region" aria-label="What is chosen">
    <strong>${many(letters.length, "letter")} chosen</strong>
    <span class="bulk-verbs">
      <button class="button small" onClick=${() => redriveAll(letters, done)}>Send again</button>
      <button class="button small" onClick=${() => discardAll(letters, done)}>Discard</button>
    </span>
    <button class="quiet-button" onClick=${clear}>Leave it</button>
  </div>`;
}

const columns = [
  { name: "reason", label: "Why it is dead", kind: "wide", link: true, phone: "lead", cell: (letter) => html`<bdi>${letter.reason}</bdi>` },
  { name: "source", label: "Among", kind: "tight", cell: sourceText },
  { name: "saga", label: "Saga", kind: "mono", cell: (letter) => letter.saga_id && html`<${Link} to=${`sagas/${letter.saga_id}`} title=${letter.saga_id}>${letter.saga_id.slice(0, 13)}…<//>` },
  { name: "at", label: "Came", kind: "number", cell: (letter) => html`<${Ago} at=${letter.at} />` },
];
const resolved = [
  { name: "state", label: "Became", kind: "tight", cell: (letter) => html`<${LetterState} letter=${letter} />` },
  { name: "by", label: "By", kind: "name", cell: (letter) => letter.resolved_by },
  { name: "why", label: "Because", kind: "wide", cell: (letter) => letter.resolved_why },
];

function List({ rows, status, chosen, choose, onPointer }) {
  const [shown, setShown] = useState(shownFirst);
  return html`
    <${Table} label="Dead letters" columns=${status === "open" ? columns : [...columns, ...resolved]} rows=${rows.slice(0, shown)} keyOf=${(letter) => letter.id}
      address=${(letter) => href(`dead-letters/${letter.id}`)} chosen=${chosen} choose=${choose} onPointer=${onPointer} />
    ${rows.length > shown && html`<p class="pager"><button class="button small" onClick=${() => setShown(shown + 4 * shownFirst)}>${countText(rows.length - shown)} more</button></p>`}`;
}

function Nothing({ status, filtered, clear }) {
  if (filtered) {
    return html`<${Empty} title="No letter matches." icon="search"><p>Every filter has to be met. <button class="quiet-button" onClick=${clear}>Take the filters away</button></p><//>`;
  }
  if (status !== "open") return html`<${Empty} title=${`None was ${states[status]?.label ?? status}.`} icon="ring"><p>What a person does with a letter is kept here.</p><//>`;
  return html`<${Empty} title="No letter is dead." icon="check">
    <p>Everything that came could be read, and had somebody to take it. What can't be is kept here, with the reason; it can
    then be sent again, or discarded. <${Icon} name="check" /> There is nothing to do.</p><//>`;
}
