/** What steps were sent and gave: read when asked for, folded where it is long, exact to the last digit. */
import { html, useState } from "../dom.js";
import { get } from "../api.js";
import { parse, written } from "../json.js";
import { Copy } from "./copy.js";
import { Loading, Trouble } from "./notice.js";

const itemsShown = 50;
const charactersShown = 2_000;
const depthOpen = 3;
const bytesFirst = 65_536;
const bytesMax = 1_048_576;

/** A JSON text as a tree. What isn't JSON (it was cut off) is shown as the text it is. */
export function Json({ text }) {
  let node = null;
  try {
    node = parse(text);
  } catch {
    return html`<pre class="json cut">${text}</pre>`;
  }
  return html`<div class="json" tabindex="0"><${Node} node=${node} depth=${0} /></div>`;
}

function Node({ node, depth, name }) {
  const key = name === undefined ? null : html`<span class="json-key">${name}</span><span class="json-mark">: </span>`;
  switch (node.kind) {
    case "object":
    case "array": {
      const list = node.kind === "object" ? node.entries : node.items.map((one, at) => [String(at), one]);
      return html`<${Several} list=${list} marks=${node.kind === "object" ? "{}" : "[]"} name=${key} depth=${depth} />`;
    }
    case "string":
      return html`<div class="json-line">${key}<${Text} value=${node.value} /></div>`;
    default:
      return html`<div class="json-line">${key}<span class=${`json-${node.kind}`}>${node.text}</span></div>`;
  }
}

function Several({ list, marks, name, depth }) {
  const [open, setOpen] = useState(depth < depthOpen && list.length <= itemsShown);
  const [shown, setShown] = useState(itemsShown);
  if (list.length === 0) return html`<div class="json-line">${name}<span class="json-mark">${marks}</span></div>`;
  const what = marks === "{}" ? (list.length === 1 ? "key" : "keys") : (list.length === 1 ? "item" : "items");
  return html`
    <details class="json-fold" open=${open} onToggle=${(event) => event.target === event.currentTarget && setOpen(event.currentTarget.open)}>
      <summary>${name}<span class="json-mark">${marks[0]}</span>${!open && html`<span class="json-size"> ${list.length} ${what} </span><span class="json-mark">${marks[1]}</span>`}</summary>
      ${open && html`<div class="json-inside">
        ${list.slice(0, shown).map(([key, one]) => html`<${Node} key=${key} node=${one} depth=${depth + 1} name=${key} />`)}
        ${list.length > shown && html`<button type="button" class="quiet-button" onClick=${() => setShown(shown + 10 * itemsShown)}>
          ${list.length - shown} more</button>`}
      </div><span class="json-mark">${marks[1]}</span>`}
    </details>`;
}

function Text({ value }) {
  const [whole, set] = useState(false);
  const long = value.length > charactersShown && !whole;
  return html`<span class="json-string">${JSON.stringify(long ? value.slice(0, charactersShown) : value)}</span>
    ${long && html`<button type="button" class="quiet-button" onClick=${() => set(true)}>${value.length - charactersShown} more characters</button>`}`;
}

/**
 * A payload of a saga, fetched when it is opened: <Payload path="v1/sagas/…/input" title="Input" />.
 */
export function Payload({ path, title, open = false }) {
  const [state, set] = useState({ asked: false, value: null, problem: null });
  const read = async (bytes) => {
    set((before) => ({ ...before, asked: true, problem: null }));
    try {
      const { value } = await get(path, { query: { max_bytes: bytes } });
      set({ asked: true, value, problem: null });
    } catch (problem) {
      set({ asked: true, value: null, problem });
    }
  };
  const toggle = (event) => {
    if (event.target === event.currentTarget && event.currentTarget.open && !state.value) read(bytesFirst);
  };
  const { value, problem } = state;
  return html`
    <details class="payload" open=${open} onToggle=${toggle}>
      <summary>${title}${value && html`<span class="payload-size">${sizeText(value.bytes)}</span>`}</summary>
      ${problem?.status === 404 && html`<p class="none">There is none.</p>`}
      ${problem && problem.status !== 404 && html`<${Trouble} problem=${problem} again=${() => read(bytesFirst)} />`}
      ${state.asked && !value && !problem && html`<${Loading} />`}
      ${value?.payloads_hidden && html`<p class="none">Hidden: you may not see payloads here.</p>`}
      ${value && !value.payloads_hidden && html`
        <div class="payload-verbs">
          <${Copy} text=${() => tidy(value.text)} what=${title.toLowerCase()} label="Copy" />
          ${value.truncated && html`<span class="warn">The first ${sizeText(value.text.length)} of ${sizeText(value.bytes)}.</span>`}
          ${value.truncated && value.text.length < bytesMax && html`<button type="button" class="quiet-button" onClick=${() => read(bytesMax)}>Read more</button>`}
        </div>
        <${Json} text=${value.text} />`}
    </details>`;
}

function tidy(text) {
  try {
    return written(parse(text));
  } catch {
    return text;
  }
}

export function sizeText(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
