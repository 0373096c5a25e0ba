/** The frame of one page's content: its title, what it says about itself, what may be done on it; and its sections. */
import { html, useEffect } from "../dom.js";

export function Page({ title, mark, says, verbs, children, browser }) {
  useEffect(() => {
    document.title = `${browser ?? title} · Amends`;
  }, [browser, title]);
  return html`
    <header class="page-head">
      <div class="page-title"><h1>${title}</h1>${mark}</div>
      ${verbs && html`<div class="page-verbs">${verbs}</div>`}
      ${says && html`<p class="page-says">${says}</p>`}
    </header>
    ${children}`;
}

export function Section({ title, says, verbs, children, name }) {
  return html`<section class=${`section ${name ?? ""}`}>
    <div class="section-head"><h2>${title}</h2>${says && html`<span class="section-says">${says}</span>`}${verbs && html`<div class="section-verbs">${verbs}</div>`}</div>
    ${children}
  </section>`;
}
