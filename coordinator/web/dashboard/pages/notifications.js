/** Who is told of what happens, and what became of it: subscriptions, deliveries, and telling it again. */
import { html, useState } from "../dom.js";
import { remove, useAnswer } from "../api.js";
import { sagaEvents, useEvery } from "../live.js";
import { countText, many } from "../parts/count.js";
import { confirm } from "../parts/dialog.js";
import { Filters } from "../parts/filters.js";
import { Pager, Waiting, useLiveList } from "../parts/live-list.js";
import { Answered, Empty, Loading, Trouble, say } from "../parts/notice.js";
import { OneOf } from "../parts/one-of.js";
import { Page, Section } from "../parts/page.js";
import { Badge } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Ago } from "../parts/time.js";
import { href, useQuery } from "../router.js";
import { Allowed, useMay } from "../session.js";
import { Subscribe } from "./notifications-subscribe.js";
import { eventText, events, redeliver } from "./notification.js";

const againMilliseconds = 3_000;
const pageSize = 50;

const states = [
  { value: null, label: "all" },
  { value: "pending", label: "on their way", says: "to be tried, or tried again" },
  { value: "delivered", label: "delivered" },
  { value: "failed", label: "failed", says: "given up after all attempts" },
  { value: "dropped", label: "dropped", says: "the subscription ended first" },
];

const badges = {
  pending: { icon: "wait", tone: "forward", label: "on its way" },
  delivered: { icon: "check", tone: "good", label: "delivered" },
  failed: { icon: "cross", tone: "bad", label: "failed" },
  dropped: { icon: "closed", tone: "quiet", label: "dropped" },
};

export function NoticeState({ of }) {
  const { icon, tone, label } = badges[of.status] ?? { icon: "ring", tone: "quiet", label: of.status };
  return html`<${Badge} icon=${icon} tone=${tone}>${label}<//>`;
}

/** Where a subscription tells: its address, or what else it is. */
export function targetText(of) {
  return of.url ?? { amqp: "exchange amends.events", log: "the coordinator's log" }[of.target] ?? of.target;
}

export function Notifications() {
  const subscriptions = useAnswer("v1/notifications/subscriptions");
  const [adding, setAdding] = useState(false);
  useEvery(againMilliseconds, subscriptions.again);
  const items = subscriptions.value?.items ?? null;
  const mine = useMay("admin");
  const add = mine && html`<button class="button primary" aria-expanded=${adding} onClick=${() => setAdding(!adding)}>Subscribe</button>`;
  return html`<${Page} title="Notifications" verbs=${add} says="What happens is told to webhooks, to the exchange amends.events, or to the log.">
    ${adding && mine && html`<${Subscribe} done=${() => (setAdding(false), subscriptions.again())} leave=${() => setAdding(false)} />`}
    <${Section} title="Subscriptions" says=${items?.length > 0 && many(items.length, "subscription")}>
      <${Answered} of=${subscriptions}>${({ items: found }) => found.length === 0
        ? !adding && html`<${Empty} title="Nobody is told." icon="send">
            <p>Subscribe a webhook, and it is told when a saga is blocked, say. Each call is signed, and repeated until it is taken.</p>
            ${mine ? html`<p><button class="button" onClick=${() => setAdding(true)}>Subscribe</button></p>` : html`<p>An admin says who is told.</p>`}<//>`
        : html`<${Subscribed} items=${found} again=${subscriptions.again} />`}<//>
    <//>
    <${Deliveries} subscriptions=${items ?? []} />
  <//>`;
}

function Subscribed({ items, again }) {
  const end = async (one) => {
    const done = await confirm({
      title: "End this subscription?", verb: "End it", tone: "bad", role: "admin", reason: "optional", reasonMax: 300,
      says: html`<p><bdi>${targetText(one)}</bdi> is told nothing more.${one.waiting > 0 ? ` What waits for it, ${many(one.waiting, "notification")}, is dropped.` : ""}</p>`,
      does: ({ reason }) => remove(`v1/notifications/subscriptions/${one.id}`, { query: { reason: reason.replace(/\s+/g, " ") } }),
    });
    if (done) say("The subscription has ended.");
    again();
  };
  const columns = [
    { name: "target", label: "Told", kind: "wide", phone: "lead", cell: (one) => html`<strong>${one.target}</strong> <bdi>${one.target === "webhook" ? one.url : targetText(one)}</bdi>` },
    { name: "events", label: "Of what", cell: (one) => html`${one.events.length === 0 ? "everything" : one.events.map(eventText).join(", ")}${one.definitions.length > 0 && html` <small>in ${one.definitions.join(", ")}</small>`}` },
    { name: "state", label: "State", cell: (one) => html`<${Circuit} of=${one} />` },
    { name: "waiting", label: "Waiting", kind: "number", cell: (one) => countText(one.waiting) },
    { name: "since", label: "Since", kind: "number", cell: (one) => html`<${Ago} at=${one.created_at} />` },
    { name: "by", label: "By", kind: "name", phone: "hide", cell: (one) => one.created_by },
    { name: "verbs", label: "", kind: "verbs", cell: (one) => html`<${Allowed} role="admin"><button class="row-button" aria-label=${`End the subscription of ${targetText(one)}`} onClick=${() => end(one)}>End</button><//>` },
  ];
  return html`<${Table} label="Subscriptions" columns=${columns} rows=${items} keyOf=${(one) => one.id} tone=${(one) => one.circuit === "open" && "bad"} />`;
}

function Circuit({ of }) {
  if (of.circuit === "open") {
    return html`<${Badge} icon="stop" tone="bad" title="it failed so often that it is left alone for a while">left alone<//>
      <small> until <${Ago} at=${of.open_until} />; ${many(of.failures, "failure")} in a row: <bdi>${of.last_error}</bdi></small>`;
  }
  if (of.failures > 0) {
    return html`<${Badge} icon="alert" tone="warn">${of.circuit === "half_open" ? "tried again" : "failing"}<//> <small>${many(of.failures, "failure")} in a row: <bdi>${of.last_error}</bdi></small>`;
  }
  return html`<${Badge} icon="check" tone="good" title="nothing it was told came to nothing">ready<//>`;
}

const columns = (targets, again) => [
  { name: "state", label: "State", kind: "tight", phone: "lead", cell: (one) => html`<${NoticeState} of=${one} />` },
  { name: "event", label: "Event", kind: "tight", link: true, cell: (one) => html`${eventText(one.event)}` },
  { name: "definition", label: "Definition", kind: "name", cell: (one) => one.definition },
  { name: "to", label: "To", kind: "name", cell: (one) => html`<bdi>${targets.get(one.subscription_id) ?? "a subscription that has ended"}</bdi>` },
  { name: "attempts", label: "Attempts", kind: "number", cell: (one) => one.attempts },
  { name: "error", label: "Last error", kind: "wide", cell: (one) => one.last_error && html`<bdi>${one.last_error}</bdi>` },
  { name: "at", label: "Happened", kind: "number", cell: (one) => html`<${Ago} at=${one.created_at} />` },
  { name: "verbs", label: "", kind: "verbs", cell: (one) => one.status === "failed" &&
    html`<${Allowed}><button class="row-button" onClick=${async () => (await redeliver(one)) && again()}>Tell again</button><//>` },
];

function Deliveries({ subscriptions }) {
  const [query, change] = useQuery();
  const filter = { status: query.status, event: query.event, subscription_id: query.subscription_id, saga_id: query.saga_id };
  const list = useLiveList("v1/notifications", { ...filter, limit: pageSize, cursor: query.cursor }, {
    keyOf: (one) => one.id, events: sagaEvents, kind: "saga", milliseconds: 1_500,
  });
  useEvery(againMilliseconds, list.again);
  const targets = new Map(subscriptions.map((one) => [one.id, targetText(one)]));
  const narrow = (parts) => change({ ...parts, cursor: null });
  const filters = [
    { name: "event", label: "event", kind: "choice", options: events.map((value) => ({ value, label: eventText(value) })) },
    { name: "subscription_id", label: "to", kind: "choice", options: subscriptions.map((one) => ({ value: one.id, label: targetText(one) })) },
    { name: "saga_id", label: "saga", hint: "its whole id" },
  ];
  const filtered = Object.values(filter).some(Boolean);
  return html`<${Section} title="Deliveries" says="each is told at least once, and tried again, later and later, for hours">
    <${OneOf} label="What became of them" options=${states} value=${query.status ?? null} change=${(status) => narrow({ status })} />
    <${Filters} filters=${filters} query=${query} change=${narrow} />
    <${Waiting} list=${list} />
    ${list.problem && html`<${Trouble} problem=${list.problem} again=${list.again} />`}
    ${list.rows === null && !list.problem && html`<${Loading} />`}
    ${list.rows?.length === 0 && html`<${Empty} title=${filtered ? "No delivery matches." : "Nothing was told yet."} icon=${filtered ? "search" : "ring"}>
      <p>${filtered ? html`<button class="quiet-button" onClick=${() => narrow({ status: null, event: null, subscription_id: null, saga_id: null })}>Take the filters away</button>`
        : "As soon as somebody has subscribed and a saga moves, it is here, with every attempt."}</p><//>`}
    ${list.rows?.length > 0 && html`
      <${Table} label="Deliveries" columns=${columns(targets, list.again)} rows=${list.rows} keyOf=${(one) => one.id} address=${(one) => href(`notifications/${one.id}`)}
        tone=${(one) => one.status === "failed" && "bad"} onPointer=${list.onPointer} />
      <${Pager} next=${list.next} cursor=${query.cursor} change=${(cursor) => change({ cursor })} loading=${list.loading} />`}
  <//>`;
}
