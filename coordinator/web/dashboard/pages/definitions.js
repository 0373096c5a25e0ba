/** A page that is being built. */
import { html } from "../dom.js";
import { Page } from "../parts/page.js";

export function Definitions() {
  return html`<${Page} title="Definitions"><p class="none">This page is being built.</p><//>`;
}
