/** The definitions, each in its newest version, and registering another. */
import { html } from "../dom.js";
import { post, useAnswer } from "../api.js";
import { countText, many } from "../parts/count.js";
import { confirm, show } from "../parts/dialog.js";
import { Pager } from "../parts/live-list.js";
import { Answered, Empty, say } from "../parts/notice.js";
import { Page } from "../parts/page.js";
import { Table } from "../parts/table.js";
import { Ago } from "../parts/time.js";
import { go, href, useQuery } from "../router.js";
import { Allowed } from "../session.js";
import { Warnings } from "./definition.js";

const pageSize = 100;

const columns = [
  { name: "name", label: "Definition", kind: "tight", link: true, phone: "lead", cell: (one) => html`<strong>${one.name}</strong>` },
  { name: "version", label: "Version", kind: "number", cell: (one) => countText(one.version) },
  { name: "steps", label: "Steps", kind: "number", cell: (one) => countText(one.steps) },
  { name: "description", label: "What it is", kind: "wide", cell: (one) => one.description ?? "" },
  { name: "at", label: "Registered", kind: "number", cell: (one) => html`<${Ago} at=${one.created_at} />` },
  { name: "by", label: "By", kind: "name", cell: (one) => one.created_by },
];

export function Definitions() {
  const [query, change] = useQuery();
  const answer = useAnswer("v1/definitions", { limit: pageSize, cursor: query.cursor });
  const items = answer.value?.items;
  const verb = html`<${Allowed}><button class="button" onClick=${() => register(answer.again)}>Register</button><//>`;
  return html`<${Page} title="Definitions" verbs=${verb} mark=${items?.length > 0 && !answer.value.next && !query.cursor && html`<span class="page-count">${many(items.length, "definition")}</span>`}>
    <${Answered} of=${answer} what="Reading the definitions…">${({ items: found, next }) => found.length === 0 ? html`<${None} />` : html`
      <${Table} label="Definitions" columns=${columns} rows=${found} keyOf=${(one) => one.name} address=${(one) => href(`definitions/${one.name}`)} />
      <${Pager} next=${next} cursor=${query.cursor} change=${(cursor) => change({ cursor })} loading=${answer.loading} />`}<//>
  <//>`;
}

async function register(again) {
  const done = await confirm({
    title: "Register a definition",
    verb: "Register",
    reason: false,
    says: "A new version, unless it equals the newest. Sagas that are under way keep the version they began with.",
    fields: [
      { name: "document", label: "The definition, as JSON", kind: "area", required: true, rows: 14, spellcheck: false },
      { name: "only", label: "Only check it", kind: "check", hint: "Nothing is kept." },
    ],
    does: async ({ document: raw, only }) => ({ only, ...(await post(only ? "v1/definitions/validate" : "v1/definitions", undefined, { raw })) }),
  });
  if (!done) return;
  if (done.only) {
    show(`${done.value.name} may be registered`, html`<${Warnings} of=${done.value.warnings} />`);
    return;
  }
  const { name, version, created } = done.value;
  say(created ? `${name} version ${version} is registered.` : `${name} is as it was: version ${version}.`);
  again();
  go(href(`definitions/${name}`));
}

function None() {
  const command = `curl -X POST ${new URL("v1/definitions", document.baseURI)} \\\n     -H 'Content-Type: application/json' -d @place_order.json`;
  return html`<${Empty} title="No definition is registered yet." icon="run">
    <p>A definition says which steps a saga has, and how each is undone. Register one here, or from a shell:</p>
    <pre>${command}</pre>
    <p>Or run <code>amends demo</code>, which brings some.</p><//>`;
}
