/** Numbers: grouped, and honest about what was counted only so far. */
import { html } from "../dom.js";

const grouped = new Intl.NumberFormat("en");
const precise = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** 1204, or {count: 10000, capped: true}: "1,204", "10,000+". */
export function countText(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? grouped.format(value.count) + (value.capped ? "+" : "") : grouped.format(value);
}

export const countOf = (value) => (value && typeof value === "object" ? value.count : (value ?? 0));

/** "1 saga", "12 sagas", "10,000+ sagas". */
export function many(value, one, several = `${one}s`) {
  return `${countText(value)} ${countOf(value) === 1 ? one : several}`;
}

export const rateText = (value) => (value === null || value === undefined ? "–" : precise.format(value));

export function Count({ of }) {
  return html`<span class="number">${countText(of)}</span>`;
}
