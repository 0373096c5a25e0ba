/** A page that is being built. */
import { html } from "../dom.js";
import { Page } from "../parts/page.js";

export function Participant() {
  return html`<${Page} title="Participant"><p class="none">This page is being built.</p><//>`;
}
