/** One step of a saga: what may be asked of it, every attempt with what went wrong, and what it was sent and gave. */
import { html, useState } from "../dom.js";
import { many } from "../parts/count.js";
import { Payload } from "../parts/payload.js";
import { Badge, StepStatus } from "../parts/status.js";
import { Ago, Duration, Moment } from "../parts/time.js";
import { Link } from "../router.js";
import { Failure } from "../parts/failure.js";
import { Verbs } from "./saga-verbs.js";

const attemptsShown = 12;
const good = new Set(["succeeded", "nothing_to_undo"]);
const kinds = { compensatable: "", pivot: "pivot: past it the saga only goes forward", retriable: "retriable: it is tried until it succeeds" };

export function StepPanel({ saga, step, done }) {
  const facts = [
    step.settled_by && `settled by ${step.settled_by}`,
    step.undone && step.undone !== "undone" && `undoing: ${step.undone}`,
    step.blocked && `its ${step.blocked} gave up`,
    step.inquiry && "its inbox is asked what became of it",
  ].filter(Boolean);
  return html`<section class="panel step-panel" aria-label=${`Step ${step.name}`}>
    <header class="step-head"><h2>${step.name}</h2><${StepStatus} status=${step.status} /></header>
    <p class="step-says"><${Link} to=${`participants/${step.participant}`}>${step.participant}<//>.${step.action}
      ${step.compensation ? html`, undone by ${step.compensation}` : html`, can't be undone`}
      ${kinds[step.kind] && html` · ${kinds[step.kind]}`}${step.optional && " · optional"}
      ${facts.map((fact) => html` · <span class="warn">${fact}</span>`)}</p>
    ${step.wait && html`<p class="step-says">${step.wait.kind} since <${Moment} at=${step.wait.since} />, over <${Ago} at=${step.wait.due} /></p>`}
    ${step.verbs.length > 0 && html`<div class="step-verbs" role="group" aria-label=${`What may be asked of ${step.name}`}>
      <${Verbs} verbs=${step.verbs} step=${step} done=${done} small /></div>`}
    ${step.fault && html`<p class="warn">Its result breaks the definition's schema: ${step.fault}</p>`}
    <${Attempts} key=${step.name} step=${step} complete=${saga.attempts_complete} />
    <${Payload} key=${`${step.name} input ${step.attempts.length}`} path=${`v1/sagas/${saga.id}/steps/${step.name}/input`} title="Input" />
    <${Payload} key=${`${step.name} result ${step.status}`} path=${`v1/sagas/${saga.id}/steps/${step.name}/result`} title="Result" />
  </section>`;
}

function Attempts({ step, complete }) {
  const [shown, setShown] = useState(attemptsShown);
  if (!complete) return html`<p class="none">Its attempts are too many, or too old, to be read again here.</p>`;
  if (step.attempts.length === 0) {
    return html`${step.error && html`<${Failure} error=${step.error} />`}<p class="none">Nothing was sent yet.</p>`;
  }
  const newest = [...step.attempts].reverse();
  return html`
    <h3>${many(step.attempts.length, "attempt")}</h3>
    <ol class="attempts" aria-label="Attempts, the newest first">
      ${newest.slice(0, shown).map((attempt, at) => html`<${Attempt} key=${`${attempt.kind} ${attempt.epoch} ${attempt.number} ${attempt.started_at}`} attempt=${attempt} first=${at === 0} />`)}
    </ol>
    ${newest.length > shown && html`<button type="button" class="quiet-button" onClick=${() => setShown(shown + 10 * attemptsShown)}>${newest.length - shown} earlier</button>`}`;
}

function Attempt({ attempt, first }) {
  const outcome = attempt.outcome ?? "awaited";
  const tone = attempt.outcome === null ? "forward" : good.has(outcome) ? "good" : "bad";
  const icon = attempt.outcome === null ? "wait" : good.has(outcome) ? "check" : "cross";
  const waited = attempt.duration_seconds !== null && attempt.handler_seconds !== null ? attempt.duration_seconds - attempt.handler_seconds : null;
  return html`<li class=${`attempt ${attempt.kind}`}>
    <p class="attempt-head">
      <strong>${attempt.kind === "action" ? "Attempt" : attempt.kind === "compensation" ? "Compensation" : "Inquiry"} ${attempt.number}</strong>
      <${Badge} icon=${icon} tone=${tone}>${outcome.replaceAll("_", " ")}<//>
      ${attempt.late && html`<${Badge} icon="wait" tone="warn" title="its reply came after it had been given up">late<//>`}
      ${attempt.effect && html`<span class="hint">effect: ${attempt.effect}</span>`}
      <span class="attempt-at"><${Moment} at=${attempt.started_at} /></span>
    </p>
    <p class="attempt-says">
      ${attempt.handler_seconds !== null && html`<span><${Duration} seconds=${attempt.handler_seconds} /> in the handler</span>`}
      ${waited !== null && html`<span><${Duration} seconds=${Math.max(0, waited)} /> waiting</span>`}
      ${attempt.handler_seconds === null && attempt.duration_seconds !== null && html`<span>after <${Duration} seconds=${attempt.duration_seconds} /></span>`}
      ${attempt.worker && html`<span>by <span class="mono">${attempt.worker}</span> ${attempt.worker_version}</span>`}
    </p>
    ${attempt.calls.length > 0 && html`<ul class="calls">${attempt.calls.map((call) => html`<li class=${call.error ? "bad" : ""}>
      called ${call.dependency}, <${Duration} seconds=${call.seconds} />${call.error ? html`: ${call.error} <code>${call.code}</code>` : ""}</li>`)}</ul>`}
    ${attempt.error && html`<${Failure} error=${attempt.error} open=${first} />`}
  </li>`;
}
