/** Times and durations. What is shown is short; what it is exactly is in the title. */
import { html, useEffect, useState } from "../dom.js";
import { now } from "../api.js";

const ticking = new Set();
setInterval(() => {
  if (!document.hidden) for (const tick of [...ticking]) tick();
}, 1000);

const exactly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** "2.4 s", "41 s", "3 m 20 s", "5 h 2 m", "3 d 4 h". */
export function durationText(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s < 0.0005) return "0 ms";
  if (s < 0.9995) return `${s < 0.01 ? (1000 * s).toFixed(1) : Math.round(1000 * s)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return two(minutes, "m", Math.floor(s % 60), "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return two(hours, "h", minutes % 60, "m");
  return two(Math.floor(hours / 24), "d", hours % 24, "h");
}

const two = (a, unitA, b, unitB) => (b ? `${a} ${unitA} ${b} ${unitB}` : `${a} ${unitA}`);

function agoText(seconds) {
  if (seconds < -1) return `in ${short(-seconds)}`;
  return seconds < 1.5 ? "now" : `${short(seconds)} ago`;
}

function short(seconds) {
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** A time, exactly and in the person's own zone, with UTC behind it. */
export function exactText(at) {
  const date = new Date(at);
  return `${exactly.format(date)} · ${date.toISOString()}`;
}

export function clockText(at) {
  return clock.format(new Date(at));
}

/** How long ago, or in how long, kept up to date. */
export function Ago({ at, since = false }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const again = () => tick((count) => count + 1);
    ticking.add(again);
    return () => ticking.delete(again);
  }, []);
  if (!at) return html`<span class="none">–</span>`;
  const seconds = (now() - Date.parse(at)) / 1000;
  return html`<time datetime=${at} title=${exactText(at)}>${since ? short(Math.max(0, seconds)) : agoText(seconds)}</time>`;
}

/** A moment of a day, to the second. */
export function Moment({ at }) {
  if (!at) return html`<span class="none">–</span>`;
  return html`<time datetime=${at} title=${exactText(at)}>${clockText(at)}</time>`;
}

export function Duration({ seconds }) {
  return html`<span class="number" title=${seconds == null ? null : `${seconds} seconds`}>${durationText(seconds)}</span>`;
}
