/**
 * Filters of a list, kept in the address: what is set stands there as small labels that can be taken away or changed,
 * and one more can be chosen from a menu. The names are the API's own, so that the address says what was asked.
 */
import { html, useId, useLayoutEffect, useRef, useState } from "../dom.js";
import { Icon } from "./icons.js";

/**
 * @typedef {{name: string, label: string, kind?: "text" | "choice" | "time" | "number", hint?: string,
 *   options?: (string | {value: string, label: string})[], shows?: (value: string) => string, hidden?: boolean}} Filter
 *   `hidden`: not in the menu, but shown where an address has it
 */

/** @param {{filters: Filter[], query: Record<string, string>, change: (parts: object) => void}} given */
export function Filters({ filters, query, change, children }) {
  const [edited, setEdited] = useState(null);
  const menu = useRef(null);
  const set = filters.filter((filter) => query[filter.name]);
  const free = filters.filter((filter) => !query[filter.name] && !filter.hidden);
  const editing = filters.find((filter) => filter.name === edited);
  const put = (value) => {
    change({ [editing.name]: value === "" ? null : value });
    setEdited(null);
    menu.current?.focus();
  };
  return html`
    <div class="filters">
      ${children}
      ${set.map((filter) => html`<span key=${filter.name} class="filter">
        <button class="filter-value" onClick=${() => setEdited(filter.name)}>
          <span class="filter-name">${filter.label}</span> ${shown(filter, query[filter.name])}</button>
        <button class="filter-off" onClick=${() => change({ [filter.name]: null })} aria-label=${`Take away the filter ${filter.label}`}>
          <${Icon} name="cross" /></button>
      </span>`)}
      ${editing
        ? html`<${Editor} key=${edited} filter=${editing} value=${query[edited] ?? ""} put=${put} leave=${() => setEdited(null)} />`
        : free.length > 0 && html`<select ref=${menu} class="filter-menu" aria-label="Add a filter" value=""
            onChange=${(event) => (setEdited(event.target.value), (event.target.value = ""))}>
            <option value="">Filter by…</option>
            ${free.map((filter) => html`<option value=${filter.name}>${filter.label}</option>`)}
          </select>`}
      ${set.length > 1 && html`<button class="quiet-button" onClick=${() => change(Object.fromEntries(set.map(({ name }) => [name, null])))}>Clear</button>`}
    </div>`;
}

function shown(filter, value) {
  if (filter.shows) return filter.shows(value);
  const option = filter.options?.find((one) => one.value === value);
  return option ? option.label : filter.kind === "time" ? new Date(value).toLocaleString() : value;
}

function Editor({ filter, value, put, leave }) {
  const box = useRef(null);
  const list = useId();
  useLayoutEffect(() => box.current.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    const text = box.current.value.trim();
    put(filter.kind === "time" && text ? new Date(text).toISOString() : text);
  };
  const key = (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    leave();
  };
  if (filter.kind === "choice") {
    return html`<label class="filter filter-editor"><span class="filter-name">${filter.label}</span>
      <select ref=${box} value=${value} onChange=${() => put(box.current.value)} onKeyDown=${key} onBlur=${leave}>
        <option value="">any</option>
        ${filter.options.map((option) => typeof option === "string"
          ? html`<option value=${option}>${option}</option>` : html`<option value=${option.value}>${option.label}</option>`)}
      </select></label>`;
  }
  const kinds = { time: "datetime-local", number: "number" };
  return html`<form class="filter filter-editor" onSubmit=${submit}>
    <label><span class="filter-name">${filter.label}</span>
      <input ref=${box} type=${kinds[filter.kind] ?? "text"} defaultValue=${filter.kind === "time" && value ? local(value) : value}
        list=${filter.options ? list : undefined} placeholder=${filter.hint ?? ""} min="1" step=${filter.kind === "time" ? "1" : undefined} onKeyDown=${key} /></label>
    ${filter.options && html`<datalist id=${list}>${filter.options.map((option) => html`<option value=${option} />`)}</datalist>`}
    <button class="button small" type="submit">Set</button>
    <button class="filter-off" type="button" onClick=${leave} aria-label="Leave it"><${Icon} name="cross" /></button>
  </form>`;
}

function local(at) {
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** Several values of one filter, to be switched on and off: ?status=running,blocked. */
export function Choices({ label, name, options, query, change }) {
  const on = new Set((query[name] ?? "").split(",").filter(Boolean));
  const toggle = (value) => {
    if (!on.delete(value)) on.add(value);
    change({ [name]: options.filter((option) => on.has(option.value)).map((option) => option.value).join(",") || null });
  };
  return html`<div class="choices" role="group" aria-label=${label}>
    ${options.map((option) => html`<button key=${option.value} class=${`choice ${option.tone ?? ""}`} aria-pressed=${on.has(option.value)}
      onClick=${() => toggle(option.value)} title=${option.says}>
      ${option.icon && html`<${Icon} name=${option.icon} />`}${option.label ?? option.value}
      ${option.count && html`<span class="choice-count">${option.count}</span>`}
    </button>`)}
  </div>`;
}
