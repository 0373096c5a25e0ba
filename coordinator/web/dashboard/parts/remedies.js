/** What may be done: remedies that a person decides about, and advice that only people can follow. */
import { html } from "../dom.js";
import { post } from "../api.js";
import { Allowed } from "../session.js";
import { wordOf } from "./diagnosis.js";
import { confirm } from "./dialog.js";
import { say } from "./notice.js";
import { Section } from "./page.js";
import { Badge } from "./status.js";
import { Ago } from "./time.js";

const states = {
  proposed: { icon: "wait", tone: "warn", word: "proposed", verbs: ["approve", "reject"] },
  shadow: { icon: "ring", tone: "quiet", word: "would have begun, had that been allowed", verbs: ["approve", "reject"] },
  approved: { icon: "check", tone: "forward", word: "approved, not begun yet", verbs: ["reject"] },
  begun: { icon: "run", tone: "forward", word: "in effect", verbs: ["undo"] },
  rejected: { icon: "cross", tone: "quiet", word: "rejected", verbs: [] },
  helped: { icon: "check", tone: "good", word: "helped", verbs: [] },
  undone: { icon: "undone", tone: "settled", word: "did not help, and was taken back", verbs: [] },
  failed: { icon: "cross", tone: "bad", word: "could not be carried out", verbs: [] },
  ended: { icon: "closed", tone: "quiet", word: "over", verbs: [] },
};

const verbs = {
  approve: { label: "Approve", says: "It is carried out now, or as soon as nothing else is under way there." },
  reject: { label: "Reject", says: "It is not carried out, nor proposed again for this incident." },
  undo: { label: "Undo", says: "What is in effect is taken back." },
};

const kinds = {
  retry_step: "Retry the blocked step", open_circuit: "Pause the participant for a while", pause_definition: "Pause the definition", throttle: "Slow the participant down",
  park_saga: "Pause the saga", redrive: "Send the dead letters again", pause_all: "Pause everything",
};

const named = (kind) => kinds[kind] ?? wordOf(kind).replace(/^./, (first) => first.toUpperCase());

/** @param {{remedies: any[], advice: any[], done: () => void}} given `advice`: what the report proposes, all of it */
export function Remedies({ remedies, advice, done }) {
  const decided = new Set(remedies.map((remedy) => remedy.kind));
  const others = advice.filter((one) => !decided.has(one.kind));
  if (remedies.length + others.length === 0) return null;
  return html`<${Section} title="What to do"><ul class="remedies">
    ${remedies.map((remedy) => html`<${Remedy} key=${remedy.id} remedy=${remedy} text=${advice.find((one) => one.kind === remedy.kind)?.text} done=${done} />`)}
    ${others.map((one, at) => html`<li key=${at}><p><strong>${named(one.kind)}</strong> <span class="hint">${one.kind in kinds ? "" : "for people to do"}</span></p><p><bdi>${one.text}</bdi></p></li>`)}
  </ul><//>`;
}

function Remedy({ remedy, text, done }) {
  const state = states[remedy.state] ?? { icon: "ring", tone: "quiet", word: wordOf(remedy.state), verbs: [] };
  const begin = async (verb) => {
    const { label, says } = verbs[verb];
    const answer = await confirm({
      title: `${label}: ${named(remedy.kind).toLowerCase()}?`, verb: label, reason: verb === "approve" ? "optional" : true,
      tone: verb === "approve" ? "plain" : "bad",
      says: html`<p><bdi>${remedy.reason}</bdi></p><p>${says} It concerns <bdi>${remedy.scope}</bdi>.</p>`,
      does: async ({ reason }) => (await post(`v1/remedies/${remedy.id}/${verb}`, reason ? { reason } : {})).value,
    });
    if (!answer) return;
    say(`${named(remedy.kind)}: ${states[answer.state]?.word ?? answer.state}.`);
    done();
  };
  return html`<li class="remedy">
    <p class="remedy-head"><strong>${named(remedy.kind)}</strong> <bdi class="hint">${remedy.scope}</bdi> <${Badge} icon=${state.icon} tone=${state.tone}>${state.word}<//>
      <${Allowed}><span class="remedy-verbs">${state.verbs.map((verb) => html`<button key=${verb} type="button" class="button small" title=${verbs[verb].says} onClick=${() => begin(verb)}>${verbs[verb].label}</button>`)}</span><//></p>
    ${text && html`<p><bdi>${text}</bdi></p>`}
    <p class="hint"><bdi>${remedy.reason}</bdi>; ${remedy.automatic ? "begun by itself" : remedy.by ? html`by <bdi>${remedy.by}</bdi>` : "nobody decided yet"}, proposed <${Ago} at=${remedy.proposed_at} />
      ${remedy.ends_at && !remedy.ended_at && html`, ends <${Ago} at=${remedy.ends_at} />`}${remedy.ended_at && html`, ended <${Ago} at=${remedy.ended_at} />`}
      ${measured(remedy)}${remedy.outcome && html`: <bdi>${remedy.outcome}</bdi>`}</p>
  </li>`;
}

function measured({ measured_before: before, measured_after: after }) {
  if (before === null) return "";
  return `, failing before ${Math.round(100 * before)} %${after === null ? "" : `, after ${Math.round(100 * after)} %`}`;
}
