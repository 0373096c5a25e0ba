/** A page that is being built. */
import { html } from "../dom.js";
import { Page } from "../parts/page.js";

export function Notifications() {
  return html`<${Page} title="Notifications"><p class="none">This page is being built.</p><//>`;
}
