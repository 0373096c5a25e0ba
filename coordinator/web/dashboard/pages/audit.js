/** Who asked for what, and what came of it: every request that was to change something, the newest first. */
import { html } from "../dom.js";
import { useEvery } from "../live.js";
import { Filters } from "../parts/filters.js";
import { Pager, Waiting, useLiveList } from "../parts/live-list.js";
import { Empty, Loading, Trouble } from "../parts/notice.js";
import { Page } from "../parts/page.js";
import { Badge } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Ago } from "../parts/time.js";
import { href, useQuery } from "../router.js";

const againMilliseconds = 3_000;
const pageSize = 50;
const names = ["who", "action", "under", "since", "until"];

/** What came of it, in a word. */
export function Outcome({ of }) {
  if (of.status < 400) return html`<${Badge} icon="check" tone="good" title=${`status ${of.status}`}>done<//>`;
  const slug = of.problem?.split(":")[0] ?? String(of.status);
  return html`<${Badge} icon="cross" tone=${of.status >= 500 ? "bad" : "warn"} title=${of.problem ?? `status ${of.status}`}>${slug.replaceAll("-", " ")}<//>`;
}

const lists = new Set(["bulk", "subscriptions"]);

/** "POST /v1/sagas/{saga_id}/cancel" in words: "sagas: cancel". */
export function actionText(action) {
  const [method, path = ""] = action.split(" ");
  const parts = path.replace(/^\/v1\//, "").split("/");
  const last = parts.at(-1);
  const verb = last.startsWith("{") || parts.length === 1 || lists.has(last) ? { POST: "create", PUT: "change", DELETE: "end" }[method] ?? method : last;
  const nouns = parts.filter((part) => !part.startsWith("{") && part !== verb).map((part) => part.replaceAll("-", " "));
  return `${nouns.join(", ")}: ${verb}`;
}

const columns = [
  { name: "at", label: "When", kind: "number", phone: "lead", cell: (one) => html`<${Ago} at=${one.at} />` },
  { name: "who", label: "Who", kind: "name", cell: (one) => html`<bdi>${one.who}</bdi>${one.on_behalf_of && html` <small>for <bdi>${one.on_behalf_of}</bdi></small>`}` },
  { name: "what", label: "What", kind: "tight", link: true, cell: (one) => html`<span title=${one.action}>${actionText(one.action)}</span>` },
  { name: "target", label: "Subject", kind: "wide", cell: (one) => html`<bdi class="mono">${one.target}</bdi>` },
  { name: "outcome", label: "Came of it", kind: "tight", cell: (one) => html`<${Outcome} of=${one} />` },
  { name: "why", label: "Why", kind: "wide", cell: (one) => one.why && html`<bdi>${one.why}</bdi>` },
];

export function Audit() {
  const [query, change] = useQuery();
  const filter = Object.fromEntries(names.map((name) => [name, query[name]]));
  const list = useLiveList("v1/audit", { ...filter, limit: pageSize, cursor: query.cursor }, { keyOf: (one) => one.id });
  useEvery(againMilliseconds, list.again);
  const narrow = (parts) => change({ ...parts, cursor: null });
  const seen = (name) => [...new Set((list.rows ?? []).map((one) => one[name]))].sort();
  const filters = [
    { name: "who", label: "who", options: seen("who"), hint: "the name at the door" },
    { name: "action", label: "action", options: seen("action"), shows: actionText, hint: "POST /v1/sagas/{saga_id}/cancel" },
    { name: "under", label: "subject", options: seen("target"), hint: "/v1/sagas/…" },
    { name: "since", label: "since", kind: "time" },
    { name: "until", label: "until", kind: "time" },
  ];
  const filtered = names.some((name) => query[name]);
  const clear = () => narrow(Object.fromEntries(names.map((name) => [name, null])));
  return html`<${Page} title="Audit" says="Each request that was to change something: who, why, and how it stood before and after.">
    <${Filters} filters=${filters} query=${query} change=${narrow} />
    <${Waiting} list=${list} />
    ${list.problem && html`<${Trouble} problem=${list.problem} again=${list.again} />`}
    ${list.rows === null && !list.problem && html`<${Loading} what="Reading the audit…" />`}
    ${list.rows?.length === 0 && (filtered
      ? html`<${Empty} title="No entry matches." icon="search"><p>Every filter has to be met, to the letter; a subject also by what its path goes on to. <button type="button" class="quiet-button" onClick=${clear}>Take the filters away</button></p><//>`
      : html`<${Empty} title="Nobody has changed anything yet." icon="ring"><p>A start, a verb, a pause, a key: whatever somebody asks for is here, done or refused, for as long as it is kept.</p><//>`)}
    ${list.rows?.length > 0 && html`
      <${Table} label="Audit" columns=${columns} rows=${list.rows} keyOf=${(one) => one.id} address=${(one) => href(`audit/${one.id}`)}
        tone=${(one) => one.status >= 400 && "warn"} onPointer=${list.onPointer} />
      <${Pager} next=${list.next} cursor=${query.cursor} change=${(cursor) => change({ cursor })} loading=${list.loading} />`}
  <//>`;
}
