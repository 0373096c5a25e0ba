/** The sagas: found by filters that stay in the address, followed as they move, and asked for something together. */
import { html, useEffect, useLayoutEffect, useState } from "../dom.js";
import { get, useAnswer } from "../api.js";
import { sagaEvents, useLive } from "../live.js";
import { useOverview } from "../overview.js";
import { countText, many } from "../parts/count.js";
import { Choices, Filters } from "../parts/filters.js";
import { Pager, Waiting, useLiveList } from "../parts/live-list.js";
import { Empty, Loading, Trouble } from "../parts/notice.js";
import { Page } from "../parts/page.js";
import { SagaStatus, sagaStatuses, waitText } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Ago, Duration } from "../parts/time.js";
import { Link, href, useQuery } from "../router.js";
import { Allowed, useMay } from "../session.js";
import { Bulk, BulkList } from "./sagas-bulk.js";
import { asked, filtersOf } from "./sagas-filters.js";

const pageSize = 50;

const columns = [
  { name: "status", label: "Status", kind: "tight", phone: "lead", cell: (saga) => html`<${SagaStatus} status=${saga.status} />` },
  { name: "id", label: "Saga", kind: "mono", link: true, cell: (saga) => saga.id },
  { name: "key", label: "Business key", kind: "name", cell: (saga) => saga.business_key ?? "" },
  { name: "definition", label: "Definition", kind: "name", cell: (saga) => html`${saga.definition} <small>v${saga.version}</small>` },
  { name: "why", label: "What happened, or is awaited", kind: "wide", cell: why },
  { name: "took", label: "Took", kind: "number", phone: "hide", cell: (saga) => html`<${Duration} seconds=${took(saga)} />` },
  { name: "updated", label: "Last event", kind: "number", cell: (saga) => html`<${Ago} at=${saga.updated_at} />` },
];

function took(saga) {
  return saga.finished_at ? (Date.parse(saga.finished_at) - Date.parse(saga.created_at)) / 1000 : null;
}

function why(saga) {
  const parts = [];
  const step = saga.cause?.step ?? saga.failed_step;
  const told = saga.cause?.message ?? "";
  if (step) parts.push(html`<span><span class="at-step">${step}</span> ${told || "failed"}</span>`);
  else if (told) parts.push(html`<span>${told}</span>`);
  if (!saga.finished_at && saga.waiting_on) parts.push(html`<span class="waits">waits for ${waitText(saga.waiting_on, saga.waiting_for)}</span>`);
  return parts.length > 0 ? html`<span class="why">${parts}</span>` : null;
}

export function Sagas() {
  const [query, change] = useQuery();
  const filter = asked(query);
  const [chosen, setChosen] = useState(new Set());
  const [all, setAll] = useState(false); // not only those that are chosen: whatever matches
  const mine = useMay("operator");
  const key = (saga) => saga.id;
  const list = useLiveList("v1/sagas", { ...filter, limit: pageSize, cursor: query.cursor }, {
    keyOf: key, events: sagaEvents, kind: "saga", held: chosen.size > 0,
  });
  const total = useTotal(filter);
  const filterText = JSON.stringify(filter);
  useLayoutEffect(() => { // before anybody can have chosen
    setChosen(new Set());
    setAll(false);
  }, [filterText]);
  const choose = (keys, on) => {
    setAll(false);
    setChosen((before) => {
      const after = new Set(before);
      for (const one of keys) if (on) after.add(one); else after.delete(one);
      return after;
    });
  };
  const narrow = (parts) => change({ ...parts, cursor: null });
  const clear = () => (setChosen(new Set()), setAll(false));
  return html`<${Page} title="Sagas" mark=${total && html`<span class="page-count">${many(total, "saga")}${Object.keys(filter).length > 0 ? " match" : ""}</span>`}>
    <${SagaFilters} query=${query} change=${narrow} />
    <${BulkList} />
    ${chosen.size > 0
      ? html`<${Bulk} chosen=${chosen} query=${query} total=${total} all=${all} setAll=${setAll} clear=${clear} />`
      : html`<${Waiting} list=${list} />`}
    ${list.problem && html`<${Trouble} problem=${list.problem} again=${list.again} />`}
    ${list.rows === null && !list.problem && html`<${Loading} what="Reading the sagas…" />`}
    ${list.rows?.length === 0 && html`<${Nothing} filtered=${Object.keys(filter).length > 0} clear=${() => change(Object.fromEntries(Object.keys(query).map((name) => [name, null])))} />`}
    ${list.rows?.length > 0 && html`
      <${Table} label="Sagas" columns=${columns} rows=${list.rows} keyOf=${key} address=${(saga) => href(`sagas/${saga.id}`)}
        tone=${(saga) => saga.status === "blocked" && "bad"} chosen=${chosen} choose=${mine ? choose : undefined} onPointer=${list.onPointer} />
      <${Pager} next=${list.next} cursor=${query.cursor} change=${(cursor) => (change({ cursor }), scrollTo(0, 0))} loading=${list.loading} />`}
  <//>`;
}

/** How many match: asked less often than the page itself, because it is counted. */
function useTotal(filter) {
  const answer = useAnswer("v1/sagas", { ...filter, limit: 1, count: true });
  useLive(sagaEvents, () => true, answer.again, 4_000);
  return answer.value?.total ?? null;
}

function SagaFilters({ query, change }) {
  const { value: overview } = useOverview();
  const [known, setKnown] = useState({ definitions: [], participants: [] });
  useEffect(() => {
    const items = (answer) => answer.value.items.map((item) => item.name);
    const none = () => [];
    Promise.all([
      get("v1/definitions", { query: { limit: 200 } }).then(items, none),
      get("v1/participants").then(items, none),
    ]).then(([definitions, participants]) => setKnown({ definitions, participants }));
  }, []);
  const others = Object.keys(asked(query)).some((name) => name !== "status");
  const options = Object.entries(sagaStatuses).map(([value, { icon, tone, says }]) => {
    const count = others ? null : overview?.sagas[value]; // counted over all sagas: with other filters it would mislead
    return { value, icon, tone, says, count: count?.count ? countText(count) : null };
  });
  return html`<${Choices} label="Status" name="status" options=${options} query=${query} change=${change} />
    <${Filters} filters=${filtersOf(known.definitions, known.participants)} query=${query} change=${change} />`;
}

function Nothing({ filtered, clear }) {
  if (filtered) {
    return html`<${Empty} title="No saga matches." icon="search">
      <p>Every filter has to be met. <button class="quiet-button" onClick=${clear}>Take all filters away</button></p><//>`;
  }
  const command = `curl -X POST ${new URL("v1/sagas", document.baseURI)} \\\n     -H 'Content-Type: application/json' \\\n     -d '{"definition": "place_order", "input": {"sku": "lamp", "total": 30}}'`;
  return html`<${Empty} title="No saga has been started yet." icon="run">
    <${Allowed}><p>A definition's page has a form to start one: <${Link} to="definitions">definitions<//>. Or from a shell:</p>
    <pre>${command}</pre><//><//>`;
}
