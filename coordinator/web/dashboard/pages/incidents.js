/** A page that is being built. */
import { html } from "../dom.js";
import { Page } from "../parts/page.js";

export function Incidents() {
  return html`<${Page} title="Incidents"><p class="none">This page is being built.</p><//>`;
}
