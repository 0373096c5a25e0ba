/** Subscribing: where to tell, and of what. The secret that signs a webhook's calls is shown once, and never again. */
import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "../dom.js";
import { get, post } from "../api.js";
import { Copy } from "../parts/copy.js";
import { show } from "../parts/dialog.js";
import { Trouble, say } from "../parts/notice.js";
import { eventText, events } from "./notification.js";

const targets = [
  { value: "webhook", label: "a webhook", says: "POSTs, signed, to an https address" },
  { value: "amqp", label: "the exchange amends.events", says: "for whoever binds a queue to it" },
  { value: "log", label: "the log", says: "a line of the coordinator's log for each" },
];

export function Subscribe({ done, leave }) {
  const form = useRef(null);
  const [target, setTarget] = useState("webhook");
  const [state, set] = useState({ busy: false, problem: null });
  const [definitions, setDefinitions] = useState([]);
  const url = useId();
  useLayoutEffect(() => form.current.querySelector("input").focus(), []); // whoever types on types into it
  useEffect(() => {
    get("v1/definitions", { query: { limit: 200 } }).then(({ value }) => setDefinitions(value.items.map((one) => one.name)), () => {});
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const stated = new FormData(event.target);
    set({ busy: true, problem: null });
    try {
      const { value } = await post("v1/notifications/subscriptions", {
        target,
        ...(target === "webhook" ? { url: String(stated.get("url")).trim() } : {}),
        ...(stated.has("event") ? { events: stated.getAll("event") } : {}),
        ...(stated.has("definition") ? { definitions: stated.getAll("definition") } : {}),
      });
      say("The subscription is there.");
      done();
      if (value.secret) showSecret(value);
    } catch (problem) {
      set({ busy: false, problem });
    }
  };
  return html`<form ref=${form} class="subscribe" aria-label="Subscribe" onSubmit=${submit} onKeyDown=${(event) => event.key === "Escape" && (event.preventDefault(), leave())}>
    <fieldset><legend>Tell</legend>${targets.map((one) => html`<label class="option" key=${one.value}>
      <input type="radio" name="target" value=${one.value} checked=${target === one.value} onChange=${() => setTarget(one.value)} />
      <span>${one.label} <small>${one.says}</small></span></label>`)}</fieldset>
    ${target === "webhook" && html`<div class="field"><label for=${url}>Address</label>
      <input id=${url} name="url" type="url" required maxlength="2000" placeholder="https://example.com/amends" autocomplete="off" spellcheck=${false} />
      <small>Private addresses are refused, unless the coordinator allows them.</small></div>`}
    <fieldset><legend>Of <small>(everything, if none is chosen)</small></legend><div class="options">${events.map((one) => html`
      <label class="option" key=${one}><input type="checkbox" name="event" value=${one} /> <span>${eventText(one)}</span></label>`)}</div></fieldset>
    ${definitions.length > 0 && html`<fieldset><legend>In sagas of <small>(all, if none is chosen)</small></legend><div class="options">${definitions.map((one) => html`
      <label class="option" key=${one}><input type="checkbox" name="definition" value=${one} /> <span>${one}</span></label>`)}</div></fieldset>`}
    ${state.problem && html`<${Trouble} problem=${state.problem} />`}
    <div class="dialog-verbs">
      <button type="button" class="button" onClick=${leave}>Leave it</button>
      <button type="submit" class="button primary" disabled=${state.busy}>${state.busy ? "Asking…" : "Subscribe it"}</button>
    </div>
  </form>`;
}

function showSecret({ secret }) {
  show("The secret of this webhook", html`
    <p>Every call is signed with it: <code>Amends-Signature</code>. Keep it where the webhook is: it is shown this once.</p>
    <p class="secret"><code>${secret}</code> <${Copy} text=${secret} what="the secret" label="Copy" /></p>`);
}
