/** A page that is being built. */
import { html } from "../dom.js";
import { Page } from "../parts/page.js";

export function Participants() {
  return html`<${Page} title="Participants"><p class="none">This page is being built.</p><//>`;
}
