/** A line of bars as high as a word: how many attempts there were, minute by minute, and how many of them failed. */
import { html } from "../dom.js";

const bar = 5;
const height = 18;

/** Every minute up to the last whole one, also those in which nothing happened. */
export function everyMinute(perMinute, minutes, at) {
  const known = new Map(perMinute.map((one) => [Date.parse(one.minute), one]));
  const last = Math.floor(at / 60_000) * 60_000;
  return Array.from({ length: minutes }, (_, index) => {
    const minute = last - (minutes - 1 - index) * 60_000;
    return known.get(minute) ?? { minute: new Date(minute).toISOString(), attempts: 0, failed: 0 };
  });
}

export function Spark({ minutes, label }) {
  const most = Math.max(1, ...minutes.map((one) => one.attempts));
  const tall = (value) => (value === 0 ? 0 : Math.max(1.5, (value / most) * (height - 1)));
  const width = minutes.length * bar;
  return html`<svg class="spark" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${label}>
    <line x1="0" x2=${width} y1=${height - 0.5} y2=${height - 0.5} />
    ${minutes.map((one, index) => html`<g key=${one.minute}>
      <rect x=${index * bar + 0.5} width=${bar - 1} y=${height - tall(one.attempts)} height=${tall(one.attempts)} />
      <rect class="spark-bad" x=${index * bar + 0.5} width=${bar - 1} y=${height - tall(one.failed)} height=${tall(one.failed)} />
    </g>`)}
  </svg>`;
}
