/** Asking many sagas for the same: first what would come of it, then why, then how far it is. */
import { html, useEffect, useState } from "../dom.js";
import { get, post } from "../api.js";
import { countText, many } from "../parts/count.js";
import { confirm } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { Trouble, say } from "../parts/notice.js";
import { SagaStatus } from "../parts/status.js";
import { Allowed } from "../session.js";
import { store, useStore } from "../store.js";
import { bulkFilter } from "./sagas-filters.js";

const idsMax = 500;
const everyMilliseconds = 1_000;
const over = (bulk) => bulk.state === "done" || bulk.state === "cancelled";

/** The bulks that are under way, or were when this page was opened; those that a person has seen to the end go. */
const bulks = store([]);

const verbs = {
  retry: { label: "Retry", says: "Every blocked step is tried again." },
  cancel: { label: "Cancel", tone: "bad", says: "Running sagas turn, and what they did is undone." },
  pause: { label: "Pause", says: "Their clocks stand still and nothing is sent." },
  resume: { label: "Resume", says: "They go on where they were paused." },
  skip: { label: "Skip a step", says: "They go on without a step that has not happened.", step: true },
  settle: { label: "Settle a step", says: "A person states that a blocked step is done, or undone.", step: true, settlement: true },
  waive: { label: "Waive", tone: "bad", says: "Blocked steps are left as they are; the sagas will end closed." },
  close: { label: "Close", tone: "bad", says: "Blocked sagas end with their effects left behind." },
};

export function Bulk({ chosen, query, total, all, setAll, clear }) {
  const filter = all ? bulkFilter(query) : { ids: [...chosen].slice(0, idsMax) };
  const filtered = Object.keys(bulkFilter(query)).length > 0;
  const more = filtered && total && total.count > chosen.size;
  const count = all ? total : chosen.size;
  return html`<div class="bulk" role="region" aria-label="What is chosen">
    <strong>${many(count, "saga")} ${all ? "match" : "chosen"}</strong>
    ${more && !all && html`<button class="quiet-button" onClick=${() => setAll(true)}>Choose all ${countText(total)} that match</button>`}
    ${all && html`<button class="quiet-button" onClick=${() => setAll(false)}>Only the ${chosen.size} chosen</button>`}
    <span class="bulk-verbs">${Object.entries(verbs).map(([verb, { label, says }]) => html`
      <button key=${verb} class="button small" title=${says} onClick=${() => begin(verb, filter)}>${label}</button>`)}</span>
    <button class="quiet-button" onClick=${clear}>Leave it</button>
  </div>`;
}

async function begin(verb, filter) {
  const { label, says, step, settlement, tone } = verbs[verb];
  let stated = {};
  if (step) {
    stated = await confirm({
      title: label, says, verb: "Look first", reason: false,
      fields: [
        { name: "step", label: "Which step?", required: true, hint: "its name in the definition" },
        ...(settlement ? [{ name: "settlement", label: "It is", kind: "choice", options: ["done", "undone"] }] : []),
      ],
    });
    if (!stated) return;
  }
  const asked = { filter, verb, arguments: stated };
  let look;
  try {
    look = (await post("v1/sagas/bulk", { ...asked, reason: "a look at what would come of it", dry_run: true })).value;
  } catch (problem) {
    say(problem.message, "bad");
    return;
  }
  const key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  const done = await confirm({
    title: `${label}: ${many(look.total, "saga")}?`,
    tone,
    verb: look.total.count === 0 ? "" : `${label} ${countText(look.total)}`,
    reason: look.total.count > 0,
    says: html`<p>${says}</p><${Sample} look=${look} />`,
    does: (why) => post("v1/sagas/bulk", { ...asked, reason: why.reason }, { headers: { "Idempotency-Key": key } }),
  });
  if (done) bulks.set((before) => [done.value, ...before]);
}

const woulds = { change: "changes", nothing: "nothing to do", refuse: "refuses" };

function Sample({ look }) {
  if (look.total.count === 0) return html`<p>No saga matches any more.</p>`;
  const whole = look.sample.length < look.total.count ? `The first ${look.sample.length}:` : "";
  return html`<p>${whole}</p><ul class="sample">${look.sample.map(({ saga, would, why }) => html`<li key=${saga.id}>
    <${SagaStatus} status=${saga.status} />
    <span class="mono">${saga.business_key ?? saga.id}</span>
    <span class=${would === "change" ? "" : "none"}>${woulds[would] ?? would}${why ? `: ${why}` : ""}</span>
  </li>`)}</ul>`;
}

/** What is under way, with how far it is. */
export function BulkList() {
  const known = useStore(bulks);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    const open = ({ value }) => value.items.filter((bulk) => !over(bulk));
    const add = (found) => bulks.set((before) => [...before, ...found.filter((bulk) => !before.some((one) => one.id === bulk.id))]);
    get("v1/bulk", { query: { limit: 20 } }).then((answer) => add(open(answer)), () => {});
  }, []);
  const running = known.filter((bulk) => !over(bulk)).map((bulk) => bulk.id).join(" ");
  useEffect(() => {
    if (!running) return undefined;
    const look = async () => {
      try {
        const found = await Promise.all(running.split(" ").map((id) => get(`v1/bulk/${id}`)));
        const newest = new Map(found.map(({ value }) => [value.id, value]));
        bulks.set((before) => before.map((bulk) => newest.get(bulk.id) ?? bulk));
        setProblem(null);
      } catch (one) {
        setProblem(one);
      }
    };
    const timer = setInterval(look, everyMilliseconds);
    return () => clearInterval(timer);
  }, [running]);
  if (known.length === 0) return null;
  return html`<ul class="bulks" aria-label="Under way">
    ${problem && html`<${Trouble} problem=${problem} />`}
    ${known.map((bulk) => html`<${Progress} key=${bulk.id} bulk=${bulk} />`)}
  </ul>`;
}

function Progress({ bulk }) {
  const most = Math.max(bulk.total.count, bulk.handled);
  const label = verbs[bulk.verb]?.label ?? bulk.verb;
  const stop = () => confirm({
    title: `Stop ${label.toLowerCase()} at ${bulk.handled} of ${countText(bulk.total)}?`, reason: "optional", verb: "Stop it",
    says: "What was carried out stays.",
    does: async (stated) => {
      const { value } = await post(`v1/bulk/${bulk.id}/cancel`, stated.reason ? { reason: stated.reason } : {});
      bulks.set((before) => before.map((one) => (one.id === value.id ? value : one)));
    },
  });
  const forget = () => bulks.set((before) => before.filter((one) => one.id !== bulk.id));
  return html`<li>
    <span class="bulk-what"><strong>${label}</strong> ${bulk.state === "done" ? "is through" : bulk.state === "cancelled" ? "was stopped" : "is under way"}:
      ${" "}${bulk.handled} of ${countText(bulk.total)}, ${bulk.changed} changed${bulk.unchanged ? `, ${bulk.unchanged} had nothing to do` : ""}${bulk.refused ? `, ${bulk.refused} refused` : ""}</span>
    <progress max=${most || 1} value=${over(bulk) ? most || 1 : bulk.handled} aria-label=${`${label}: ${bulk.handled} of ${most}`}></progress>
    ${over(bulk)
      ? html`<button class="copy" onClick=${forget} aria-label="Put it away"><${Icon} name="cross" /></button>`
      : html`<${Allowed}><button class="quiet-button" onClick=${stop}>Stop</button><//>`}
    ${bulk.refusals.length > 0 && html`<ul class="bulk-refusals">${bulk.refusals.map((one) => html`<li>${one.sagas} × ${one.reason}</li>`)}</ul>`}
  </li>`;
}
