import { html } from "../dom.js";
import { Page } from "../parts/page.js";

export function Saga() {
  return html`<${Page} title="Saga"><p class="none">This page is being built.</p><//>`;
}
