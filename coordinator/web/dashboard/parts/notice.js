/** What is said where there is nothing to show: nothing yet, not read yet, or why it can't be read. */
import { html, useEffect, useState } from "../dom.js";
import { store, useStore } from "../store.js";
import { Icon } from "./icons.js";

/** Nothing is here, and what to do about it. */
export function Empty({ title, icon = "ring", children }) {
  return html`<div class="empty"><${Icon} name=${icon} /><p class="empty-title">${title}</p><div class="empty-says">${children}</div></div>`;
}

/** It is being read. Said only when that takes a while, so that nothing flickers. */
export function Loading({ what = "Reading…" }) {
  const [late, set] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => set(true), 400);
    return () => clearTimeout(timer);
  }, []);
  return html`<p class="loading" role="status">${late ? what : ""}</p>`;
}

/** A Problem as people read it: what is wrong, where, and what may be asked instead. */
export function Trouble({ problem, again }) {
  if (!problem) return null;
  const places = (problem.errors ?? []).filter((error) => error.detail && error.detail !== problem.detail);
  return html`
    <div class="trouble" role="alert">
      <${Icon} name="alert" />
      <div>
        <p class="trouble-title">${problem.title || "Something went wrong"}</p>
        ${problem.detail && html`<p>${problem.detail}</p>`}
        ${places.length > 0 && html`
          <ul>${places.map((error) => html`<li>
            ${(error.pointer || error.parameter || error.step) && html`<code>${error.pointer || error.parameter || error.step}</code>${" "}`}
            ${error.detail}${error.hint && html`<span class="hint"> — ${error.hint}</span>`}
          </li>`)}</ul>`}
        ${problem.allowed?.length > 0 && html`<p>What may be asked now: ${problem.allowed.join(", ")}.</p>`}
        ${!problem.status && problem.stack && !problem.title && html`<p>${String(problem.message)}</p>`}
      </div>
      ${again && html`<button class="button" onClick=${again}>Ask again</button>`}
    </div>`;
}

/** One of the three, or what is there: <Answered of=${useAnswer(…)}>${(value) => …}<//>. */
export function Answered({ of, children, what }) {
  if (of.value === null && of.problem) return html`<${Trouble} problem=${of.problem} again=${of.again} />`;
  if (of.value === null) return html`<${Loading} what=${what} />`;
  return html`${of.problem && html`<${Trouble} problem=${of.problem} again=${of.again} />`}${children(of.value, of.text)}`;
}

// --- what was just done ----------------------------------------------------------------------------------------------

const said = store([]);
let count = 0;

/** Say for a while what was just done, or what went wrong with it. */
export function say(text, tone = "good") {
  const mine = { id: ++count, text, tone };
  said.set((before) => [...before.slice(-3), mine]);
  setTimeout(() => said.set((before) => before.filter((one) => one !== mine)), tone === "bad" ? 12_000 : 6_000);
}

export function Said() {
  const lines = useStore(said);
  return html`<div class="said" role="status" aria-live="polite">
    ${lines.map((line) => html`<p key=${line.id} class=${line.tone}>
      <${Icon} name=${line.tone === "bad" ? "alert" : "check"} /><span>${line.text}</span>
    </p>`)}
  </div>`;
}
