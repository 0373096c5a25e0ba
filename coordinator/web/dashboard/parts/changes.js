/** A few facts of something that was changed: how they were before, how they are after, and which of them changed. */
import { html } from "../dom.js";
import { Badge } from "./status.js";

/** @param {{before: object | null, after: object | null}} given null: nothing was noted; {}: there was nothing yet */
export function Changes({ before, after }) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  if (names.length === 0) return html`<p class="none">Nothing of it was noted${before === null && after === null ? ", for nothing was changed" : ""}.</p>`;
  return html`<div class="table-frame"><table class="table changes" aria-label="Before and after">
    <thead><tr><th scope="col">What</th><th scope="col">Before</th><th scope="col">After</th><th scope="col"><span class="unseen">Changed</span></th></tr></thead>
    <tbody>${names.map((name) => {
      const changed = before !== null && after !== null && name in after && before[name] !== after[name];
      return html`<tr key=${name} class=${changed ? "changed" : ""}>
        <th scope="row">${name.replaceAll("_", " ")}</th>
        <td data-label="Before"><${Fact} of=${before} name=${name} /></td>
        <td data-label="After"><${Fact} of=${after} name=${name} /></td>
        <td>${changed && html`<${Badge} icon="right" tone="forward">${name in before ? "changed" : "new"}<//>`}</td>
      </tr>`;
    })}</tbody></table></div>`;
}

function Fact({ of, name }) {
  if (of === null || !(name in of)) return html`<span class="none">–</span>`;
  const value = of[name];
  if (value === null || value === "") return html`<span class="none">none</span>`;
  if (value === true || value === false) return value ? "yes" : "no";
  return html`<bdi class=${typeof value === "number" ? "number" : ""}>${String(value)}</bdi>`;
}
