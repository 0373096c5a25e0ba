import { html } from "../dom.js";
import { Page } from "../parts/page.js";
export function Overview() { return html`<${Page} title="Overview"><p class="none">This page is being built.</p><//>`; }
