/** Small charts, drawn by hand: what was started and what has ended, minute by minute. */
import { html, useState } from "../dom.js";
import { clockText } from "./time.js";

const width = 600;
const height = 72;
const foot = 14;

/**
 * Two rows of bars from one line: up for one series, down for the other.
 * @param {{minutes: {minute: string}[], up: {name: string, label: string}, down: {name: string, label: string, tone?: string},
 *   label: string, span?: string}} given
 */
export function Minutes({ minutes, up, down, label, span = "an hour, minute by minute" }) {
  const [at, setAt] = useState(null);
  const most = Math.max(1, ...minutes.flatMap((one) => [one[up.name], one[down.name]]));
  const step = width / minutes.length;
  const half = (height - 2) / 2;
  const tall = (value) => (value === 0 ? 0 : Math.max(1.2, (value / most) * half));
  const shown = at === null ? null : minutes[at];
  const sum = (name) => minutes.reduce((total, one) => total + one[name], 0);
  const says = `${label}: ${sum(up.name)} ${up.label}, ${sum(down.name)} ${down.label} in ${minutes.length} minutes; at most ${most} in one.`;
  return html`<figure class="minutes">
    <svg viewBox=${`0 0 ${width} ${height + foot}`} role="img" aria-label=${says} preserveAspectRatio="none"
        onPointerLeave=${() => setAt(null)}>
      ${minutes.map((one, index) => html`<g key=${one.minute} class=${index === at ? "here" : ""} onPointerEnter=${() => setAt(index)}>
        <rect class="minutes-room" x=${index * step} y="0" width=${step} height=${height} />
        <rect class="minutes-up" x=${index * step + 0.8} width=${step - 1.6} y=${half - tall(one[up.name])} height=${tall(one[up.name])} />
        <rect class=${`minutes-down ${down.tone ?? ""}`} x=${index * step + 0.8} width=${step - 1.6} y=${half + 2} height=${tall(one[down.name])} />
      </g>`)}
      <line class="minutes-line" x1="0" x2=${width} y1=${half + 1} y2=${half + 1} />
    </svg>
    <figcaption>
      ${shown
        ? html`<span>${clockText(shown.minute).replace(/:\d\d(?=\D*$)/, "")}</span>
            <span class="key up">${shown[up.name]}${shown.capped ? "+" : ""} ${up.label}</span>
            <span class=${`key down ${down.tone ?? ""}`}>${shown[down.name]}${shown.capped ? "+" : ""} ${down.label}</span>`
        : html`<span>${span}; at most ${most} in one</span>
            <span class="key up">${up.label}</span><span class=${`key down ${down.tone ?? ""}`}>${down.label}</span>`}
    </figcaption>
  </figure>`;
}
