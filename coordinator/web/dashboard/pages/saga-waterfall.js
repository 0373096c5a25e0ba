/**
 * A saga along the axis of time: a line per step, its attempts above the line, its compensations mirrored below it. What
 * was spent waiting is hatched, what was spent in a handler is solid.
 */
import { classes, html, useEffect, useState } from "../dom.js";
import { now } from "../api.js";
import { scaleOf } from "../parts/scale.js";
import { StepStatus } from "../parts/status.js";
import { Moment, clockText, durationText, exactText } from "../parts/time.js";

const marksShown = { turned: "turned", blocked: "blocked", unblocked: "unblocked", asked: "asked for", finished: "finished", paused: "paused", resumed: "resumed" };
const good = new Set(["succeeded", "nothing_to_undo"]);
const nearEndPercent = 78; // of a phone's width: the words of a tick further right would run out of the page

export function Waterfall({ saga, timeline, chosen, choose }) {
  const open = timeline.attempts.some((attempt) => attempt.ended_at === null);
  const at = useTime(open && !saga.finished_at);
  if (!timeline.complete) {
    return html`<p class="none">Its history is too long, or of too old a release, to be drawn. It can be read below.</p>`;
  }
  const rows = rowsOf(saga, timeline);
  const from = Date.parse(timeline.created_at);
  const ends = timeline.attempts.map((attempt) => ended(attempt, at));
  const to = Math.max(from + 1, saga.finished_at ? Date.parse(saga.finished_at) : 0, ...ends, ...timeline.marks.map((mark) => Date.parse(mark.at)));
  const scale = scaleOf(timeline.attempts.map((attempt) => [Date.parse(attempt.queued_at), ended(attempt, at)]), from, to);
  const marks = timeline.marks.filter((mark) => marksShown[mark.kind]);
  return html`
    <div class="waterfall" role="group" aria-label="Attempts along the axis of time">
      <div class="fall-axis"><span></span><div class="fall-track">
        ${scale.ticks.map((tick) => html`<span key=${tick.time} class=${classes("fall-tick", { "near-end": tick.at > nearEndPercent })} style=${{ left: `${tick.at}%` }} title=${exactText(tick.time)}>${tick.time === from ? clockText(from) : `+${durationText((tick.time - from) / 1000)}`}</span>`)}
      </div></div>
      <div class="fall-rows">
        <div class="fall-grid" aria-hidden="true"><span></span><div class="fall-track">
          ${scale.ticks.map((tick) => html`<i key=${tick.time} class="fall-line" style=${{ left: `${tick.at}%` }}></i>`)}
          ${scale.folds.map((fold) => html`<i key=${fold.from} class="fall-fold" style=${{ left: `${fold.at}%`, width: `${fold.width}%` }} title=${`nothing for ${durationText((fold.to - fold.from) / 1000)}`}></i>`)}
          ${marks.map((mark) => html`<i key=${`${mark.seq} ${mark.kind}`} class=${`fall-mark ${mark.kind}`} style=${{ left: `${scale.at(Date.parse(mark.at))}%` }} title=${markText(mark)}></i>`)}
        </div></div>
        ${rows.map((row) => html`<${Row} key=${row.step.name} row=${row} scale=${scale} at=${at} chosen=${row.step.name === chosen} choose=${choose} />`)}
      </div>
      <${Legend} rows=${rows} scale=${scale} marks=${marks} />
    </div>
    <ol class="moments" aria-label="What happened meanwhile">${timeline.marks.map((mark) => html`<li key=${`${mark.seq} ${mark.kind}`}>
      <span class="entry-at"><${Moment} at=${mark.at} /></span><strong>${mark.kind}</strong>
      <span><bdi>${mark.text}</bdi>${mark.by && html` <span class="hint">by <bdi>${mark.by}</bdi></span>`}</span></li>`)}</ol>`;
}

/** The coordinator's time, each second while something is under way. */
function useTime(runs) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!runs) return undefined;
    const timer = setInterval(() => document.hidden || tick((count) => count + 1), 1_000);
    return () => clearInterval(timer);
  }, [runs]);
  return now();
}

const ended = (attempt, at) => (attempt.ended_at ? Date.parse(attempt.ended_at) : Math.max(at, Date.parse(attempt.queued_at)));

function rowsOf(saga, timeline) {
  const tried = new Map();
  for (const attempt of timeline.attempts) tried.set(attempt.step, [...(tried.get(attempt.step) ?? []), attempt]);
  return saga.steps.map((step) => {
    const own = tried.get(step.name) ?? [];
    return {
      step,
      forward: own.filter((attempt) => attempt.kind === "action"),
      backward: own.filter((attempt) => attempt.kind === "compensation"),
      inquiries: own.filter((attempt) => attempt.kind === "inquiry"),
    };
  });
}

function Row({ row, scale, at, chosen, choose }) {
  const { step, forward, backward, inquiries } = row;
  return html`<div class=${classes("fall-row", { chosen, mirrored: backward.length > 0 })} onClick=${() => choose(step.name)}>
    <button type="button" class="fall-name" aria-pressed=${chosen} onClick=${(event) => (event.stopPropagation(), choose(step.name))}>
      <span class="fall-step">${step.name}</span><${StepStatus} status=${step.status} />
    </button>
    <div class="fall-track" role="img" aria-label=${spoken(row)}>
      ${[...forward, ...inquiries].map((attempt) => html`<${Bar} key=${keyOf(attempt)} attempt=${attempt} scale=${scale} at=${at} many=${forward.length > 1} />`)}
      ${backward.length > 0 && html`<i class="fall-middle"></i>`}
      ${backward.map((attempt) => html`<${Bar} key=${keyOf(attempt)} attempt=${attempt} scale=${scale} at=${at} many=${backward.length > 1} />`)}
    </div>
  </div>`;
}

const keyOf = (attempt) => `${attempt.kind} ${attempt.iteration} ${attempt.epoch} ${attempt.number} ${attempt.queued_at}`;

function Bar({ attempt, scale, at, many }) {
  const [from, to] = [Date.parse(attempt.queued_at), ended(attempt, at)];
  const taken = attempt.taken_at ? Date.parse(attempt.taken_at) : to;
  const [left, middle, right] = [scale.at(from), scale.at(taken), scale.at(to)];
  const bad = attempt.outcome !== null && !good.has(attempt.outcome);
  const kind = classes("bar", attempt.kind, { bad, open: attempt.outcome === null, late: attempt.late });
  const whole = Math.max(right - left, 0.001);
  return html`<span class=${kind} style=${{ left: `${left}%`, width: `${whole}%` }} title=${attemptText(attempt)}>
    <span class="bar-wait" style=${{ width: `${(100 * (middle - left)) / whole}%` }}></span>
    <span class="bar-work" style=${{ width: `${(100 * (right - middle)) / whole}%` }}></span>
    ${many && html`<span class="bar-number">${attempt.number}</span>`}
    ${bad && html`<span class="bar-cross">✕</span>`}
  </span>`;
}

/** One attempt in a line of words. */
export function attemptText(attempt) {
  const parts = [`${attempt.kind} ${attempt.number}: ${attempt.outcome ?? "its reply is awaited"}`];
  if (attempt.queue_seconds !== null) parts.push(`${durationText(attempt.queue_seconds)} until a worker took it`);
  if (attempt.handler_seconds !== null) parts.push(`${durationText(attempt.handler_seconds)} in the handler`);
  if (attempt.late) parts.push("its reply came after it had been given up");
  if (attempt.error) parts.push(`${attempt.error.type}: ${attempt.error.message}`.slice(0, 300));
  return parts.join("; ");
}

function spoken({ step, forward, backward, inquiries }) {
  const parts = [["attempt", forward], ["compensation", backward], ["inquiry", inquiries]]
    .filter(([, list]) => list.length > 0)
    .map(([what, list]) => `${what} ${list.map((one) => `${one.number} ${one.outcome ?? "under way"}`).join(", ")}`);
  return `${step.name}: ${parts.join("; ") || "nothing was sent"}`;
}

function markText(mark) {
  return `${marksShown[mark.kind]} ${clockText(mark.at)}${mark.text ? `: ${mark.text}` : ""}${mark.by ? ` (${mark.by})` : ""}`;
}

function Legend({ rows, scale, marks }) {
  const turned = rows.some((row) => row.backward.length > 0);
  const kinds = new Set(marks.map((mark) => mark.kind));
  return html`<p class="fall-legend">
    <span><i class="swatch wait"></i>waits</span><span><i class="swatch work"></i>in the handler</span>
    ${turned && html`<span><i class="swatch back"></i>compensation, below the line</span>`}
    <span><i class="swatch failed"></i>✕ failed</span>
    ${["turned", "blocked", "asked", "paused"].filter((kind) => kinds.has(kind)).map((kind) => html`<span key=${kind}><i class=${`swatch mark ${kind}`}></i>${marksShown[kind]}</span>`)}
    ${scale.folds.length > 0 && html`<span><i class="swatch fold"></i>nothing happened: drawn shorter</span>`}
  </p>`;
}
