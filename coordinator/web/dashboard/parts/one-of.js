/** One of a few: buttons of which one is pressed. What stands for all is the one whose value is null. */
import { html } from "../dom.js";

export function OneOf({ label, options, value, change }) {
  return html`<div class="choices" role="group" aria-label=${label}>
    ${options.map((option) => html`<button type="button" key=${option.value} class="choice" aria-pressed=${(value ?? null) === option.value}
      title=${option.says} onClick=${() => change(option.value)}>${option.label}
      ${option.count && html`<span class="choice-count">${option.count}</span>`}</button>`)}
  </div>`;
}
