/** Everything that happened to a saga, as it was written down: to be searched, and read to the last fact. */
import { html, useCallback, useEffect, useRef, useState } from "../dom.js";
import { get } from "../api.js";
import { partAt } from "../json.js";
import { many } from "../parts/count.js";
import { Empty, Loading, Trouble } from "../parts/notice.js";
import { Json } from "../parts/payload.js";
import { Moment } from "../parts/time.js";

const pageSize = 200;

/** @param {{id: string, revision: number}} given `revision`: of the saga, so that what is new is read */
export function History({ id, revision }) {
  const [state, set] = useState({ entries: null, more: false, problem: null });
  const [text, setText] = useState("");
  const reading = useRef(false);
  const last = useRef(-1);
  const read = useCallback(async () => {
    if (reading.current) return;
    reading.current = true;
    try {
      const answer = await get(`v1/sagas/${id}/history`, { query: { after: last.current, limit: pageSize } });
      const found = answer.value.items.map((entry, at) => ({ ...entry, text: () => partAt(answer.text, ["items", at, "facts"]) ?? "{}" }));
      last.current = found.at(-1)?.seq ?? last.current;
      set((before) => ({ entries: [...(before.entries ?? []), ...found], more: answer.value.next !== null, problem: null }));
    } catch (problem) {
      set((before) => ({ ...before, problem }));
    } finally {
      reading.current = false;
    }
  }, [id]);
  useEffect(() => {
    if (last.current < 0 || (!state.more && revision > last.current)) read();
  }, [read, revision, state.more]);
  const { entries, more, problem } = state;
  const wanted = text.trim().toLowerCase();
  const shown = entries?.filter((entry) => !wanted || said(entry).includes(wanted)) ?? [];
  return html`
    <div class="history-head">
      <input type="search" class="box" value=${text} placeholder="Filter: a step, an event, a word" aria-label="Filter the history" onInput=${(event) => setText(event.target.value)} />
      ${entries && html`<span class="hint">${wanted ? `${shown.length} of ${many(entries.length, "entry", "entries")}` : many(entries.length, "entry", "entries")}${more ? ", more to be read" : ""}</span>`}
    </div>
    ${problem && html`<${Trouble} problem=${problem} again=${read} />`}
    ${entries === null && !problem && html`<${Loading} />`}
    ${entries !== null && shown.length === 0 && html`<${Empty} title="No entry says that." icon="search">Every word of the entry's event, notes and facts counts.<//>`}
    ${shown.length > 0 && html`<ol class="history">${shown.map((entry) => html`<${Entry} key=${entry.seq} entry=${entry} />`)}</ol>`}
    ${more && html`<button type="button" class="button small" onClick=${read}>Read ${pageSize} more</button>`}`;
}

/** What an entry says, in small letters; found once. */
function said(entry) {
  entry.said ??= `${entry.seq} ${entry.event} ${entry.notes.join(" ")} ${JSON.stringify(entry.facts)}`.toLowerCase();
  return entry.said;
}

function Entry({ entry }) {
  const [open, setOpen] = useState(false);
  const subject = entry.facts.command?.step ?? entry.facts.step ?? "";
  const by = entry.facts.by;
  return html`<li class="entry">
    <span class="entry-seq number">${entry.seq}</span>
    <span class="entry-at"><${Moment} at=${entry.at} /></span>
    <div>
      <p><strong>${entry.event.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase()}</strong>${subject && html` <span class="mono">${subject}</span>`}
        ${entry.facts.answer && html` ${entry.facts.answer}`}${by && html` by <bdi>${by}</bdi>`}${entry.facts.reason && html`: <bdi>${entry.facts.reason}</bdi>`}</p>
      ${entry.notes.length > 0 && html`<ul class="notes">${entry.notes.map((note) => html`<li><bdi>${note}</bdi></li>`)}</ul>`}
      <details onToggle=${(event) => event.target === event.currentTarget && setOpen(event.currentTarget.open)}><summary class="hint">facts</summary>${open && html`<${Json} text=${entry.text()} />`}</details>
    </div>
  </li>`;
}
