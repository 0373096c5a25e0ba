/** A page that is being built. */
import { html } from "../dom.js";
import { Page } from "../parts/page.js";

export function Incident() {
  return html`<${Page} title="Incident"><p class="none">This page is being built.</p><//>`;
}
