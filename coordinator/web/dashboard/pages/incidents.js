/** Incidents: failures that share a cause, the newest first, with what is said of it. */
import { html, useMemo } from "../dom.js";
import { incidentEvents } from "../live.js";
import { useOverview } from "../overview.js";
import { countText } from "../parts/count.js";
import { Culprit, percent, wordOf } from "../parts/diagnosis.js";
import { Choices, Filters } from "../parts/filters.js";
import { Pager, Waiting, useLiveList } from "../parts/live-list.js";
import { Empty, Loading, Trouble } from "../parts/notice.js";
import { Page } from "../parts/page.js";
import { Badge } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Ago } from "../parts/time.js";
import { href, useQuery } from "../router.js";

const pageSize = 50;

export const incidentStatuses = {
  open: { icon: "alert", tone: "bad", says: "failures still belong to it" },
  closed: { icon: "check", tone: "quiet", says: "nothing new came for a while, or a person resolved it" },
  merged: { icon: "link", tone: "quiet", says: "it turned out to be part of another" },
};

export const faultClasses = [
  "downstream_timeout", "downstream_unavailable", "rate_limited", "credential_failure", "business_rejection", "data_conflict", "poison_payload",
  "upstream_bad_output", "bad_deploy", "worker_lost", "worker_backlog", "broker_outage", "lock_contention", "resource_exhaustion", "misconfiguration", "unknown",
].map((value) => ({ value, label: wordOf(value) }));

const filters = [
  { name: "cls", label: "cause", kind: "choice", options: faultClasses },
  { name: "participant", label: "participant", hint: "payment" },
  { name: "definition", label: "definition", hint: "place_order" },
  { name: "step", label: "step", hint: "charge-card" },
];
const names = ["status", ...filters.map((filter) => filter.name)];

export function IncidentStatus({ status }) {
  const { icon, tone, says } = incidentStatuses[status] ?? { icon: "ring", tone: "quiet", says: "" };
  return html`<${Badge} icon=${icon} tone=${tone} title=${says}>${status}<//>`;
}

/** "dependency card-provider" as a thing with a kind. */
export function entityOf(text) {
  const [kind, ...name] = text.split(" ");
  return { kind, name: name.join(" ") };
}

const columns = [
  { name: "status", label: "Status", kind: "tight", phone: "lead", cell: (one) => html`<${IncidentStatus} status=${one.status} />` },
  { name: "headline", label: "What is wrong", kind: "wide", link: true, cell: (one) => html`<bdi>${one.headline || "Not analysed yet"}</bdi>` },
  { name: "cause", label: "Cause", cell: (one) => one.cls && html`${wordOf(one.cls)}${one.culprit && html` <small>${wordOf(entityOf(one.culprit).kind)} <bdi>${entityOf(one.culprit).name}</bdi></small>`}` },
  { name: "sure", label: "Sure", kind: "number", cell: (one) => (one.confidence === null || one.cls === "unknown" ? "" : percent(one.confidence)) },
  { name: "failures", label: "Failures", kind: "number", cell: (one) => countText(one.failures) },
  { name: "since", label: "Since", kind: "number", cell: (one) => html`<${Ago} at=${one.first_at} />` },
  { name: "last", label: "Last failure", kind: "number", cell: (one) => html`<${Ago} at=${one.last_at} />` },
];

export function Incidents() {
  const [query, change] = useQuery();
  const { value: overview } = useOverview();
  const asked = useMemo(() => Object.fromEntries(names.filter((name) => query[name]).map((name) => [name, query[name]])), [query]);
  const filtered = Object.keys(asked).length > 0;
  const list = useLiveList("v1/incidents", { ...asked, limit: pageSize, cursor: query.cursor }, {
    keyOf: (one) => one.id, events: incidentEvents, kind: "incident",
  });
  const narrow = (parts) => change({ ...parts, cursor: null });
  const only = (parts) => narrow({ ...parts, status: newest(parts.status, query.status) });
  const off = overview !== null && overview.incidents === null;
  const options = Object.entries(incidentStatuses).map(([value, { icon, tone, says }]) => ({ value, icon, tone, says }));
  return html`<${Page} title="Incidents" says="Failures that share a cause: what is wrong, how sure that is, and what to do.">
    ${off ? html`<${Empty} title="Nothing is explained here." icon="alert"><p>Diagnosis is switched off. <code>AMENDS_DIAGNOSIS=true</code> switches it on.</p><//>` : html`
      <${Choices} label="Status" name="status" options=${options} query=${query} change=${only} />
      <${Filters} filters=${filters} query=${query} change=${narrow} />
      <${Waiting} list=${list} />
      ${list.problem && html`<${Trouble} problem=${list.problem} again=${list.again} />`}
      ${list.rows === null && !list.problem && html`<${Loading} what="Reading the incidents…" />`}
      ${list.rows?.length === 0 && (filtered
        ? html`<${Empty} title="No incident matches." icon="search"><button type="button" class="quiet-button" onClick=${() => narrow(Object.fromEntries(names.map((name) => [name, null])))}>Take all filters away</button><//>`
        : html`<${Empty} title="Nothing has gone wrong." icon="check">When sagas fail for the same reason, they are gathered here, with what the reason is.<//>`)}
      ${list.rows?.length > 0 && html`<${Table} label="Incidents" columns=${columns} rows=${list.rows} keyOf=${(one) => one.id} address=${(one) => href(`incidents/${one.id}`)}
        tone=${(one) => (one.status === "open" ? "bad" : "quiet")} onPointer=${list.onPointer} />
        <${Pager} next=${list.next} cursor=${query.cursor} change=${(cursor) => (change({ cursor }), scrollTo(0, 0))} loading=${list.loading} />`}`}
  <//>`;
}

/** The API takes one status: that which was chosen last. */
function newest(after, before) {
  return (after ?? "").split(",").find((status) => status && status !== before) ?? null;
}
