/** One participant: its workers, what they answer, what waits for it, how it has done, and holding back what it is sent. */
import { html } from "../dom.js";
import { now, useAnswer } from "../api.js";
import { sagaEvents, useEvery, useLive } from "../live.js";
import { Minutes } from "../parts/chart.js";
import { countText, many } from "../parts/count.js";
import { Answered, Empty } from "../parts/notice.js";
import { Page, Section } from "../parts/page.js";
import { everyMinute } from "../parts/spark.js";
import { Badge } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Ago, durationText } from "../parts/time.js";
import { Link } from "../router.js";
import { Parked } from "./parked.js";
import { Errors, State, Verbs, againMilliseconds } from "./participants.js";

export function Participant({ name }) {
  const answer = useAnswer(`v1/participants/${encodeURIComponent(name)}`);
  useEvery(againMilliseconds, answer.again);
  useLive(sagaEvents, () => true, answer.again, 2_000);
  const of = answer.value;
  if (of === null && answer.problem?.status === 404) {
    return html`<${Page} title=${name}><${Empty} title="Nobody was ever heard of by this name." icon="search">
      <p>No worker has said it answers for <code>${name}</code>, and nothing waits for it. <${Link} to="participants">All participants<//></p><//><//>`;
  }
  return html`<${Page} title=${name} mark=${of && html`<${State} of=${of} />`} verbs=${of && html`<${Verbs} of=${of} done=${answer.again} />`}>
    <${Answered} of=${answer}>${(one) => html`<${Whole} of=${one} />`}<//>
  <//>`;
}

function Whole({ of }) {
  const { queue, recent } = of;
  return html`
    ${of.pause && html`<p class="held">Paused for <${Ago} at=${of.pause.since} since />, by ${of.pause.by}: ${of.pause.reason}</p>`}
    ${of.throttle && html`<p class="held">Held to ${of.throttle.rate_per_second} a second for <${Ago} at=${of.throttle.since} since />, by ${of.throttle.by}: ${of.throttle.reason}</p>`}
    <div class="figures">
      <${Figure} value=${of.workers_live} label=${of.workers_live === 1 ? "live worker" : "live workers"} bad=${of.workers_live === 0} />
      <${Figure} value=${of.in_flight} label="in flight" title="in the hands of its workers, by their own word" />
      <div class="figures-gap"></div>
      <${Figure} value=${queue.waiting} label="in the outbox" title=${queue.oldest_at ? undefined : "nothing waits"} />
      <${Figure} value=${queue.parked} label="can't be sent" bad=${queue.parked > 0} />
      <${Link} class="figure" to="sagas" query=${{ participant: of.name }} title="the sagas that wait for it">
        <span class="figure-value">${countText(queue.awaited)}</span><span class="figure-label">sagas wait for it</span><//>
      <div class="figures-gap"></div>
      <${Figure} value=${recent ? html`<${Errors} of=${recent} />` : "–"} label=${recent ? `failed of ${many(recent.attempts, "attempt")}` : "failures aren't counted"} />
      <${Figure} value=${durationText(recent?.handler_seconds_mean)} label="mean in the handler" />
    </div>
    <div class="columns">
      <${Section} title=${`Attempts in the last ${recent?.minutes ?? 15} minutes`}
          says=${recent && html`${recent.succeeded} succeeded, ${recent.refused} refused, ${recent.failed} failed, ${recent.unknown} unknown${recent.late ? `, ${recent.late} late` : ""}`}>
        ${recent ? html`<${Minutes} minutes=${everyMinute(recent.per_minute, recent.minutes, now())} label="Attempts" span="15 minutes, one by one"
            up=${{ name: "attempts", label: "attempts" }} down=${{ name: "failed", label: "failed", tone: "bad" }} />`
          : html`<p class="none">Attempts are counted where failures are explained: AMENDS_DIAGNOSIS.</p>`}
      <//>
      <${Section} title="What it answers"><${Answers} of=${of} /><//>
    </div>
    <${Section} title="Workers" says=${of.workers_lost > 0 && html`<span class="warn">${many(of.workers_lost, "worker")} fell silent within the last hour</span>`}><${Workers} of=${of} /><//>
    <${Parked} participant=${of.name} />
    <p class="elsewhere">Elsewhere: <${Link} to="dead-letters" query=${{ participant: of.name }}>its dead letters<//>
      ${" "}<${Link} to="sagas" query=${{ participant: of.name }}>sagas that wait for it<//></p>`;
}

function Figure({ value, label, title, bad = false }) {
  return html`<div class=${`figure ${bad ? "bad" : ""}`} title=${title}><span class="figure-value">${value}</span><span class="figure-label">${label}</span></div>`;
}

function Answers({ of }) {
  if (of.actions.length + of.compensations.length === 0) return html`<p class="none">Nobody is there to say.</p>`;
  return html`<ul class="answers">
    ${of.actions.map((name) => html`<li key=${name}><${Badge} icon="send" tone="forward">${name}<//> <small>action</small></li>`)}
    ${of.compensations.map((name) => html`<li key=${`c ${name}`}><${Badge} icon="back" tone="backward">${name}<//> <small>compensation</small></li>`)}
  </ul>`;
}

function Workers({ of }) {
  if (of.workers.length === 0) {
    return html`<${Empty} title="No worker was heard of within the last day." icon="ring"><p>What is sent to ${of.name} waits until one is there.</p><//>`;
  }
  const differing = new Set(of.workers.filter((worker) => worker.live).map((worker) => worker.actions.join())).size > 1;
  const columns = [
    { name: "state", label: "State", kind: "tight", phone: "lead", cell: (worker) => workerState(worker) },
    { name: "id", label: "Worker", kind: "mono", cell: (worker) => worker.id },
    { name: "version", label: "Version", kind: "tight", cell: (worker) => worker.version },
    ...(differing ? [{ name: "actions", label: "Answers", kind: "wide", cell: (worker) => [...worker.actions, ...worker.compensations].join(", ") }] : []),
    { name: "flight", label: "In flight", kind: "number", cell: (worker) => worker.in_flight },
    { name: "first", label: "First heard", kind: "number", cell: (worker) => html`<${Ago} at=${worker.first_seen} />` },
    { name: "last", label: "Last heard", kind: "number", cell: (worker) => html`<${Ago} at=${worker.last_seen} />` },
  ];
  return html`<${Table} label="Workers" columns=${columns} rows=${of.workers} keyOf=${(worker) => worker.id} tone=${(worker) => !worker.live && "quiet"} />`;
}

function workerState(worker) {
  if (worker.stopping) return html`<${Badge} icon="closed" tone="quiet" title="it said goodbye">ended<//>`;
  return worker.live ? html`<${Badge} icon="check" tone="good">live<//>` : html`<${Badge} icon="alert" tone="warn" title="without a goodbye">silent<//>`;
}
