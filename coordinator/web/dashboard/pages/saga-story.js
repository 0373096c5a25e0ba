/** The saga in a few sentences, failure first: what failed and why, what was undone, what is left, what it waits for. */
import { html } from "../dom.js";
import { many } from "../parts/count.js";
import { wordOf, percent } from "../parts/diagnosis.js";
import { Icon } from "../parts/icons.js";
import { sagaStatuses, waitText } from "../parts/status.js";
import { Ago, durationText } from "../parts/time.js";
import { Verbs } from "./saga-verbs.js";

const begun = new Set(["dispatched", "waiting", "compensating", "blocked"]);

export function Story({ saga, report, choose, done }) {
  const status = sagaStatuses[saga.status] ?? { icon: "ring", tone: "quiet" };
  const asking = saga.steps.filter((step) => step.verbs.length > 0);
  const blocked = asking.filter((step) => step.status === "blocked");
  const lines = [failed(saga, choose), why(report), undone(saga, choose), left(saga, choose), waits(saga, choose), held(saga)].filter(Boolean);
  return html`<section class=${`story ${status.tone}`} aria-label="What happened">
    <p class="story-headline"><${Icon} name=${status.icon} /><span>${headline(saga)}</span></p>
    ${lines.length > 0 && html`<dl class="story-lines">${lines.map(([name, said]) => html`<div key=${name}><dt>${name}</dt><dd>${said}</dd></div>`)}</dl>`}
    ${(saga.verbs.length > 0 || blocked.length > 0) && html`<div class="story-verbs" role="group" aria-label="What may be asked now">
      ${blocked.map((step) => html`<${Verbs} key=${step.name} verbs=${step.verbs} step=${step} done=${done} about=${step.name} small />`)}
      <${Verbs} verbs=${saga.verbs} done=${done} small about=${blocked.length > 0 ? "the saga" : ""} />
    </div>`}
  </section>`;
}

const took = (saga) => durationText((Date.parse(saga.finished_at) - Date.parse(saga.created_at)) / 1000);

function headline(saga) {
  const steps = many(saga.steps.length, "step");
  const attempts = saga.steps.flatMap((step) => step.attempts.filter((attempt) => attempt.kind === "action"));
  const again = new Set(saga.steps.filter((step) => step.attempts.filter((attempt) => attempt.kind === "action").length > 1)).size;
  switch (saga.status) {
    case "completed": {
      const left = saga.steps.filter((step) => step.status === "skipped").length;
      return `${left ? `${many(saga.steps.length - left, "step")} done, ${left} left out` : `All ${steps} done`} in ${took(saga)}${again && saga.attempts_complete ? `, ${again} of them not at the first attempt (${attempts.length} in all)` : ""}.`;
    }
    case "compensated":
      return `It turned, and every effect was undone, in ${took(saga)}.`;
    case "closed":
      return `It was closed with effects left behind, after ${took(saga)}.`;
    case "blocked":
      return `It needs a person: ${saga.steps.filter((step) => step.status === "blocked").map((step) => `${step.blocked === "compensation" ? "the compensation of " : ""}${step.name} gave up`).join(", ") || "it stands still"}.`;
    case "compensating":
      return `It turned, and is being undone: ${saga.progress.percentage} % of the way back.`;
    default:
      return `On its way: ${saga.progress.completed} of ${steps} done.`;
  }
}

function failed(saga, choose) {
  const { cause } = saga;
  if (!cause) {
    const failing = saga.steps.find((step) => begun.has(step.status) && latest(step));
    const name = failing?.status === "blocked" ? "Failed" : "Failing";
    return failing ? [name, html`<${Step} name=${failing.name} choose=${choose} />: ${worded(latest(failing))}`] : null;
  }
  const step = saga.steps.find((one) => one.name === cause.step);
  const tries = step?.attempts.filter((attempt) => attempt.kind === "action").length ?? 0;
  const how = cause.kind === "refused" ? "was refused" : cause.kind === "failed" ? `failed${tries > 1 ? ` after ${tries} attempts` : ""}` : wordOf(cause.kind);
  if (!cause.step) return ["Turned", html`${wordOf(cause.kind)}${cause.by && html` by <bdi>${cause.by}</bdi>`}: <bdi>${cause.message}</bdi>`];
  return ["Failed", html`<${Step} name=${cause.step} choose=${choose} /> ${how}: ${step?.error ? worded(step.error) : html`<bdi>${cause.message}</bdi>`}`];
}

/** The newest error of a step. */
const latest = (step) => step.attempts.findLast((attempt) => attempt.error)?.error ?? step.error;

const worded = (error) => html`<code>${error.type}</code> <bdi>${error.message}</bdi>`;

function why(report) {
  if (!report) return null;
  const [first] = report.hypotheses;
  return ["Why", html`<bdi>${report.headline}</bdi> <span class="hint">(${first.cls === "unknown" ? "no cause is known" : `${wordOf(first.cls)}, ${percent(first.confidence)}`})</span> <a href="#diagnosis" onClick=${toDiagnosis}>evidence</a>`];
}

function toDiagnosis(event) {
  event.preventDefault();
  const place = document.querySelector("#diagnosis");
  place?.scrollIntoView();
  place?.focus({ preventScroll: true });
}

function undone(saga, choose) {
  if (saga.direction !== "backward") return null;
  const names = saga.steps.filter((step) => step.status === "compensated");
  const under = saga.steps.filter((step) => step.status === "compensating");
  if (names.length + under.length === 0) return ["Undone", "nothing: nothing had happened"];
  return ["Undone", html`<${Steps} list=${names} choose=${choose} />${under.length > 0 && html`${names.length > 0 && "; "}being undone: <${Steps} list=${under} choose=${choose} />`}`];
}

/** What is in the world of a saga that ended, or would stay there if it ended now. */
function left(saga, choose) {
  if (saga.effects_left.length > 0) {
    return ["Left", html`<ul class="story-left">${saga.effects_left.map((one) => html`<li key=${one.step}><${Step} name=${one.step} choose=${choose} />:
      ${one.certain ? "" : "perhaps, "}${wordOf(one.because)}${one.message && html`, <bdi>${one.message}</bdi>`}</li>`)}</ul>`];
  }
  if (saga.direction !== "backward" || saga.finished_at) return null;
  const list = saga.steps.filter((step) => step.status === "succeeded" || step.status === "blocked" || step.status === "compensating");
  return list.length > 0 ? ["Not undone yet", html`<${Steps} list=${list} choose=${choose} />`] : null;
}

function waits(saga, choose) {
  const wait = saga.waiting_on;
  if (!wait) return null;
  const since = wait.since ?? saga.updated_at;
  const counted = wait.attempt && wait.attempts_max && wait.attempts_max > 1 && wait.kind !== "blocked" ? ` (attempt ${wait.attempt} of ${wait.attempts_max})` : "";
  const said = wait.kind !== "reply" || !wait.step
    ? html`<bdi>${wait.message}</bdi>${counted}`
    : html`${waitText(wait.kind, wait.participant)}, at <${Step} name=${wait.step} choose=${choose} />${counted}`;
  return ["Waits for", html`${said}; for <${Ago} at=${since} since />${wait.until && html`, until <${Ago} at=${wait.until} />`}`];
}

function held(saga) {
  return saga.paused ? ["Paused", html`for <${Ago} at=${saga.paused.since} since /> by <bdi>${saga.paused.by}</bdi>: <bdi>${saga.paused.reason}</bdi>`] : null;
}

function Steps({ list, choose }) {
  return html`${list.map((step, at) => html`${at > 0 && ", "}<${Step} key=${step.name} name=${step.name} choose=${choose} />`)}`;
}

function Step({ name, choose }) {
  return html`<button type="button" class="quiet-button" onClick=${() => choose(name)}>${name}</button>`;
}

/** The step that one would look at first. */
export function first(saga) {
  const of = (...statuses) => saga.steps.find((step) => statuses.includes(step.status));
  const step = of("blocked") ?? saga.steps.find((one) => one.name === saga.cause?.step) ?? of(...begun) ?? of("failed", "refused") ?? saga.steps[0];
  return step?.name ?? null;
}
