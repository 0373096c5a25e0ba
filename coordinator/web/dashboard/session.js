/** Who one is here, and what one may ask for: nothing is known of it but what the coordinator says. */
import { html, useEffect, useState } from "./dom.js";
import { ask, get, remove, unknown } from "./api.js";
import { store, useStore } from "./store.js";
import { Trouble } from "./parts/notice.js";

const roles = ["viewer", "operator", "admin"];

/** {asked, name, role, payloads, via}, or null while that is not known. */
export const session = store(null);

/** Whether one may ask for what this role may. Until it is known, everything is shown, and the coordinator decides. */
export const may = (role, who = session.get()) => !who?.role || roles.indexOf(who.role) >= roles.indexOf(role);

export const useMay = (role) => may(role, useStore(session));

/** What is there only for those who may do it: <${Allowed}>…<//>, or of another role. */
export function Allowed({ role = "operator", children }) {
  return useMay(role) ? children : null;
}

/** Ask who one is, once. */
export async function look() {
  const { value } = await get("v1/session");
  session.set(value);
  if (value.asked && !value.name) unknown.set(true);
}

/** The form that stands in the place of all pages until it is known who asks. The key is sent once, and not kept here. */
export function Locked() {
  const [state, set] = useState({ busy: false, problem: null });
  const submit = async (event) => {
    event.preventDefault();
    const key = String(new FormData(event.target).get("key")).trim();
    set({ busy: true, problem: null });
    try {
      await ask("POST", "v1/session", { headers: { Authorization: `Bearer ${key}` } });
      location.reload();
    } catch (problem) {
      set({ busy: false, problem });
    }
  };
  return html`
    <form class="locked" onSubmit=${submit}>
      <h1>Who are you?</h1>
      <p>This coordinator asks. An admin makes keys, with <code>amends keys create NAME --role operator</code>.</p>
      <div class="field">
        <label for="key">Key, or a token of your identity provider</label>
        <input id="key" name="key" type="password" required autocomplete="current-password" spellcheck=${false} autofocus />
      </div>
      ${state.problem && html`<${Trouble} problem=${state.problem} />`}
      <button class="button primary" disabled=${state.busy}>${state.busy ? "Asking…" : "Come in"}</button>
    </form>`;
}

/** Who one is, and the way out; nothing where nobody is asked. */
export function Who() {
  const who = useStore(session);
  useEffect(() => {
    look().catch(() => session.set(null));
  }, []);
  if (!who?.asked || !who.name) return null;
  const leave = () => remove("v1/session").finally(() => location.reload());
  return html`<div class="who"><span title=${`${who.role}, ${who.payloads ? "sees payloads" : "payloads are hidden"}`}><bdi>${who.name}</bdi> <small>${who.role}</small></span>
    <button class="tool" onClick=${leave} title="End the session">Leave</button></div>`;
}
