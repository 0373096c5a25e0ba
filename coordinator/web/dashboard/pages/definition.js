/** A page that is being built. */
import { html } from "../dom.js";
import { Page } from "../parts/page.js";

export function Definition() {
  return html`<${Page} title="Definition"><p class="none">This page is being built.</p><//>`;
}
