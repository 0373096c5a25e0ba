/** Starting a saga by hand: a form made of the input's schema, or its JSON; once, however often the button is pressed. */
import { html, useEffect, useRef, useState } from "../dom.js";
import { post } from "../api.js";
import { parse, partAt, written } from "../json.js";
import { Asked } from "../parts/dialog.js";
import { blank, drafted, hasForm, isJson, textOf } from "../parts/draft.js";
import { Icon } from "../parts/icons.js";
import { Trouble } from "../parts/notice.js";
import { SchemaForm } from "../parts/schema-form.js";
import { Link } from "../router.js";

const newKey = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** `text`: of the answer that has the definition, so that the numbers of its examples are exact. */
export function StartForm({ definition, text }) {
  const schema = definition.document.input_schema;
  const examples = Array.isArray(schema?.examples) ? schema.examples.map((_, at) => partAt(text, ["document", "input_schema", "examples", at]) ?? "{}") : [];
  const formed = schema && typeof schema === "object" && hasForm(schema);
  const first = examples[0] ?? (formed ? null : "{}");
  const [asJson, setAsJson] = useState(!formed);
  const [json, setJson] = useState(first ? tidy(first) : "{}");
  const [draft, setDraft] = useState(() => formed && (first ? drafted(schema, parse(first), schema) : blank(schema, schema)));
  const [key, setKey] = useState(newKey);
  const [state, set] = useState({ busy: false, problem: null, started: null });
  const fill = (example) => {
    setJson(tidy(example));
    if (formed) setDraft(drafted(schema, parse(example), schema));
  };
  const turn = () => {
    try {
      if (asJson) setDraft(drafted(schema, parse(json), schema));
      else setJson(tidy(textOf(schema, draft, schema) ?? "{}"));
      setAsJson(!asJson);
      set({ ...state, problem: null });
    } catch (error) {
      set({ ...state, problem: unread(error) });
    }
  };
  const submit = async (event) => {
    event.preventDefault();
    const stated = new FormData(event.target);
    const plain = (name) => String(stated.get(name) ?? "").trim();
    const tags = plain("tags").split(",").map((tag) => tag.trim()).filter(Boolean);
    set({ busy: true, problem: null, started: null });
    try {
      const input = asJson ? json : (textOf(schema, draft, schema) ?? "{}");
      if (!isJson(input)) throw new SyntaxError("the input is not JSON");
      const parts = [
        ["definition", definition.name], ["version", definition.version],
        ...(plain("business_key") ? [["business_key", plain("business_key")]] : []), ...(tags.length ? [["tags", tags]] : []),
      ];
      const raw = `{${parts.map(([name, one]) => `${JSON.stringify(name)}: ${JSON.stringify(one)}`).join(", ")}, "input": ${input}}`;
      const once = plain("key");
      const { value, headers } = await post("v1/sagas", undefined, { raw, headers: once ? { "Idempotency-Key": once } : {} });
      set({ busy: false, problem: null, started: { id: value.id, before: headers.get("idempotent-replayed") === "true" } });
    } catch (error) {
      set({ busy: false, problem: error instanceof SyntaxError ? unread(error) : error, started: null });
    }
  };
  const another = () => {
    setKey(newKey());
    set({ ...state, started: null });
  };
  return html`<form class="start" aria-label=${`Start a saga of ${definition.name}`} onSubmit=${submit}>
    <div class="start-head">
      ${formed && html`<div class="choices" role="group" aria-label="How to state the input">
        <button type="button" class="choice" aria-pressed=${!asJson} onClick=${() => asJson && turn()}>Form</button>
        <button type="button" class="choice" aria-pressed=${asJson} onClick=${() => asJson || turn()}>JSON</button></div>`}
      ${examples.length > 0 && html`<span class="start-examples">Fill in ${examples.slice(0, 5).map((one, at) => html`
        <button type="button" class="quiet-button" onClick=${() => fill(one)}>example ${at + 1}</button>`)}</span>`}
      ${!schema && html`<span class="hint">The definition has no input schema: anything may be stated.</span>`}
    </div>
    ${asJson
      ? html`<div class="field"><label for="start-json">Input, as JSON</label><textarea id="start-json" class="mono" rows="10" spellcheck=${false}
          value=${json} onInput=${(event) => setJson(event.target.value)}></textarea></div>`
      : html`<${SchemaForm} schema=${schema} draft=${draft} change=${setDraft} />`}
    <div class="start-more">
      <${Asked} name="business_key" label="Business key" maxlength="200" autocomplete="off" hint="Your own name for it, such as an order's number." />
      <${Asked} name="tags" label="Tags" autocomplete="off" hint="Several with commas between." />
      <${Asked} key=${key} name="key" label="Idempotency key" value=${key} autocomplete="off" hint="Whatever is sent twice with it is started once." />
    </div>
    ${state.problem && html`<${Trouble} problem=${state.problem} />`}
    ${state.started && html`<${Started} started=${state.started} another=${another} />`}
    <div class="start-verbs"><button type="submit" class="button primary" disabled=${state.busy}>
      ${state.busy ? "Starting…" : `Start ${definition.name} version ${definition.version}`}</button></div>
  </form>`;
}

function Started({ started, another }) {
  const link = useRef(null);
  useEffect(() => link.current.querySelector("a").focus(), [started.id]);
  return html`<div class="started" role="status" ref=${link}><${Icon} name="check" />
    <span>${started.before ? "It had been started already with this key:" : "Started:"} <${Link} to=${`sagas/${started.id}`} class="mono">${started.id}<//></span>
    <button type="button" class="quiet-button" onClick=${another}>Start another</button></div>`;
}

const unread = (error) => ({ title: "The input can't be read", detail: error.message, errors: [] });

function tidy(text) {
  return written(parse(text));
}
