/** The dashboard: the frame that all pages share, and which page is in it. */
import { Component, classes, html, render, useEffect, useLayoutEffect, useRef, useState } from "./dom.js";
import { get, unknown } from "./api.js";
import { described, useKeys } from "./keys.js";
import { connection, paused } from "./live.js";
import { useFreshOverview, useOverview } from "./overview.js";
import { pages } from "./pages.js";
import { countOf, countText } from "./parts/count.js";
import { Dialogs, show } from "./parts/dialog.js";
import { Icon } from "./parts/icons.js";
import { Empty, Said, Trouble } from "./parts/notice.js";
import { Page } from "./parts/page.js";
import { Pauses } from "./parts/pauses.js";
import { Link, back, go, href, match, place } from "./router.js";
import { Locked, Who, may, session } from "./session.js";
import { store, useStore } from "./store.js";

const theme = store("auto", "theme");
const themes = { auto: "light", light: "dark", dark: "auto" };
theme.listen((value) => {
  if (value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
});

const sagaId = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function App() {
  const here = useStore(place);
  const [menu, setMenu] = useState(false);
  const locked = useStore(unknown);
  const main = useRef(null);
  const who = useStore(session);
  useFreshOverview();
  useKeys({
    "/": { says: "search", does: () => document.querySelector("#search").focus() },
    "?": { says: "these keys", does: help },
    r: { says: "pause or resume live updates", does: () => paused.set((was) => !was) },
    t: { says: "light, dark, or as the system has it", does: () => theme.set((was) => themes[was]) },
    Escape: { says: "back, or close", does: () => (menu ? setMenu(false) : up()) },
    ...Object.fromEntries(named(who).map((page, at) => [
      String(at + 1), { says: page.name, does: () => go(href(page.path)) },
    ])),
  });
  useEffect(() => setMenu(false), [here.path]);
  const found = pages.map((page) => ({ page, parts: match(page.path, here.path) })).find(({ parts }) => parts);
  return html`
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>To the content</a>
    <${Menu} open=${menu} toggle=${() => setMenu(!menu)} path=${here.path} />
    <main id="main" ref=${main} tabindex="-1">
      ${locked ? html`<${Locked} />` : html`<${Pauses} />
      <${Guard} key=${here.path}>
        ${found ? html`<${found.page.view} ...${found.parts} />` : html`<${Lost} />`}
      <//>`}
    </main>
    <${Said} />
    <${Dialogs} />`;
}

/** The pages of the menu. One that is not for everybody comes when it is known that it is for who looks. */
const named = (who) => pages.filter((page) => page.name && (!page.role || (who?.role && may(page.role, who))));

/** One page up, as Escape has it: from a saga to the list it was found in. */
function up() {
  const parts = place.get().path.split("/");
  document.activeElement?.blur();
  if (parts.length > 1) back(parts.slice(0, -1).join("/"));
}

function help() {
  const keys = [...described(), ["Enter", "open the row"]];
  show("Keys", html`<dl class="keys">${keys.map(([key, says]) => html`<div><dt><kbd>${key === "Escape" ? "Esc" : key}</kbd></dt><dd>${says}</dd></div>`)}</dl>`);
}

function Menu({ open, toggle, path }) {
  const { value } = useOverview();
  const [about, setAbout] = useState(null);
  useEffect(() => {
    get("").then(({ value: index }) => setAbout(index.version), () => setAbout(null));
  }, []);
  const who = useStore(session);
  const first = path.split("/")[0];
  return html`
    <header class=${classes("menu", { open })}>
      <${Link} to="" class="brand" aria-label="Amends: overview"><${Mark} /><span>Amends</span><//>
      <${Search} />
      <button class="menu-button" aria-expanded=${open} aria-controls="menu" onClick=${toggle}>Menu <${Icon} name="more" /></button>
      <nav id="menu" aria-label="Pages">
        <ul>${named(who).map((page) => {
          const count = value && page.count ? page.count(value) : null;
          return html`<li key=${page.path}><${Link} to=${page.path} aria-current=${page.path === first ? "page" : undefined}>
            <span>${page.name}</span>
            ${countOf(count) > 0 && html`<span class="menu-count" title=${`${countText(count)} ${page.counts}`}>${countText(count)}<span class="unseen"> ${page.counts}</span></span>`}
          <//></li>`;
        })}</ul>
      </nav>
      <div class="menu-foot">
        <${Who} />
        <${Pulse} />
        <div class="menu-tools">
          <${ThemeButton} />
          <button class="tool" onClick=${help} title="Keys (?)" aria-label="Keys"><${Icon} name="keys" /></button>
          ${about && html`<span class="version" title="Release">${about}</span>`}
        </div>
      </div>
    </header>`;
}

function Mark() {
  return html`<svg class="mark" viewBox="0 0 16 16" aria-hidden="true"><path d="M2.6 8.6a5.4 5.4 0 1 0 1.7-4.5L2.4 6 M2.4 2.4V6H6" /></svg>`;
}

function Search() {
  const here = useStore(place);
  const box = useRef(null);
  const submit = (event) => {
    event.preventDefault();
    const text = box.current.value.trim();
    if (!text) return;
    box.current.blur();
    go(sagaId.test(text) ? href(`sagas/${text.toLowerCase()}`) : href("sagas", { q: text }));
  };
  useLayoutEffect(() => { // before anybody can have typed
    box.current.value = here.path === "sagas" ? (here.query.get("q") ?? "") : "";
  }, [here]);
  return html`<form class="search" role="search" onSubmit=${submit}>
    <${Icon} name="search" />
    <input id="search" ref=${box} type="search" placeholder="Saga id or key" aria-label="Search sagas by id or business key" autocomplete="off" spellcheck=${false} />
    <kbd aria-hidden="true">/</kbd>
  </form>`;
}

function Pulse() {
  const isPaused = useStore(paused);
  const state = useStore(connection);
  const shown = isPaused ? "paused" : state;
  const words = { paused: "Paused", live: "Live", connecting: "Connecting…", lost: "Reconnecting…", idle: "Idle" };
  const says = isPaused ? "Nothing changes by itself. Press r to go on." : "What happens is shown at once. Press r to hold the page still.";
  return html`<button class=${`pulse ${shown}`} aria-pressed=${isPaused} onClick=${() => paused.set(!isPaused)} title=${says}>
    <span class="pulse-dot"></span>${words[shown]}
  </button>`;
}

function ThemeButton() {
  const value = useStore(theme);
  const icon = { auto: "auto", light: "sun", dark: "moon" }[value];
  return html`<button class="tool" onClick=${() => theme.set(themes[value])} title=${`Theme: ${value} (t)`} aria-label=${`Theme: ${value}`}><${Icon} name=${icon} /></button>`;
}

function Lost() {
  return html`<${Page} title="Nothing here"><${Empty} title="This address leads to no page." icon="search">
    <p>It may have been cut off on its way. <${Link} to="">The overview<//> knows all there is.</p>
  <//><//>`;
}

/** A page that fails says so, and the others go on. */
class Guard extends Component {
  constructor() {
    super();
    this.state = { error: null };
  }

  static getDerivedStateFromError(error) {
    return { error };
  }

  componentDidCatch(error) {
    console.error(error);
  }

  render({ children }, { error }) {
    if (!error) return children;
    const problem = { title: "This page has a fault", detail: String(error?.message ?? error), errors: [] };
    return html`<${Trouble} problem=${problem} again=${() => this.setState({ error: null })} />`;
  }
}

const root = document.querySelector("#app");
root.textContent = "";
render(html`<${App} />`, root);
