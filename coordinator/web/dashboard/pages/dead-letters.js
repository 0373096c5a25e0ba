/** A page that is being built. */
import { html } from "../dom.js";
import { Page } from "../parts/page.js";

export function DeadLetters() {
  return html`<${Page} title="DeadLetters"><p class="none">This page is being built.</p><//>`;
}
