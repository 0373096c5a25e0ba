/** Dialogs: one at a time, asked by a function, answered by a person. Whoever overrides something says why. */
import { html, useId, useLayoutEffect, useRef, useState } from "../dom.js";
import { actor } from "../api.js";
import { may, session } from "../session.js";
import { store, useStore } from "../store.js";
import { Trouble } from "./notice.js";

const open = store(null);

/**
 * @typedef {{name: string, label: string, kind?: "text" | "area" | "choice" | "number" | "check", value?: any,
 *   options?: (string | {value: string, label: string})[], hint?: string, required?: boolean}} Field
 */

/**
 * Ask a person to confirm, and why. Resolves to what they stated, or null if they thought better of it. With `does`,
 * the dialog stays open until that has succeeded, and shows what went wrong with it.
 * @param {{title: string, says?: any, verb: string, tone?: "bad" | "plain", reason?: boolean | "optional",
 *   role?: string, reasonMax?: number, fields?: Field[], does?: (stated: any) => Promise<any>}} question
 * @returns {Promise<any | null>}
 */
export function confirm(question) {
  const { verb, role = "operator" } = question;
  if (verb && !may(role)) {
    return show("Not yours to ask", `This is for the role ${role}; ${session.get().name} is ${session.get().role}.`);
  }
  return new Promise((resolve) => {
    open.get()?.resolve(null);
    open.set({ question, resolve });
  });
}

/** Show something over the page until it is closed. */
export function show(title, content) {
  return confirm({ title, says: content, verb: "", reason: false });
}

/** Where dialogs appear: once, in the frame of all pages. */
export function Dialogs() {
  const asked = useStore(open);
  if (!asked) return null;
  const finish = (answer) => {
    open.set(null);
    asked.resolve(answer);
  };
  return html`<${Question} key=${asked} ...${asked.question} finish=${finish} />`;
}

function Question({ title, says, verb, tone = "plain", reason = true, reasonMax = 1000, fields = [], does, finish }) {
  const element = useRef(null);
  const name = useId();
  const [state, set] = useState({ busy: false, problem: null });
  const who = useStore(actor);
  const known = useStore(session)?.asked;
  useLayoutEffect(() => { // whoever types on types into it
    const focused = document.activeElement;
    element.current.showModal();
    return () => focused?.focus?.();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const stated = Object.fromEntries(fields.map((field) => [field.name, valueOf(field, form)]));
    if (reason) stated.reason = String(form.get("reason")).trim();
    if (form.has("actor")) actor.set(String(form.get("actor")).trim());
    if (!does) return finish(stated);
    set({ busy: true, problem: null });
    try {
      const answer = await does(stated);
      finish(answer ?? stated);
    } catch (problem) {
      set({ busy: false, problem });
    }
    return undefined;
  };
  const outside = (event) => event.target === element.current && !verb && finish(null);
  return html`
    <dialog ref=${element} aria-labelledby=${name} onCancel=${(event) => (event.preventDefault(), finish(null))} onClick=${outside}>
      <form onSubmit=${submit} method="dialog">
        <h2 id=${name}>${title}</h2>
        ${says && html`<div class="dialog-says">${typeof says === "string" ? html`<p>${says}</p>` : says}</div>`}
        ${fields.map((field) => html`<${Asked} key=${field.name} ...${field} />`)}
        ${reason && html`<${Asked} name="reason" label="Why?" kind="area" required=${reason !== "optional"} rows="2" maxlength=${reasonMax}
          hint="It is kept, for whoever wonders later." />`}
        ${verb && reason && !known && html`<${Asked} name="actor" label="Who are you?" value=${who} maxlength="100" pattern="[ -~]*"
          autocomplete="name" hint="This browser remembers it." />`}
        ${state.problem && html`<${Trouble} problem=${state.problem} />`}
        <div class="dialog-verbs">
          <button type="button" class="button" onClick=${() => finish(null)}>${verb ? "Leave it" : "Close"}</button>
          ${verb && html`<button type="submit" class=${`button ${tone === "bad" ? "danger" : "primary"}`} disabled=${state.busy}>
            ${state.busy ? "Asking…" : verb}</button>`}
        </div>
      </form>
    </dialog>`;
}

function valueOf(field, form) {
  if (field.kind === "check") return form.has(field.name);
  const text = String(form.get(field.name) ?? "");
  if (field.kind === "number") return text === "" ? null : Number(text);
  return text;
}

/** One field of a form, with its label above and its hint below. */
export function Asked({ name, label, kind = "text", value, options = [], hint, required = false, ...others }) {
  const id = useId();
  const told = { id, name, required, "aria-describedby": hint ? `${id}-hint` : undefined, ...others };
  if (kind === "check") {
    return html`<label class="field check"><input type="checkbox" ...${told} defaultChecked=${value} /> <span>${label}</span>
      ${hint && html`<small id=${`${id}-hint`}>${hint}</small>`}</label>`;
  }
  return html`
    <div class="field">
      <label for=${id}>${label}${!required && name !== "actor" && kind !== "choice" ? html` <small>(optional)</small>` : ""}</label>
      ${kind === "area" && html`<textarea rows="3" ...${told} defaultValue=${value ?? ""}></textarea>`}
      ${kind === "choice" && html`<select ...${told}>${options.map((option) => {
        const { value: one, label: text } = typeof option === "string" ? { value: option, label: option } : option;
        return html`<option value=${one} selected=${one === value}>${text}</option>`;
      })}</select>`}
      ${(kind === "text" || kind === "number") && html`<input type=${kind} step="any" ...${told} defaultValue=${value ?? ""} />`}
      ${hint && html`<small id=${`${id}-hint`}>${hint}</small>`}
    </div>`;
}
