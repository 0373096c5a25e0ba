/** Small drawings, all of one hand: 16 by 16, in the colour of the text. They never stand alone: words stand beside. */
import { html } from "../dom.js";

const drawings = {
  run: "M6 4.2v7.6L12 8z",
  back: "M5.2 3.2 2.4 6l2.8 2.8 M2.6 6h6.6a4 4 0 1 1 0 8H6.5",
  stop: "M5.4 1.8h5.2l3.6 3.6v5.2l-3.6 3.6H5.4l-3.6-3.6V5.4z M8 4.8v4 M8 11.1v.2",
  check: "M3 8.6 6.4 12 13 4.6",
  undone: "M4.9 2.2 2.4 4.7l2.5 2.5 M2.6 4.7h6.7a3.6 3.6 0 0 1 2.9 5.7 M4.6 12l1.9 1.9 3.4-3.9",
  closed: "M3 3h10v10H3z M5.5 8h5",
  dot: "M8 5.4a2.6 2.6 0 1 0 .01 0z",
  ring: "M8 3.4a4.6 4.6 0 1 0 .01 0z",
  wait: "M8 2.4a5.6 5.6 0 1 0 .01 0z M8 5v3.2l2.1 1.3",
  send: "M2.4 8h10.4 M9.2 4.2 13 8l-3.8 3.8",
  cross: "M4 4l8 8 M12 4l-8 8",
  skip: "M3 4l4 4-4 4 M8 4l4 4-4 4 M13.4 4v8",
  waive: "M2.2 9.6c1.6-3 3.4-3 5.8-1.2s4.2 1.8 5.8-1.2",
  pause: "M5.4 3.4v9.2 M10.6 3.4v9.2",
  alert: "M8 2.2 14.4 13H1.6z M8 6.4v3.2 M8 11.3v.2",
  search: "M7 2.6a4.4 4.4 0 1 0 .01 0z M10.3 10.3l3.4 3.4",
  copy: "M5.6 5.6h7.6v7.6H5.6z M10.4 5.4V2.8H2.8v7.6h2.6",
  link: "M9.4 2.8h3.8v3.8 M13 3 7.4 8.6 M11.4 9.6v3.6H2.8V4.6h3.6",
  more: "M4 6.2 8 10.2l4-4",
  left: "M10 3.6 5.6 8l4.4 4.4",
  right: "M6 3.6 10.4 8 6 12.4",
  sun: "M8 5a3 3 0 1 0 .01 0z M8 1.4v1.4 M8 13.2v1.4 M1.4 8h1.4 M13.2 8h1.4 M3.3 3.3l1 1 M11.7 11.7l1 1 M12.7 3.3l-1 1 M4.3 11.7l-1 1",
  moon: "M12.8 9.8A5.6 5.6 0 0 1 6.2 3.2a5.4 5.4 0 1 0 6.6 6.6z",
  auto: "M8 2.4a5.6 5.6 0 1 0 .01 0z M8 2.4v11.2 M8 5.6h4.6 M8 8h5.4 M8 10.4h4.6",
  keys: "M1.8 4.2h12.4v7.6H1.8z M4.4 6.8v.1 M6.8 6.8v.1 M9.2 6.8v.1 M11.6 6.8v.1 M5 9.4h6",
};
const solid = new Set(["run", "dot"]);

export function Icon({ name, label }) {
  const told = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return html`<svg class=${`icon${solid.has(name) ? " solid" : ""}`} viewBox="0 0 16 16" ...${told}><path d=${drawings[name] ?? drawings.ring} /></svg>`;
}
