/** Fields for a JSON Schema: one for each part, a switch for what may be left out, and JSON where nothing else fits. */
import { html, useId } from "../dom.js";
import { blank, choicesOf, isRequired, plain } from "./draft.js";
import { Icon } from "./icons.js";

/** @param {{schema: any, draft: any, change: (draft: any) => void}} given */
export function SchemaForm({ schema, draft, change }) {
  return html`<div class="schema-form"><${Parts} schema=${plain(schema, schema)} root=${schema} draft=${draft} change=${change} /></div>`;
}

function Parts({ schema, root, draft, change }) {
  return html`
    ${Object.entries(draft.values).map(([name, one]) => html`<${Part} key=${name} name=${name} schema=${plain(schema.properties[name], root)} root=${root}
      draft=${one} required=${isRequired(schema, name)} change=${(next) => change({ ...draft, values: { ...draft.values, [name]: next } })} />`)}
    ${draft.extra.length > 0 && html`<p class="hint">Besides: ${draft.extra.map(([name]) => html`<code>${name}</code> `)}as it stands in the JSON.</p>`}`;
}

function Part(given) {
  switch (given.draft.kind) {
    case "object":
      return html`<${Group} ...${given} />`;
    case "array":
      return html`<${Several} ...${given} />`;
    default:
      return html`<${Field} ...${given} />`;
  }
}

const titleOf = (schema, name) => (typeof schema.title === "string" ? schema.title : name);
const textOr = (text) => (typeof text === "string" ? text : "");

function Group({ name, schema, root, draft, required, change, takeAway }) {
  const title = titleOf(schema, name);
  return html`<fieldset class="group-of-fields ${draft.on ? "" : "off"}">
    <legend>${required ? title : html`<label class="switch"><input type="checkbox" role="switch" checked=${draft.on}
      onChange=${(event) => change({ ...draft, on: event.target.checked })} /> ${title}</label>`}${takeAway}</legend>
    ${textOr(schema.description) && (draft.on || !required) && html`<p class="hint">${schema.description}</p>`}
    ${draft.on && html`<div class="fields"><${Parts} schema=${schema} root=${root} draft=${draft} change=${change} /></div>`}
  </fieldset>`;
}

function Several({ name, schema, root, draft, change }) {
  const title = titleOf(schema, name);
  const put = (at, one) => change({ ...draft, items: draft.items.map((before, index) => (index === at ? one : before)) });
  const without = (at) => change({ ...draft, items: draft.items.filter((_, index) => index !== at) });
  const items = plain(schema.items, root);
  return html`<fieldset class="group-of-fields"><legend>${title}</legend>
    ${textOr(schema.description) && html`<p class="hint">${schema.description}</p>`}
    <ol class="several">${draft.items.map((one, at) => {
      const away = html`<button type="button" class="copy" onClick=${() => without(at)} title="Take it away" aria-label=${`Take away ${title} ${at + 1}`}><${Icon} name="cross" /></button>`;
      return html`<li key=${at}>
        ${one.kind === "object"
          ? html`<div class="fields"><${Parts} schema=${items} root=${root} draft=${one} change=${(next) => put(at, next)} /></div>`
          : html`<${Part} name=${`${title} ${at + 1}`} schema=${items} root=${root} draft=${one} required change=${(next) => put(at, next)} />`}
        ${away}</li>`;
    })}</ol>
    <button type="button" class="button small" disabled=${draft.items.length >= (schema.maxItems ?? Infinity)}
      onClick=${() => change({ ...draft, items: [...draft.items, blank(schema.items, root, true, 1)] })}>Add to ${title}</button>
  </fieldset>`;
}

function Field({ name, schema, draft, required, change }) {
  const id = useId();
  const title = titleOf(schema, name);
  const type = (event) => change({ ...draft, text: event.target.value, stated: false });
  const hint = [textOr(schema.description), bounds(schema)].filter(Boolean).join(" · ");
  const told = { id, value: draft.text, onInput: type, "aria-describedby": hint ? `${id}-hint` : undefined };
  return html`<div class="field">
    <label for=${id}>${title}${!required && html` <small>(optional)</small>`}</label>
    ${control(draft, schema, required, told)}
    ${hint && html`<small id=${`${id}-hint`}>${hint}</small>`}
  </div>`;
}

const longText = 120; // characters; what may be longer gets more room

function control(draft, schema, required, told) {
  switch (draft.kind) {
    case "choice":
      return html`<select ...${told} required=${required} onInput=${null} onChange=${told.onInput}>
        ${(!required || draft.text === "") && html`<option value="">${required ? "choose" : "–"}</option>`}
        ${choicesOf(schema).map((one, at) => html`<option value=${String(at)}>${typeof one === "string" ? one : JSON.stringify(one)}</option>`)}</select>`;
    case "boolean":
      return html`<select ...${told} required=${required} onInput=${null} onChange=${told.onInput}>
        ${(!required || draft.text === "") && html`<option value="">${required ? "choose" : "–"}</option>`}
        <option value="true">yes</option><option value="false">no</option></select>`;
    case "number":
      return html`<input ...${told} type="text" inputmode="decimal" required=${required} autocomplete="off" />`;
    case "json":
      return html`<textarea ...${told} rows="3" class="mono" spellcheck=${false} placeholder="JSON"></textarea>`;
    default:
      return schema.maxLength > longText && schema.maxLength > 1000
        ? html`<textarea ...${told} rows="2" required=${required && schema.minLength > 0}></textarea>`
        : html`<input ...${told} type="text" required=${required && schema.minLength > 0} autocomplete="off" />`;
  }
}

function bounds({ type, minimum, maximum, exclusiveMinimum, format }) {
  const parts = [
    type === "integer" && "a whole number",
    minimum !== undefined && `from ${minimum}`,
    exclusiveMinimum !== undefined && `more than ${exclusiveMinimum}`,
    maximum !== undefined && `up to ${maximum}`,
    textOr(format),
  ];
  return parts.filter(Boolean).join(", ");
}
