/** How it stands: what is wrong comes first and each thing leads to where it is mended, then how much goes how fast. */
import { html } from "../dom.js";
import { lookAgain, stuckSeconds, useOverview } from "../overview.js";
import { Minutes } from "../parts/chart.js";
import { countOf, countText, many, rateText } from "../parts/count.js";
import { Icon } from "../parts/icons.js";
import { Answered, Empty } from "../parts/notice.js";
import { Page, Section } from "../parts/page.js";
import { sagaStatuses, waitText } from "../parts/status.js";
import { Ago, durationText } from "../parts/time.js";
import { Link } from "../router.js";
import { useStore } from "../store.js";

const outboxSlowSeconds = 30; // a command that waits so long to leave is worth a word

export function Overview() {
  const overview = useOverview();
  return html`<${Page} title="Overview" mark=${overview.value && html`<${Mood} of=${overview.value} />`}>
    <${Answered} of=${{ ...overview, again: lookAgain }} what="Reading how it stands…">${(value) => html`<${Standing} of=${value} />`}<//>
  <//>`;
}

function Mood({ of }) {
  const found = wrongs(of).filter((one) => one.tone === "bad").length;
  return found === 0
    ? html`<span class="mood good"><${Icon} name="check" /> nothing needs you</span>`
    : html`<span class="mood bad"><${Icon} name="alert" /> ${many(found, "thing")} need${found === 1 ? "s" : ""} you</span>`;
}

function Standing({ of }) {
  const everything = Object.values(of.sagas).reduce((sum, count) => sum + countOf(count), 0);
  if (everything === 0) {
    return html`<${Wrongs} of=${of} /><${Empty} title="Nothing has been started yet." icon="run">
      <p>Register a definition and start a saga: <${Link} to="definitions">definitions<//> have a form for it. Or run
      <code> amends demo</code>, and see a shop take orders.</p><//>`;
  }
  return html`
    <${Wrongs} of=${of} />
    <${Numbers} of=${of} />
    <div class="columns">
      <${Section} title="The last hour" says=${`${rateText(of.rates.started_per_minute)} started and ${rateText(of.rates.finished_per_minute)} ended a minute, over the last 5`}>
        <${Minutes} minutes=${of.rates.minutes} label="Sagas" up=${{ name: "started", label: "started" }} down=${{ name: "finished", label: "ended" }} />
      <//>
      <${Section} title="Waiting on" says="what the active sagas wait for"><${WaitingOn} of=${of} /><//>
    </div>`;
}

// --- what is wrong ---------------------------------------------------------------------------------------------------

/** Everything that is wrong, the worst first: {key, tone, icon, what, says, to, query, since}. */
function wrongs(of) {
  const found = [];
  const add = (when, one) => when && found.push(one);
  for (const incident of of.incidents?.newest ?? []) {
    add(incident.status !== "closed", {
      key: incident.id, tone: "bad", icon: "alert", what: incident.headline || "Failures that share a cause",
      says: many(incident.failures, "failure"), to: `incidents/${incident.id}`, since: incident.last_at,
    });
  }
  const more = of.incidents ? of.incidents.open - found.length : 0;
  add(more > 0, { key: "incidents", tone: "bad", icon: "alert", what: `${many(more, "more incident")}`, says: "open", to: "incidents", query: { status: "open" } });
  add(of.sagas.blocked.count > 0, {
    key: "blocked", tone: "bad", icon: "stop", what: `${many(of.sagas.blocked, "saga")} blocked`,
    says: "a person has to decide", to: "sagas", query: { status: "blocked" },
  });
  add(of.stuck.sagas.count > 0, {
    key: "stuck", tone: "warn", icon: "wait", what: `${many(of.stuck.sagas, "saga")} stuck`,
    says: `nothing happened for ${durationText(of.stuck.for_seconds)}`, since: of.stuck.oldest_at,
    to: "sagas", query: { status: "running,compensating", stuck_for_seconds: of.stuck.for_seconds },
  });
  add(of.dead_letters.open.count > 0, {
    key: "letters", tone: "bad", icon: "cross", what: many(of.dead_letters.open, "dead letter"),
    says: "could not be processed", to: "dead-letters", since: of.dead_letters.oldest_at,
  });
  add(of.outbox.parked > 0, {
    key: "parked", tone: "bad", icon: "send", what: `${many(of.outbox.parked, "command")} can't be sent`,
    says: "set aside by the relay", to: "participants",
  });
  add(of.outbox.oldest_seconds > outboxSlowSeconds, {
    key: "outbox", tone: "warn", icon: "send", what: `A command has waited ${durationText(of.outbox.oldest_seconds)} to leave`,
    says: `${countText(of.outbox.waiting)} in the outbox`, to: "participants",
  });
  for (const name of of.workers.unattended) {
    add(true, { key: `none ${name}`, tone: "bad", icon: "ring", what: `Nobody runs ${name}`, says: "no live worker answers its commands", to: `participants/${name}` });
  }
  for (const worker of of.workers.lost.filter((one) => !of.workers.unattended.includes(one.participant))) {
    add(true, {
      key: `lost ${worker.worker}`, tone: "warn", icon: "ring", what: `A worker of ${worker.participant} fell silent`,
      says: worker.version ? `version ${worker.version}` : "without a word", since: worker.last_seen, to: `participants/${worker.participant}`,
    });
  }
  add(of.broker !== "connected", { key: "broker", tone: "bad", icon: "alert", what: "The broker can't be reached", says: "what is accepted is kept, and leaves when it is back", to: "participants" });
  return found;
}

function Wrongs({ of }) {
  const found = wrongs(of);
  const stuck = useStore(stuckSeconds);
  const after = html`<label class="stuck-after">stuck after
    <select value=${String(stuck)} onChange=${(event) => stuckSeconds.set(Number(event.target.value))}>
      ${[60, 300, 900, 3600, 86400].map((seconds) => html`<option value=${String(seconds)}>${durationText(seconds)}</option>`)}
    </select></label>`;
  if (found.length === 0) {
    return html`<div class="fine"><${Icon} name="check" /><p>Nothing is wrong: no incident is open, no saga is blocked or stuck, no letter is dead, and every worker answers.</p>${after}</div>`;
  }
  return html`<${Section} title="What is wrong" verbs=${after}>
    <ul class="wrongs">${found.map((one) => html`<li key=${one.key} class=${one.tone}>
      <${Link} to=${one.to} query=${one.query}>
        <${Icon} name=${one.icon} label=${one.tone === "bad" ? "bad" : "warning"} />
        <span class="wrong-what">${one.what}</span>
        <span class="wrong-says">${one.says}</span>
        <span class="wrong-since">${one.since && html`<${Ago} at=${one.since} />`}</span>
        <${Icon} name="right" />
      <//>
    </li>`)}</ul>
  <//>`;
}

// --- how much ----------------------------------------------------------------------------------------------------------

function Numbers({ of }) {
  const { durations, outbox, workers } = of;
  return html`<div class="figures">
    ${["running", "compensating", "blocked"].map((status) => html`<${Figure} key=${status} status=${status} value=${of.sagas[status]} />`)}
    <div class="figures-gap"></div>
    ${["completed", "compensated", "closed"].map((status) => html`<${Figure} key=${status} status=${status} value=${of.sagas[status]} />`)}
    <div class="figures-gap"></div>
    <${Plain} label="median · 95 of 100" value=${`${durationText(durations.p50_seconds)} · ${durationText(durations.p95_seconds)}`}
      title=${`how long it took, of the newest ${durations.sagas} that ended`} />
    <${Plain} label="in the outbox" value=${`${countText(outbox.waiting)}${outbox.capped ? "+" : ""}`} title=${outbox.oldest_seconds === null ? "nothing waits" : `the oldest for ${durationText(outbox.oldest_seconds)}`} to="participants" />
    <${Plain} label=${workers.live === 1 ? "live worker" : "live workers"} value=${workers.live} to="participants" />
  </div>`;
}

function Figure({ status, value }) {
  const { icon, tone, says } = sagaStatuses[status];
  return html`<${Link} to="sagas" query=${{ status }} class=${`figure ${countOf(value) > 0 ? tone : "zero"}`} title=${says}>
    <span class="figure-value">${countText(value)}</span>
    <span class="figure-label"><${Icon} name=${icon} /> ${status}</span>
  <//>`;
}

function Plain({ label, value, title, to }) {
  const inside = html`<span class="figure-value">${value}</span><span class="figure-label">${label}</span>`;
  return to ? html`<${Link} to=${to} class="figure" title=${title}>${inside}<//>` : html`<div class="figure" title=${title}>${inside}</div>`;
}

function WaitingOn({ of }) {
  if (of.waiting_on.length === 0) return html`<p class="none">Nothing is under way.</p>`;
  const most = Math.max(...of.waiting_on.map((one) => countOf(one.sagas)));
  return html`<ul class="waits-for">${of.waiting_on.slice(0, 12).map((one) => html`<li key=${`${one.kind} ${one.participant}`}>
    <${Link} to="sagas" query=${{ waiting_on: one.kind, participant: one.participant }}>
      <span>${waitText(one.kind, one.participant)}</span>
      <meter min="0" max=${most} value=${countOf(one.sagas)} aria-hidden="true"></meter>
      <span class="number">${countText(one.sagas)}</span>
    <//>
  </li>`)}</ul>`;
}
