/** Who may come in: the keys of people and services, made, followed by new ones, and revoked. A key is shown once. */
import { html } from "../dom.js";
import { get, post, remove, useAnswer } from "../api.js";
import { useEvery } from "../live.js";
import { many } from "../parts/count.js";
import { Copy } from "../parts/copy.js";
import { confirm, show } from "../parts/dialog.js";
import { Answered, Empty, say } from "../parts/notice.js";
import { OneOf } from "../parts/one-of.js";
import { Page } from "../parts/page.js";
import { Badge } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Ago } from "../parts/time.js";
import { Link, useQuery } from "../router.js";
import { session, useMay } from "../session.js";
import { useStore } from "../store.js";

const againMilliseconds = 5_000;
const daySeconds = 86_400;
const daysMax = 3_660;
const reasonMax = 300; // it goes into the address, for a key is revoked without a body

const roles = [
  { value: "viewer", label: "viewer: looks at everything but keys and the audit" },
  { value: "operator", label: "operator: starts sagas, and asks for every verb" },
  { value: "admin", label: "admin: makes keys, reads the audit, switches healing" },
];
const howLong = { name: "days", label: "For how many days?", kind: "number", min: 0.01, max: daysMax };

export function Access() {
  const [query, change] = useQuery();
  const mine = useMay("admin");
  const answer = useAnswer("v1/keys");
  useEvery(againMilliseconds, answer.again);
  const items = answer.value?.items ?? null;
  const valid = items?.filter((key) => key.valid) ?? [];
  const over = (items?.length ?? 0) - valid.length;
  const make = async () => (await makeKey()) && answer.again();
  const states = [
    { value: null, label: "valid", count: valid.length || null },
    { value: "over", label: "over", says: "revoked, or expired", count: over || null },
  ];
  const shown = items?.filter((key) => key.valid === (query.state !== "over"));
  return html`<${Page} title="Access" mark=${items?.length > 0 && html`<span class="page-count">${many(valid.length, "valid key")}</span>`}
      says=${html`Who may come in, and for what. What they did with it is in the <${Link} to="audit">audit<//>.`}
      verbs=${mine && items !== null && html`<button type="button" class="button primary" onClick=${make}>Make a key</button>`}>
    <${Answered} of=${answer} what="Reading the keys…">${() => html`
      <${Open} any=${items.length > 0} />
      ${items.length > 0 && html`<${OneOf} label="Which keys" options=${states} value=${query.state ?? null} change=${(state) => change({ state })} />`}
      ${shown.length > 0 ? html`<${Keys} items=${shown} again=${answer.again} />`
        : items.length > 0 ? html`<${Empty} title=${query.state === "over" ? "No key is over." : "No key is valid."} icon="ring">
            <p>${query.state === "over" ? "A key that was revoked or has expired is kept here." : "Whoever has none comes in by the identity provider, if there is one. Make a key for the others."}</p><//>`
        : html`<${Empty} title="No key was ever made." icon="ring">
            <p>A key says who somebody is, a person, a service or a pipeline, and what they may do.</p>
            <p><button type="button" class="button" onClick=${make}>Make the first</button></p><//>`}`}<//>
  <//>`;
}

/** Said where everybody may do everything. */
function Open({ any }) {
  const who = useStore(session);
  if (!who || who.asked || any) return null;
  return html`<p class="note">Nobody is asked who they are: whoever reaches this address may do everything. With the first key everybody is asked.</p>`;
}

function Keys({ items, again }) {
  const act = (does) => async () => (await does()) && again();
  const columns = [
    { name: "name", label: "Whose", kind: "name", phone: "lead", cell: (key) => html`<strong><bdi>${key.name}</bdi></strong>` },
    { name: "state", label: "State", kind: "tight", cell: (key) => html`<${State} of=${key} />` },
    { name: "role", label: "Role", kind: "tight", cell: (key) => key.role },
    { name: "payloads", label: "Payloads", kind: "tight", cell: (key) => (key.payloads ? "seen" : html`<span class="none">hidden</span>`) },
    { name: "prefix", label: "Begins with", kind: "mono", phone: "hide", cell: (key) => key.prefix },
    { name: "created", label: "Made", kind: "number", cell: (key) => html`<${Ago} at=${key.created_at} /> <small>by <bdi>${key.created_by}</bdi></small>` },
    { name: "used", label: "Last used", kind: "number", cell: (key) => (key.last_used_at ? html`<${Ago} at=${key.last_used_at} />` : html`<span class="none">never</span>`) },
    { name: "expires", label: "Expires", kind: "number", cell: (key) => (key.expires_at ? html`<${Ago} at=${key.expires_at} />` : html`<span class="none">never</span>`) },
    { name: "verbs", label: "", kind: "verbs", cell: (key) => key.valid && html`<span class="row-verbs">
      ${!key.replaced_by && html`<button type="button" class="row-button" aria-label=${`Rotate the key of ${key.name}`} onClick=${act(() => rotate(key))}>Rotate</button>`}
      <button type="button" class="row-button" aria-label=${`Revoke the key of ${key.name}`} onClick=${act(() => revoke(key))}>Revoke</button></span>` },
  ];
  return html`<${Table} label="Keys" columns=${columns} rows=${items} keyOf=${(key) => key.id} tone=${(key) => !key.valid && "quiet"} />`;
}

function State({ of }) {
  if (of.revoked_at) return html`<${Badge} icon="cross" tone="quiet" title=${`by ${of.revoked_by}`}>revoked <${Ago} at=${of.revoked_at} /><//>`;
  if (!of.valid) return html`<${Badge} icon="closed" tone="quiet">expired<//>`;
  if (of.replaced_by) return html`<${Badge} icon="wait" tone="warn" title="a new key follows it">being replaced<//>`;
  return html`<${Badge} icon="check" tone="good">valid<//>`;
}

// --- what may be done -------------------------------------------------------------------------------------------------

const seconds = (days) => (days === null ? {} : { seconds: days * daySeconds });
const why = ({ reason }) => (reason ? { reason } : {});

/** Ask for whom, then show the new key. True: there is one. */
async function makeKey() {
  const who = session.get();
  const open = who !== null && !who.asked;
  const done = await confirm({
    title: "Make a key", verb: "Make it", role: "admin", reason: "optional",
    says: open ? "It is the first: from then on everybody is asked for a key, you as well. Make it an admin's, and keep it." : "It is shown once, when it is made.",
    fields: [
      { name: "name", label: "Whose is it?", required: true, maxlength: 63, pattern: "[A-Za-z0-9][A-Za-z0-9_.@:\\-]*", autocomplete: "off", spellcheck: false, hint: "A person, a service, a pipeline: letters, digits, and _ . @ : -" },
      { name: "role", label: "Role", kind: "choice", options: roles, value: open ? "admin" : "viewer" },
      ...(who === null || who.payloads ? [{ name: "payloads", label: "It may see payloads", kind: "check", value: open, hint: "What goes through sagas: inputs, results, dead letters." }] : []),
      { ...howLong, hint: "Without a number it is valid until it is revoked." },
    ],
    does: ({ name, role, payloads = false, days, ...others }) => post("v1/keys", { name: name.trim(), role, payloads, ...seconds(days), ...why(others) }),
  });
  if (done) await told(done.value);
  return done !== null;
}

/** Let a new key follow one, and show it. True: it does. */
async function rotate(key) {
  const done = await confirm({
    title: `A new key for ${key.name}?`, verb: "Rotate", role: "admin", reason: "optional",
    says: "The new one may do the same. The present one goes on for a while, so that there is time to put the new one in its place.",
    fields: [
      { name: "hours", label: "For how many hours are both valid?", kind: "number", value: 24, required: true, min: 0, max: 720 },
      { ...howLong, label: "For how many days is the new one valid?", hint: key.expires_at ? "Without a number, as long as the present one was to be." : "Without a number it is valid until it is revoked." },
    ],
    does: ({ hours, days, ...others }) => post(`v1/keys/${key.id}/rotate`, { overlap_seconds: hours * 3600, ...seconds(days), ...why(others) }),
  });
  if (done) await told(done.value);
  return done !== null;
}

/** End a key at once. True: it is over. */
async function revoke(key) {
  const own = session.get()?.name === key.name;
  const done = await confirm({
    title: `Revoke the key of ${key.name}?`, verb: "Revoke it", role: "admin", tone: "bad", reasonMax,
    says: html`<p>Whoever shows <code>${key.prefix}…</code> is no longer let in, nor are sessions that were begun with it. That can't be taken back.</p>
      ${own && html`<p>It has your name: if it is the one you came in with, you are out as well.</p>`}`,
    does: ({ reason }) => remove(`v1/keys/${key.id}`, { query: { reason: reason.replace(/\s+/g, " ") } }),
  });
  if (done) say(`The key of ${key.name} is revoked.`);
  return done !== null;
}

/** The key, this once. Where it was the first, everybody is asked as soon as it is put away. */
async function told({ key, name, role }) {
  await show(`The key of ${name}`, html`
    <p>It is shown this once. Keep it where secrets are kept; it is sent as <code>Authorization: Bearer</code>, or stands in <code>AMENDS_KEY</code>.</p>
    <p class="secret"><code>${key}</code> <${Copy} text=${key} what="the key" label="Copy" /></p>
    <p class="hint">${name}, ${role}.</p>`);
  const { value } = await get("v1/session");
  session.set(value);
}
