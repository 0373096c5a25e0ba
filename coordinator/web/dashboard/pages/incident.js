/** An incident: what is wrong, how far it reaches, why, what may be done, and what a person says of the report. */
import { html, useEffect, useState } from "../dom.js";
import { get, post, useAnswer } from "../api.js";
import { incidentEvents, useLive } from "../live.js";
import { copy } from "../parts/copy.js";
import { countText, rateText } from "../parts/count.js";
import { Diagnosis, SurenessOf, wordOf } from "../parts/diagnosis.js";
import { confirm } from "../parts/dialog.js";
import { Answered, Empty, Trouble, say } from "../parts/notice.js";
import { Page, Section } from "../parts/page.js";
import { Remedies } from "../parts/remedies.js";
import { Badge } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Ago, Moment } from "../parts/time.js";
import { Link, href, useQuery } from "../router.js";
import { Allowed, useMay } from "../session.js";
import { IncidentStatus, faultClasses } from "./incidents.js";

const sagasShown = 20;

export function Incident({ id }) {
  const answer = useAnswer(`v1/incidents/${id}`);
  useLive(incidentEvents, (event) => [event.data.id, event.data.incident_id].includes(id), answer.again);
  if (answer.value === null) {
    return html`<${Page} title="Incident">${answer.problem?.status === 404
      ? html`<${Empty} title="There is no such incident." icon="search"><p><code>${id}</code> is not known here. <${Link} to="incidents">All incidents<//></p><//>`
      : html`<${Answered} of=${answer} what="Reading the incident…">${() => null}<//>`}<//>`;
  }
  return html`<${Whole} of=${answer.value} problem=${answer.problem} again=${answer.again} />`;
}

function Whole({ of, problem, again }) {
  const { incident, remedies, kinds, feedback, versions } = of;
  const [query, change] = useQuery();
  const version = versions.includes(Number(query.report)) && Number(query.report) !== versions[0] ? Number(query.report) : null;
  const older = useAnswer(version ? `v1/incidents/${incident.id}/report` : null, version ? { version } : undefined);
  const report = version ? older.value : of.report;
  return html`<${Page} title=${html`<bdi>${incident.headline || "An incident, not analysed yet"}</bdi>`} browser=${incident.headline || "Incident"}
      mark=${html`<${IncidentStatus} status=${incident.status} />`} says=${html`<${Facts} incident=${incident} />`}
      verbs=${html`<${Buttons} incident=${incident} again=${again} />`}>
    ${problem && html`<${Trouble} problem=${problem} again=${again} />`}
    ${incident.merged_into && html`<p class="note">It turned out to be part of <${Link} to=${`incidents/${incident.merged_into}`}>another incident<//>.</p>`}
    ${incident.resolution && html`<p class="note good">Resolved by <bdi>${incident.resolved_by}</bdi> <${Ago} at=${incident.resolved_at} />: <bdi>${incident.resolution}</bdi></p>`}
    <${Reach} incident=${incident} report=${of.report} />
    ${report ? html`<${Section} title="Report" verbs=${versions.length > 1 && html`<${Versions} versions=${versions} version=${version} change=${change} />`}>
        <${Diagnosis} report=${report} here=${{ headline: incident.headline }} remedies=${html`<${Remedies} remedies=${remedies} advice=${report.remedies} done=${again} />`} />
      <//>`
      : version ? html`<${Answered} of=${older}>${() => null}<//>`
      : html`<${Empty} title="It is not analysed yet." icon="wait"><p>That happens by itself within seconds; “Analyse now” does it at once.</p><//>`}
    <${Feedback} incident=${incident} feedback=${feedback} again=${again} />
    <${Kinds} incident=${incident} kinds=${kinds} />
    <${FailedSagas} incident=${incident} />
  <//>`;
}

function Facts({ incident }) {
  return html`<span class="facts"><span>since <${Ago} at=${incident.first_at} /></span><span>last failure <${Ago} at=${incident.last_at} /></span>
    ${incident.closed_at && html`<span>closed <${Ago} at=${incident.closed_at} /></span>`}<span><code>${incident.id}</code></span></span>`;
}

function Buttons({ incident, again }) {
  const [busy, setBusy] = useState(false);
  const refresh = async () => {
    setBusy(true);
    try {
      await post(`v1/incidents/${incident.id}/refresh`, {});
      say("Analysed anew.");
    } catch (problem) {
      say(problem.message, "bad");
    }
    setBusy(false);
    again();
  };
  const markdown = async () => {
    try {
      const { text } = await get(`v1/incidents/${incident.id}/report`, { query: { format: "markdown" } });
      const done = await copy(text);
      say(done ? "The report is in the clipboard, as Markdown." : "This browser lets nothing be copied.", done ? "good" : "bad");
    } catch (problem) {
      say(problem.message, "bad");
    }
  };
  return html`<${Allowed}><button type="button" class="button" disabled=${busy} onClick=${refresh}>${busy ? "Analysing…" : "Analyse now"}</button><//>
    ${incident.report_version > 0 && html`<button type="button" class="button" onClick=${markdown}>Copy as Markdown</button>`}`;
}

function Reach({ incident, report }) {
  const blast = report?.blast_radius;
  const facts = [
    ["Failures", countText(incident.failures)],
    report && ["Sure", html`<${SurenessOf} report=${report} />`],
    report?.onset && ["Began", html`<${Moment} at=${report.onset} /> <small><${Ago} at=${report.onset} /></small>`],
    blast && ["Still growing", blast.still_growing ? html`<${Badge} icon="alert" tone="bad">yes, ${rateText(blast.rate_per_minute)} a minute<//>` : html`<${Badge} icon="check" tone="good">no<//>`],
    blast && ["Sagas failed", countText(blast.sagas_failed)],
    blast && ["At risk", html`${blast.sagas_at_risk}<small> still to go through it</small>`],
    blast && ["Blocked", blast.sagas_stuck > 0 ? html`<${Badge} icon="stop" tone="bad">${blast.sagas_stuck}<//>` : "none"],
    blast?.definitions.length && ["Definitions", html`${blast.definitions.map((name, at) => html`${at > 0 && ", "}<${Link} to=${`definitions/${name}`}>${name}<//>`)}`],
  ].filter(Boolean);
  return html`<dl class="reach" aria-label="How far it reaches">${facts.map(([name, said]) => html`<div key=${name}><dt>${name}</dt><dd>${said}</dd></div>`)}</dl>`;
}

function Versions({ versions, version, change }) {
  return html`<label class="hint">report <select class="filter-menu" value=${String(version ?? versions[0])} onChange=${(event) => change({ report: event.target.value === String(versions[0]) ? null : event.target.value })}>
    ${versions.map((one) => html`<option value=${String(one)}>${one}${one === versions[0] ? ", the newest" : ""}</option>`)}</select></label>`;
}

// --- what a person says -----------------------------------------------------------------------------------------------

const culprits = ["dependency", "participant", "worker", "worker_version", "host", "step", "definition", "definition_version", "saga", "setting", "broker", "database"];

function Feedback({ incident, feedback, again }) {
  const mine = useMay("operator");
  const send = async (question, body) => {
    const answer = await confirm({ ...question, reason: false, does: async (stated) => (await post(`v1/incidents/${incident.id}/feedback`, body(stated))).value });
    if (!answer) return;
    say("Thank you. It is kept with the incident.");
    again();
  };
  const right = () => send({ title: "Is the report right?", says: "What is told of incidents like it will count on that.", verb: "It is right" }, () => ({ verdict: "correct" }));
  const wrong = () => send({
    title: "What was it instead?", verb: "It is wrong",
    fields: [
      { name: "cls", label: "Kind of cause", kind: "choice", options: [{ value: "", label: "I don't know" }, ...faultClasses] },
      { name: "kind", label: "What was to blame", kind: "choice", options: [{ value: "", label: "I don't know" }, ...culprits.map((value) => ({ value, label: wordOf(value) }))] },
      { name: "culprit", label: "Its name", hint: "such as card-provider, or place_order.charge-card" },
    ],
  }, ({ cls, kind, culprit }) => ({ verdict: "wrong", ...(cls ? { true_class: cls } : {}), ...(kind && culprit ? { true_culprit: `${kind} ${culprit}` } : {}) }));
  const resolved = () => send({
    title: "What resolved it?", says: "That ends the incident. The next one like it will be told.", verb: "It is resolved",
    fields: [{ name: "resolution", label: "What was done", kind: "area", required: true, maxlength: 2000 }],
  }, ({ resolution }) => ({ resolution }));
  if (!mine && !feedback) return null;
  return html`<${Section} title="What you know" says="A word from a person makes the next report better.">
    ${feedback && html`<p class="note">${feedback.verdict && html`<${Badge} icon=${feedback.verdict === "correct" ? "check" : "cross"} tone=${feedback.verdict === "correct" ? "good" : "bad"}>report ${feedback.report_version} is ${feedback.verdict === "correct" ? "right" : "wrong"}<//> `}
      ${feedback.true_class && html`it was ${wordOf(feedback.true_class)} `}${feedback.true_culprit && html`(<bdi>${feedback.true_culprit}</bdi>) `}says <bdi>${feedback.by}</bdi> <${Ago} at=${feedback.at} /></p>`}
    <${Allowed}><div class="feedback">
      ${incident.report_version > 0 && html`<button type="button" class="button small" onClick=${right}>The report is right</button>
        <button type="button" class="button small" onClick=${wrong}>It is wrong…</button>`}
      <button type="button" class="button small" onClick=${resolved}>It is resolved…</button>
    </div><//><//>`;
}

// --- what failed ------------------------------------------------------------------------------------------------------

function Kinds({ incident, kinds }) {
  if (kinds.length === 0) return null;
  const columns = [
    { name: "template", label: "Error", kind: "wide", link: true, cell: (one) => html`<code>${one.error_type}</code>${one.code && html` <code>${one.code}</code>`} <bdi>${one.template}</bdi>` },
    { name: "step", label: "Step", kind: "mono", cell: (one) => `${one.step}${one.kind === "compensation" ? " (compensation)" : ""}` },
    { name: "count", label: "Failures", kind: "number", cell: (one) => countText(one.count) },
    { name: "since", label: "Since", kind: "number", cell: (one) => html`<${Ago} at=${one.first_at} />` },
    { name: "last", label: "Last", kind: "number", cell: (one) => html`<${Ago} at=${one.last_at} />` },
  ];
  return html`<${Section} title="Failures by kind"><${Table} label="Failures by kind" columns=${columns} rows=${kinds} keyOf=${(one) => `${one.fingerprint} ${one.step}`}
    address=${(one) => href("sagas", { incident: incident.id, fingerprint: one.fingerprint })} /><//>`;
}

const sagaColumns = [
  { name: "saga", label: "Saga", kind: "mono", link: true, cell: (one) => one.saga_id },
  { name: "key", label: "Business key", cell: (one) => html`<bdi>${one.business_key ?? ""}</bdi>` },
  { name: "step", label: "Failed at", kind: "mono", cell: (one) => `${one.definition}.${one.step}` },
  { name: "error", label: "Error", kind: "wide", cell: (one) => html`<code>${one.error_type || one.cause}</code> ${one.code && html`<code>${one.code}</code>`}` },
  { name: "attempts", label: "Attempts", kind: "number", cell: (one) => one.attempts },
  { name: "at", label: "When", kind: "number", cell: (one) => html`<${Ago} at=${one.at} />` },
];

function FailedSagas({ incident }) {
  const answer = useAnswer(`v1/incidents/${incident.id}/sagas`, { limit: sagasShown });
  useEffect(() => {
    if (!answer.loading) answer.again();
  }, [incident.failures]);
  const all = html`<${Link} to="sagas" query=${{ incident: incident.id }}>All of them, to be filtered and operated<//>`;
  return html`<${Section} title="Sagas that failed" says=${answer.value?.next ? `the newest ${sagasShown}` : ""} verbs=${all}>
    <${Answered} of=${answer}>${({ items }) => items.length === 0 ? html`<p class="none">None is kept any more.</p>`
      : html`<${Table} label="Sagas that failed" columns=${sagaColumns} rows=${items} keyOf=${(one) => `${one.saga_id} ${one.step} ${one.kind} ${one.at}`} address=${(one) => href(`sagas/${one.saga_id}`)} />`}<//>
  <//>`;
}
