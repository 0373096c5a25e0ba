/** What may be asked of a saga or a step now, as the API names it; each with its question, and why, where it overrides. */
import { html } from "../dom.js";
import { ask, get } from "../api.js";
import { parse, written } from "../json.js";
import { confirm } from "../parts/dialog.js";
import { say } from "../parts/notice.js";
import { useMay } from "../session.js";

const bytesMax = 262_144; // of an input that is offered to be changed

const known = {
  cancel: { label: "Cancel", tone: "bad", title: () => "Cancel this saga?", says: "It turns: what was done is undone, and it ends compensated." },
  pause: { label: "Pause", title: () => "Pause this saga?", says: "Nothing more is sent and its clocks stand still. Replies are still taken." },
  resume: { label: "Resume", title: () => "Resume this saga?", says: "It goes on where it was paused; its clocks run again." },
  close: { label: "Close", tone: "bad", title: () => "Close this saga?", says: "It ends now, with its effects left behind. It lists them." },
  retry: { label: "Retry", title: (step) => `Retry ${step}?`, says: "It is tried again, with a new budget of attempts." },
  settle: {
    label: "Settle", title: (step) => `Settle ${step}?`, says: "State how it really is, having looked. The saga goes on from there.",
    fields: [
      { name: "settlement", label: "It is", kind: "choice", options: [{ value: "done", label: "done: its effect is there" }, { value: "undone", label: "undone: there is no effect" }] },
      { name: "result", label: "What it gave, as JSON", kind: "area", hint: "of a step that is done; later steps may read it" },
    ],
  },
  waive: { label: "Waive", tone: "bad", title: (step) => `Waive ${step}?`, says: "It is left as it is, whatever is left of it in the world. The saga will end closed." },
  skip: { label: "Skip", title: (step) => `Skip ${step}?`, says: "The saga goes on without it." },
};

export const verbLabel = (verb) => known[verb]?.label ?? verb;

/** The buttons for what is legal now. `done` is called after each that went well. */
export function Verbs({ verbs, step, done, small = false, about = "" }) {
  if (!useMay("operator")) return null;
  return html`${verbs.map((verb) => html`
    <button key=${verb.verb} type="button" class=${small ? "button small" : "button"} title=${known[verb.verb]?.says}
      onClick=${() => begin(verb, step, done)}>${verbLabel(verb.verb)}${about ? ` ${about}` : ""}</button>`)}
    ${step?.blocked === "action" && verbs.some((verb) => verb.verb === "retry") && html`
      <button key="another" type="button" class=${small ? "button small" : "button"} title="Try it again with an input that you change"
        onClick=${() => retryOtherwise(verbs.find((verb) => verb.verb === "retry"), step, done)}>Retry with another input</button>`}`;
}

async function begin(verb, step, done) {
  const { label = verb.verb, tone, title = () => `${verb.verb}?`, says, fields } = known[verb.verb] ?? {};
  const answer = await confirm({
    title: title(step?.name), says, tone, fields,
    verb: step ? `${label} ${step.name}` : label,
    reason: verb.needs.includes("reason") ? true : "optional",
    does: ({ reason, settlement, result }) => {
      const parts = { ...(reason ? { reason } : {}), ...(settlement ? { settlement } : {}) };
      return send(verb.href, parts, "result", settlement === "done" ? result : "");
    },
  });
  if (answer) told(`${label}${step ? ` ${step.name}` : ""}: done.`, done);
}

/** Another input is offered as the last one was, to the digit, and sent as it was typed. */
async function retryOtherwise(verb, step, done) {
  let before = "";
  try {
    const path = verb.href.replace(/\/retry$/, "/input");
    const { value } = await get(path, { query: { max_bytes: bytesMax } });
    before = value.truncated ? "" : written(parse(value.text));
  } catch {
    before = ""; // none was sent, or it can't be read: the person begins with nothing
  }
  const answer = await confirm({
    title: `Retry ${step.name} with another input?`,
    says: "This step alone gets it. The saga's own input stays as it was.",
    verb: `Retry ${step.name}`,
    fields: [{ name: "input", label: "Input, as JSON", kind: "area", value: before, rows: 10, class: "mono", required: true, spellcheck: false }],
    does: ({ reason, input }) => send(verb.href, { reason }, "input", input),
  });
  if (answer) told(`${step.name} is tried again with another input.`, done);
}

/** A body whose one part a person typed as JSON: it goes out as it is. */
async function send(href, parts, name, typed) {
  const text = typed.trim();
  if (text) {
    try {
      parse(text);
    } catch (error) {
      throw Object.assign(new Error(error.message), { title: "That is not JSON", detail: error.message });
    }
  }
  const body = JSON.stringify(parts);
  const comma = body === "{}" ? "" : ",";
  const raw = text ? `${body.slice(0, -1)}${comma}${JSON.stringify(name)}:${text}}` : body;
  return (await ask("POST", href, { raw })).value;
}

function told(text, done) {
  say(text);
  done();
}
