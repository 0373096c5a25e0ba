/** The participants: who is there, what waits for them, how they have done of late; and holding back what is sent. */
import { html, useMemo } from "../dom.js";
import { now, useAnswer } from "../api.js";
import { sagaEvents, useEvery, useLive } from "../live.js";
import { useOverview } from "../overview.js";
import { countOf, countText, many } from "../parts/count.js";
import { Answered, Empty } from "../parts/notice.js";
import { Page, Section } from "../parts/page.js";
import { beginPause, endPause, slowDown } from "../parts/pauses.js";
import { Spark, everyMinute } from "../parts/spark.js";
import { Badge } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Ago, Duration } from "../parts/time.js";
import { href } from "../router.js";
import { Allowed } from "../session.js";
import { Parked } from "./parked.js";

export const againMilliseconds = 5_000; // heartbeats come without an event of a saga
const livelyMilliseconds = 2_000;

export function Participants() {
  const answer = useAnswer("v1/participants");
  const { value: overview } = useOverview();
  useEvery(againMilliseconds, answer.again);
  useLive(sagaEvents, () => true, answer.again, livelyMilliseconds);
  const all = overview?.pauses.find((pause) => pause.scope === "all");
  const verbs = all
    ? html`<button class="button" onClick=${async () => (await endPause(all)) && answer.again()}>Resume everything</button>`
    : html`<button class="button" onClick=${async () => (await beginPause("all")) && answer.again()}>Pause everything</button>`;
  return html`<${Page} title="Participants" verbs=${answer.value?.items.length > 0 && html`<${Allowed}>${verbs}<//>`}
      mark=${answer.value && html`<span class="page-count">${many(answer.value.items.reduce((sum, one) => sum + one.workers_live, 0), "live worker")}</span>`}>
    <${Answered} of=${answer} what="Reading who is there…">${({ items }) => (items.length === 0 ? html`<${Nobody} />` : html`<${List} items=${items} again=${answer.again} />`)}<//>
    <${Parked} />
  <//>`;
}

function List({ items, again }) {
  const columns = useMemo(() => [
    { name: "name", label: "Participant", kind: "tight", link: true, phone: "lead", cell: (one) => html`<strong>${one.name}</strong>` },
    { name: "state", label: "State", kind: "state", cell: (one) => html`<${State} of=${one} />` },
    { name: "version", label: "Version", kind: "name", cell: (one) => one.versions.join(", ") },
    { name: "workers", label: "Workers", kind: "number", cell: (one) => one.workers_live },
    { name: "flight", label: "In flight", kind: "number", cell: (one) => quiet(one.in_flight) },
    { name: "queue", label: "In the outbox", kind: "number", cell: queued },
    { name: "awaited", label: "Sagas that wait", kind: "number", cell: (one) => quiet(countOf(one.queue.awaited), countText(one.queue.awaited)) },
    { name: "recent", label: "Last 15 minutes", kind: "tight", phone: "hide", cell: (one) => one.recent && html`<${Spark} minutes=${everyMinute(one.recent.per_minute, one.recent.minutes, now())} label=${recentText(one)} />` },
    { name: "errors", label: "Failed", kind: "number", cell: (one) => html`<${Errors} of=${one.recent} />` },
    { name: "mean", label: "Mean", kind: "number", phone: "hide", cell: (one) => (one.recent?.attempts ? html`<${Duration} seconds=${one.recent.handler_seconds_mean} />` : html`<span class="none">–</span>`) },
    { name: "heard", label: "Last heard", kind: "number", cell: (one) => html`<${Ago} at=${heard(one)} />` },
    { name: "verbs", label: "", kind: "verbs", cell: (one) => html`<${Verbs} of=${one} done=${again} small />` },
  ], [again]);
  return html`<${Table} label="Participants" columns=${columns} rows=${items} keyOf=${(one) => one.name}
    address=${(one) => href(`participants/${one.name}`)} tone=${(one) => !one.live && "bad"} />`;
}

const quiet = (count, text = count) => html`<span class=${count === 0 ? "none" : ""}>${text}</span>`;

function queued({ queue }) {
  return html`${quiet(queue.waiting)}${queue.parked > 0 && html` <${Badge} tone="bad" icon="stop" title="can't be sent">${queue.parked} parked<//>`}`;
}

/** When any of its workers was last heard of. */
export function heard({ workers }) {
  return workers.map((worker) => worker.last_seen).sort().at(-1) ?? null;
}

const recentText = ({ name, recent }) => `${name}: ${many(recent.attempts, "attempt")} in ${recent.minutes} minutes, ${recent.failed + recent.unknown} failed`;

const badFrom = 0.1; // of all attempts; fewer may be a hiccup

export function Errors({ of }) {
  if (!of || of.error_rate === null) return html`<span class="none">–</span>`;
  const percent = of.error_rate === 0 ? "0 %" : of.error_rate < 0.01 ? "< 1 %" : `${Math.round(100 * of.error_rate)} %`;
  const says = `${of.failed} failed and ${of.unknown} of unknown outcome, of ${many(of.attempts, "attempt")} in ${of.minutes} minutes; ${of.refused} refused`;
  return html`<span class=${of.error_rate === 0 ? "" : of.error_rate < badFrom ? "warn" : "error-rate"} title=${says}>${percent}</span>`;
}

/** How a participant stands, in words; the worst first. */
export function State({ of }) {
  const { pause, throttle } = of;
  return html`<span class="states">
    ${!of.live && html`<${Badge} icon="cross" tone="bad" title="no live worker answers its commands">nobody there<//>`}
    ${pause && html`<${Badge} icon="pause" tone="warn" title=${`by ${pause.by}: ${pause.reason}`}>${pause.scope === "all" ? "all paused" : "paused"}<//>`}
    ${throttle && html`<${Badge} icon="wait" tone="warn" title=${`by ${throttle.by}: ${throttle.reason}`}>${throttle.rate_per_second} a second<//>`}
    ${of.live && of.workers_lost > 0 && html`<${Badge} icon="alert" tone="warn" title="fell silent without a goodbye, within the last hour">${of.workers_lost} silent<//>`}
    ${of.live && !pause && !throttle && of.workers_lost === 0 && html`<${Badge} icon="check" tone="good">live<//>`}
  </span>`;
}

/** What may be done about what is sent to it. */
export function Verbs({ of, done, small = false }) {
  const own = of.pause?.scope === "participant" ? of.pause : null;
  const button = (label, does) => html`<button type="button" class=${small ? "row-button" : "button"} aria-label=${`${label} ${of.name}`}
    onClick=${async () => (await does()) && done()}>${label}</button>`;
  return html`<${Allowed}><span class="row-verbs">
    ${own ? button("Resume", () => endPause(own)) : button("Pause", () => beginPause("participant", of.name))}
    ${!own && (of.throttle ? button("Full speed", () => endPause(of.throttle)) : button("Slow down", () => slowDown(of.name)))}
  </span><//>`;
}

function Nobody() {
  return html`<${Section} title="Nobody was heard of yet"><${Empty} title="No worker has said a word." icon="run">
    <p>A participant is a service of yours with a worker beside it. It is here as soon as a worker runs:</p>
    <pre>${'from amends import Participant\n\npayment = Participant("payment", version="1.0.0")\n\n@payment.action("charge")\nasync def charge(ctx, data): ...'}</pre>
    <p>Or run <code>amends demo</code>, and see a whole shop.</p><//><//>`;
}
