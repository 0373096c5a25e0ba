/** What is paused or slowed down, said on every page, with the way to end it. */
import { html } from "../dom.js";
import { post } from "../api.js";
import { lookAgain, useOverview } from "../overview.js";
import { Allowed } from "../session.js";
import { confirm } from "./dialog.js";
import { Icon } from "./icons.js";
import { say } from "./notice.js";
import { Ago } from "./time.js";

/** "everything", "the sagas of place_order", "payment". */
export function pausedText(pause) {
  if (pause.scope === "all") return "everything";
  return pause.scope === "definition" ? `the sagas of ${pause.name}` : pause.name;
}

const pacesMax = { rate: 10_000, minutes: 43_200 };
const howLong = { name: "minutes", label: "For how many minutes?", kind: "number", min: 0.01, max: pacesMax.minutes, hint: "Without a number it lasts until somebody ends it." };
const seconds = (minutes) => (minutes === null ? undefined : minutes * 60);

/** Ask, then pause everything, a definition's sagas or a participant. True: it was. */
export async function beginPause(scope, name = null) {
  const what = pausedText({ scope, name });
  const done = await confirm({
    title: `Pause ${what}?`,
    says: {
      all: "Nothing is sent to anybody. What is in the workers' hands ends; starts are accepted, and wait.",
      definition: "Its sagas send nothing more, and their clocks stand still. Starts are accepted, and wait.",
      participant: "Nothing more is sent to it. What is in its workers' hands ends; what waits for it is kept.",
    }[scope],
    verb: "Pause",
    fields: [howLong],
    does: (stated) => post("v1/pauses", { scope, ...(name ? { name } : {}), reason: stated.reason, seconds: seconds(stated.minutes) }),
  });
  return told(done, `${capital(what)} ${isOrAre({ scope })} paused.`);
}

/** Ask, then hold a participant to a rate. True: it was. */
export async function slowDown(name) {
  const done = await confirm({
    title: `Slow ${name} down?`,
    says: "Each coordinator sends it no more than this. What waits for its turn has not begun to time out.",
    verb: "Slow down",
    fields: [{ name: "rate", label: "Commands a second, at most", kind: "number", required: true, min: 0.01, max: pacesMax.rate }, howLong],
    does: (stated) => post("v1/pauses", {
      scope: "participant", name, reason: stated.reason, rate_per_second: stated.rate, seconds: seconds(stated.minutes),
    }),
  });
  return told(done, `${name} is slowed down.`);
}

/** Ask, then end a pause: at once, or at a bounded rate for a while. True: it was ended. */
export async function endPause(pause) {
  const slowed = pause.rate_per_second !== null;
  const what = pausedText(pause);
  const done = await confirm({
    title: slowed ? `Let ${what} go at full speed?` : `Resume ${what}?`,
    says: `${slowed ? "Slowed down" : "Paused"} by ${pause.by}: ${pause.reason}`,
    verb: slowed ? "Full speed" : "Resume",
    reason: false,
    fields: [
      { name: "rate", label: slowed ? "Or at another rate, commands a second" : "Slowly at first, commands a second", kind: "number", min: 0.01, max: pacesMax.rate,
        hint: "What has piled up then comes bit by bit: so many a second to each participant, from each coordinator." },
      { name: "minutes", label: "At that rate for how many minutes?", kind: "number", value: 10, min: 0.01, max: pacesMax.minutes },
      { name: "reason", label: "Why so slowly?", maxlength: 1000, hint: "It is shown with the rate, as long as that lasts." },
    ],
    does: ({ reason, rate, minutes }) => post(`v1/pauses/${pause.id}/resume`, {
      ...(reason.trim() ? { reason: reason.trim() } : {}),
      ...(rate === null ? {} : { rate_per_second: rate, seconds: seconds(minutes) }),
    }),
  });
  return told(done, `${capital(what)} ${pause.scope === "definition" ? "go" : "goes"} on${done?.value?.throttles.length ? ", slowly" : ""}.`);
}

function told(done, text) {
  if (done) {
    say(text);
    lookAgain();
  }
  return done !== null;
}

export function Pauses() {
  const { value } = useOverview();
  if (!value?.pauses?.length) return null;
  return html`<ul class="pauses" aria-label="Paused now">${value.pauses.map((pause) => html`<li key=${pause.id}>
    <${Icon} name="pause" />
    <span><strong>${pause.scope === "participant" ? pause.name : capital(pausedText(pause))}</strong> ${pause.rate_per_second === null ? `${isOrAre(pause)} paused` : `is held to ${pause.rate_per_second} a second`}
      ${" "}for <${Ago} at=${pause.since} since />, by ${pause.by}: ${pause.reason}${pause.ends_at && html`; ends <${Ago} at=${pause.ends_at} />`}</span>
    <${Allowed}><button class="quiet-button" onClick=${() => endPause(pause)}>${pause.rate_per_second === null ? "Resume" : "End it"}</button><//>
  </li>`)}</ul>`;
}

const isOrAre = ({ scope }) => (scope === "definition" ? "are" : "is");
const capital = (text) => text[0].toUpperCase() + text.slice(1);
