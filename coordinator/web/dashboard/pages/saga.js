/** A saga: what went wrong first, then its steps as a graph and along the axis of time, then everything that is known. */
import { html, useEffect, useMemo, useState } from "../dom.js";
import { get, useAnswer } from "../api.js";
import { incidentEvents, paused, sagaEvents, useLive } from "../live.js";
import { Copy } from "../parts/copy.js";
import { Diagnosis } from "../parts/diagnosis.js";
import { Graph } from "../parts/graph.js";
import { Icon } from "../parts/icons.js";
import { Answered, Empty, Loading, Trouble } from "../parts/notice.js";
import { Page, Section } from "../parts/page.js";
import { Payload } from "../parts/payload.js";
import { Remedies } from "../parts/remedies.js";
import { SagaStatus, StepStatus, stepStatuses } from "../parts/status.js";
import { Ago } from "../parts/time.js";
import { Link, useQuery } from "../router.js";
import { History } from "./saga-history.js";
import { StepPanel } from "./saga-step.js";
import { Story, first } from "./saga-story.js";
import { Waterfall } from "./saga-waterfall.js";

const againMilliseconds = 5_000; // what it waits for may change without anything happening to the saga itself

export function Saga({ id }) {
  const answer = useAnswer(`v1/sagas/${id}`);
  const timeline = useAnswer(`v1/sagas/${id}/timeline`);
  const look = () => (answer.again(), timeline.again());
  const final = Boolean(answer.value?.finished_at);
  useLive(sagaEvents, (event) => event.data.id === id, look, 400);
  useEffect(() => {
    if (final) return undefined;
    const timer = setInterval(() => document.hidden || paused.get() || answer.again(), againMilliseconds);
    return () => clearInterval(timer);
  }, [final, answer.again]);
  if (answer.value === null) {
    return html`<${Page} title="Saga" browser=${`Saga ${id.slice(0, 13)}`}>
      ${answer.problem?.status === 404
        ? html`<${Empty} title="There is no such saga." icon="search"><p><code>${id}</code> was never started here, or its record was removed. <${Link} to="sagas">All sagas<//></p><//>`
        : html`<${Answered} of=${answer} what="Reading the saga…">${() => null}<//>`}
    <//>`;
  }
  return html`<${Whole} saga=${answer.value} problem=${answer.problem} timeline=${timeline} look=${look} />`;
}

function Whole({ saga, problem, timeline, look }) {
  const [query, change] = useQuery();
  const report = useReport(saga);
  const named = saga.steps.some((step) => step.name === query.step) ? query.step : first(saga);
  const step = saga.steps.find((one) => one.name === named);
  const choose = (name) => change({ step: name }, { replace: true });
  return html`<${Page} title=${saga.business_key ? html`<bdi>${saga.business_key}</bdi>` : saga.definition} browser=${saga.business_key ?? `Saga ${saga.id.slice(0, 13)}`}
      mark=${html`<${SagaStatus} status=${saga.status} />`} says=${html`<${Facts} saga=${saga} />`}>
    ${problem && html`<${Trouble} problem=${problem} again=${look} />`}
    <${Story} saga=${saga} report=${report.value} choose=${choose} done=${look} />
    <${Section} title="Steps" says=${saga.direction === "backward" ? "dashed: the way back" : ""}>
      <${StepGraph} saga=${saga} chosen=${named} choose=${choose} /><//>
    <div class="saga-columns">
      <div class="saga-main">
        <${Section} title="Along time">
          ${timeline.value ? html`<${Waterfall} saga=${saga} timeline=${timeline.value} chosen=${named} choose=${choose} />`
            : timeline.problem ? html`<${Trouble} problem=${timeline.problem} again=${timeline.again} />` : html`<${Loading} />`}
        <//>
        <${Payload} key=${`${saga.id} input`} path=${`v1/sagas/${saga.id}/input`} title="Input of the saga" />
      </div>
      ${step && html`<${StepPanel} saga=${saga} step=${step} done=${look} />`}
    </div>
    ${report.value && html`<${Why} saga=${saga} report=${report.value} again=${report.again} />`}
    ${report.problem && !expected(report.problem) && html`<${Section} title="Diagnosis"><${Trouble} problem=${report.problem} again=${report.again} /><//>`}
    <${Section} title="History"><${History} key=${saga.id} id=${saga.id} revision=${saga.revision} /><//>
  <//>`;
}

function Facts({ saga }) {
  const [traceUrl, setTraceUrl] = useState(null);
  useEffect(() => {
    get("").then(({ value }) => setTraceUrl(value.trace_url), () => setTraceUrl(null));
  }, []);
  return html`<span class="facts">
    <span><code>${saga.id}</code><${Copy} text=${saga.id} what="the saga's id" /></span>
    <span><${Link} to=${`definitions/${saga.definition}`} query=${{ version: saga.version }}>${saga.definition}<//> version ${saga.version}</span>
    <span>started <${Ago} at=${saga.created_at} /></span>
    ${saga.finished_at ? html`<span>ended <${Ago} at=${saga.finished_at} /></span>` : html`<span>last event <${Ago} at=${saga.updated_at} /></span>`}
    ${saga.deadline && !saga.finished_at && html`<span>deadline <${Ago} at=${saga.deadline} /></span>`}
    ${saga.tags.map((tag) => html`<${Link} key=${tag} to="sagas" query=${{ tag }} class="tag"><bdi>${tag}</bdi><//>`)}
    <span>trace <code title=${saga.trace_id}>${saga.trace_id.slice(0, 8)}…</code><${Copy} text=${saga.trace_id} what="the trace's id" />
      ${traceUrl && html` <a class="outside" href=${traceUrl.replace("{trace_id}", saga.trace_id)} target="_blank" rel="noopener noreferrer">in Jaeger <${Icon} name="link" /></a>`}</span>
  </span>`;
}

const tried = (step, kind) => step.attempts.filter((attempt) => attempt.kind === kind).length;
const inTheWorld = new Set(["succeeded", "compensating", "compensated", "waived"]);

function StepGraph({ saga, chosen, choose }) {
  const byName = useMemo(() => new Map(saga.steps.map((step) => [step.name, step])), [saga]);
  const draw = (step) => {
    const count = tried(step, "action");
    const mark = step.kind === "pivot" ? "pivot" : step.optional ? "optional" : "";
    return html`<span class="graph-name">${step.name}</span>
      <span class="graph-says"><${StepStatus} status=${step.status} />${count > 1 && html`<small>${count} attempts</small>`}${mark && html`<small>${mark}</small>`}</span>`;
  };
  const way = (from, to) => {
    const [source, target] = [byName.get(from), byName.get(to)];
    const undoing = tried(source, "compensation") > 0 || source.status === "compensating" || source.status === "compensated";
    return { forward: target.attempts.length > 0 || inTheWorld.has(target.status), backward: undoing && target.status !== "pending" };
  };
  const describe = (step) => `${step.participant}.${step.action}${step.compensation ? `, undone by ${step.compensation}` : ""}: ${stepStatuses[step.status]?.says ?? step.status}`;
  return html`<${Graph} label="Steps of the saga" steps=${saga.steps} draw=${draw} describe=${describe} way=${way} chosen=${chosen} choose=${choose}
    tone=${(step) => `${stepStatuses[step.status]?.tone ?? "quiet"} ${step.kind}`} />`;
}

// --- why --------------------------------------------------------------------------------------------------------------

const expected = (problem) => problem.status === 404 || problem.type === "/problems/diagnosis-off";
const underWay = new Set(["dispatched", "waiting"]);
const explained = new Set(["compensating", "blocked", "compensated", "closed"]);

/** The diagnosis, as soon as there can be one. */
function useReport(saga) {
  const failing = (step) => underWay.has(step.status) && step.attempts.some((attempt) => attempt.error);
  const troubled = explained.has(saga.status) || (!saga.finished_at && saga.steps.some(failing));
  const answer = useAnswer(troubled ? `v1/sagas/${saga.id}/diagnosis` : null);
  useEffect(() => {
    if (troubled && !answer.loading) answer.again();
  }, [saga.status, troubled]);
  useLive(troubled ? incidentEvents : null, (event) => event.kind !== "saga", answer.again, 3_000);
  return answer;
}

function Why({ saga, report, again }) {
  const incident = useAnswer(report.incident_id ? `v1/incidents/${report.incident_id}` : null);
  useLive(report.incident_id ? incidentEvents : null, (event) => event.kind === "remedy" && event.data.incident_id === report.incident_id, incident.again);
  const done = () => (incident.again(), again());
  const says = report.incident_id && html`<${Link} to=${`incidents/${report.incident_id}`}>the incident it is part of<//>`;
  const remedies = html`<${Remedies} remedies=${incident.value?.remedies ?? []} advice=${report.remedies} done=${done} />`;
  return html`<div id="diagnosis" tabindex="-1"><${Section} title="Diagnosis" says=${says}>
    <${Diagnosis} report=${report} here=${{ saga: saga.id }} remedies=${remedies} />
  <//></div>`;
}
