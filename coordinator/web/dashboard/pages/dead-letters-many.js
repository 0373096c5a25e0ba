/** Seeing to many letters, one after the other: how far it is, what was refused and why, and a way to stop. */
import { html } from "../dom.js";
import { post } from "../api.js";
import { many } from "../parts/count.js";
import { confirm } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { store, useStore } from "../store.js";

const atOnce = 4;
const doing = store(null); // {label, total, handled, done, refusals: Map, over, stop}

export async function redriveAll(letters, done) {
  const stated = await confirm({
    title: `Send ${many(letters.length, "letter")} again?`,
    says: "Each goes where it was going. What is no longer awaited is refused, and stays here.",
    verb: "Send again",
    reason: "optional",
  });
  if (stated) await each("Sending again", letters, "redrive", stated.reason ? { reason: stated.reason } : {}, done);
}

export async function discardAll(letters, done) {
  const stated = await confirm({
    title: `Discard ${many(letters.length, "letter")}?`,
    says: "They are put aside for good, and can't be sent again. They stay in the list of those discarded.",
    verb: "Discard",
    tone: "bad",
  });
  if (stated) await each("Discarding", letters, "discard", { reason: stated.reason }, done);
}

async function each(label, letters, verb, body, done) {
  let stopped = false;
  const state = { label, total: letters.length, handled: 0, done: 0, refusals: new Map(), over: false, stop: () => (stopped = true) };
  const tell = (parts) => doing.set({ ...Object.assign(state, parts) });
  tell({});
  const rest = [...letters];
  const work = async () => {
    for (let letter = rest.shift(); letter && !stopped; letter = rest.shift()) {
      try {
        await post(`v1/dead-letters/${letter.id}/${verb}`, body);
        state.done += 1;
      } catch (problem) {
        const why = problem.message.replaceAll(letter.id, "").replace(/^dead letter\s*:?\s*/, "");
        state.refusals.set(why, (state.refusals.get(why) ?? 0) + 1);
      }
      tell({ handled: state.handled + 1 });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  tell({ over: true });
  done();
}

export function Doing() {
  const now = useStore(doing);
  if (!now) return null;
  const refused = now.handled - now.done;
  return html`<ul class="bulks" aria-label="Under way"><li>
    <span class="bulk-what"><strong>${now.label}</strong>: ${now.done} of ${now.total} done${refused ? `, ${refused} refused` : ""}</span>
    <progress max=${now.total} value=${now.handled} aria-label=${`${now.label}: ${now.handled} of ${now.total}`}></progress>
    ${now.over
      ? html`<button class="copy" onClick=${() => doing.set(null)} aria-label="Put it away"><${Icon} name="cross" /></button>`
      : html`<button class="quiet-button" onClick=${now.stop}>Stop</button>`}
    ${refused > 0 && html`<ul class="bulk-refusals">${[...now.refusals].map(([why, count]) => html`<li>${count} × ${why}</li>`)}</ul>`}
  </li></ul>`;
}
