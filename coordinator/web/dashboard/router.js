/** Which page is shown: the browser's address below the base path, and the ways to change it. */
import { html, useMemo } from "./dom.js";
import { store, useStore } from "./store.js";

/** Where the dashboard and the API live: "/" or "/amends/". */
export const base = new URL(document.baseURI).pathname;

/** @typedef {{path: string, query: URLSearchParams, text: string}} Place */

/** @returns {Place} */
function read() {
  const path = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : "";
  return { path: path.replace(/\/+$/, ""), query: new URLSearchParams(location.search), text: location.search };
}

export const place = store(read());
addEventListener("popstate", () => place.set(read()));

/** The address of a page: href("sagas", {status: "blocked"}). What is null or empty is left out. */
export function href(path, query = {}) {
  const stated = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(stated.map(([name, value]) => [name, String(value)])).toString();
  return base + path.split("/").map(encodeURIComponent).join("/") + (text ? `?${text}` : "");
}

/** Go to a page of the dashboard. With `replace` the present one is left out of the way back. */
export function go(address, { replace = false, scroll = true } = {}) {
  if (replace) history.replaceState(history.state, "", address);
  else history.pushState({ inside: true }, "", address);
  place.set(read());
  if (scroll) scrollTo(0, 0);
}

/** Back the way one came; or to that page, for who came from outside. */
export function back(otherwise) {
  if (history.state?.inside) history.back();
  else go(href(otherwise));
}

/** The query of the address, and a way to change parts of it: null takes a part away. */
export function useQuery() {
  const here = useStore(place);
  const values = useMemo(() => Object.fromEntries(here.query), [here.text]);
  const change = (parts, { replace = false } = {}) =>
    go(href(place.get().path, { ...Object.fromEntries(place.get().query), ...parts }), { replace, scroll: false });
  return [values, change];
}

/** The parts of an address that a pattern names: match("sagas/:id", "sagas/7") is {id: "7"}; null if it isn't one. */
export function match(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const found = {};
  for (const [at, part] of wanted.entries()) {
    if (part.startsWith(":")) found[part.slice(1)] = plain(given[at]);
    else if (part !== given[at]) return null;
  }
  return found;
}

function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A link within the dashboard: a real one, which a plain click follows without leaving the page. */
export function Link({ to, query, children, ...others }) {
  const address = href(to, query);
  return html`<a href=${address} ...${others} onClick=${(event) => follow(event, address, others.onClick)}>${children}</a>`;
}

/** Follow a link's address from a click, unless the person wants a new tab or window. */
export function follow(event, address, first) {
  if (first) first(event);
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(address);
}
