/** Statuses as people see them: a drawing, a word and a tone, so that no status is told by its colour alone. */
import { html } from "../dom.js";
import { Icon } from "./icons.js";

export const sagaStatuses = {
  running: { icon: "run", tone: "forward", says: "on its way forward" },
  compensating: { icon: "back", tone: "backward", says: "undoing what was done" },
  blocked: { icon: "stop", tone: "bad", says: "needs a person" },
  completed: { icon: "check", tone: "good", says: "every step is done" },
  compensated: { icon: "undone", tone: "settled", says: "every effect was undone" },
  closed: { icon: "closed", tone: "warn", says: "ended by a person, with effects left behind" },
};

export const stepStatuses = {
  pending: { icon: "ring", tone: "quiet", says: "not begun" },
  waiting: { icon: "wait", tone: "warn", says: "waits for its next attempt" },
  dispatched: { icon: "send", tone: "forward", says: "its command is sent" },
  succeeded: { icon: "check", tone: "good", says: "done" },
  refused: { icon: "cross", tone: "bad", says: "the participant refused: nothing happened" },
  failed: { icon: "cross", tone: "bad", says: "given up" },
  skipped: { icon: "skip", tone: "quiet", says: "left out" },
  compensating: { icon: "back", tone: "backward", says: "being undone" },
  compensated: { icon: "undone", tone: "settled", says: "undone" },
  blocked: { icon: "stop", tone: "bad", says: "needs a person" },
  waived: { icon: "waive", tone: "warn", says: "left as it is, by a person" },
};

const waits = {
  reply: "a reply",
  backoff: "the next attempt",
  inquiry: "an inbox's answer",
  blocked: "a person",
  paused: "its pause to end",
  no_consumer: "a live worker",
  outbox: "the broker",
  unreadable: "a record that can't be read",
};

/** What a line of a list waits for, in words. */
export function waitText(kind, participant) {
  if (!kind) return "";
  const what = waits[kind] ?? kind;
  return participant && kind !== "blocked" && kind !== "paused" ? `${what} of ${participant}` : what;
}

/** Any word with a drawing and a tone: <Badge icon="stop" tone="bad">blocked</Badge>. */
export function Badge({ icon, tone = "quiet", title, children }) {
  return html`<span class=${`badge ${tone}`} title=${title}>${icon && html`<${Icon} name=${icon} />`}<span>${children}</span></span>`;
}

export function SagaStatus({ status }) {
  const known = sagaStatuses[status] ?? { icon: "ring", tone: "quiet", says: "" };
  return html`<${Badge} icon=${known.icon} tone=${known.tone} title=${known.says}>${status}<//>`;
}

export function StepStatus({ status }) {
  const known = stepStatuses[status] ?? { icon: "ring", tone: "quiet", says: "" };
  return html`<${Badge} icon=${known.icon} tone=${known.tone} title=${known.says}>${status}<//>`;
}
