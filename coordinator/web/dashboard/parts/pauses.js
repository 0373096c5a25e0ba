/** What is paused or slowed down, said on every page, with the way to end it. */
import { html } from "../dom.js";
import { remove } from "../api.js";
import { lookAgain, useOverview } from "../overview.js";
import { confirm } from "./dialog.js";
import { Icon } from "./icons.js";
import { say } from "./notice.js";
import { Ago } from "./time.js";

/** "everything", "the sagas of place_order", "payment". */
export function pausedText(pause) {
  if (pause.scope === "all") return "everything";
  return pause.scope === "definition" ? `the sagas of ${pause.name}` : pause.name;
}

/** Ask, then end a pause. True: it was ended. */
export async function endPause(pause) {
  const slowed = pause.rate_per_second !== null;
  const done = await confirm({
    title: slowed ? `Let ${pausedText(pause)} go at full speed?` : `Resume ${pausedText(pause)}?`,
    says: `${slowed ? "Slowed down" : "Paused"} by ${pause.by}: ${pause.reason}`,
    verb: slowed ? "Full speed" : "Resume",
    reason: false,
    does: () => remove(`v1/pauses/${pause.id}`),
  });
  if (done) {
    say(`${pausedText(pause)} goes on.`);
    lookAgain();
  }
  return done !== null;
}

export function Pauses() {
  const { value } = useOverview();
  if (!value?.pauses?.length) return null;
  return html`<ul class="pauses" aria-label="Paused now">${value.pauses.map((pause) => html`<li key=${pause.id}>
    <${Icon} name="pause" />
    <span><strong>${pause.scope === "participant" ? pause.name : capital(pausedText(pause))}</strong> ${pause.rate_per_second === null ? "is paused" : `is held to ${pause.rate_per_second} a second`}
      ${" "}for <${Ago} at=${pause.since} since />, by ${pause.by}: ${pause.reason}${pause.ends_at && html`; ends <${Ago} at=${pause.ends_at} />`}</span>
    <button class="quiet-button" onClick=${() => endPause(pause)}>${pause.rate_per_second === null ? "Resume" : "End it"}</button>
  </li>`)}</ul>`;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
