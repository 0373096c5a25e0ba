/** Why an attempt failed: the error, what it was raised from, where, and what its handler logged. All of it is text. */
import { html } from "../dom.js";
import { Copy } from "./copy.js";
import { Duration } from "./time.js";

export function Failure({ error, open = false }) {
  const more = error.causes.length + error.frames.length + error.logs.length > 0;
  const whole = () => [
    `${error.type}: ${error.message}`, ...error.causes.map((cause) => `from ${cause.type}: ${cause.message}`),
    ...error.frames.map((frame) => `  at ${frame}`), ...error.logs,
  ].join("\n");
  return html`<div class="failure">
    <p class="failure-line"><code class="failure-type">${error.type}</code>${error.code && html` <code>${error.code}</code>`} <bdi>${error.message}</bdi>
      <${Copy} text=${whole} what="the error" /></p>
    ${error.retry_after_seconds !== null && html`<p class="hint">It asked for <${Duration} seconds=${error.retry_after_seconds} /> before the next attempt.</p>`}
    ${more && html`<details open=${open}><summary>${named(error)}</summary>
      ${error.causes.length > 0 && html`<ol class="causes" aria-label="Raised from">${error.causes.map((cause) => html`<li>
        from <code>${cause.type}</code>${cause.code && html` <code>${cause.code}</code>`} <bdi>${cause.message}</bdi></li>`)}</ol>`}
      ${error.frames.length > 0 && html`<ul class="frames" aria-label="Where, the innermost first">${error.frames.map((frame) => html`<li><code>${frame}</code></li>`)}</ul>`}
      ${error.logs.length > 0 && html`<pre class="logs" tabindex="0" aria-label="Last log lines of the handler">${error.logs.join("\n")}</pre>`}
    </details>`}
  </div>`;
}

function named({ causes, frames, logs }) {
  return [causes.length && "causes", frames.length && "where", logs.length && `${logs.length} log ${logs.length === 1 ? "line" : "lines"}`].filter(Boolean).join(", ");
}
