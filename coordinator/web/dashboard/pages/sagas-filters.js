/** What sagas can be filtered by: the query of GET /v1/sagas, and the same as the filter of a bulk. */
import { waitText } from "../parts/status.js";

const waits = ["reply", "backoff", "inquiry", "blocked", "paused", "no_consumer", "outbox", "unreadable"];
const steps = ["pending", "waiting", "dispatched", "succeeded", "refused", "failed", "skipped", "compensating", "compensated", "blocked", "waived"];
const spans = [
  { value: "60", label: "1 minute" }, { value: "300", label: "5 minutes" }, { value: "3600", label: "an hour" }, { value: "86400", label: "a day" },
];

/** @returns {import("../parts/filters.js").Filter[]} */
export function filtersOf(definitions, participants) {
  return [
    { name: "definition", label: "definition", kind: "choice", options: definitions },
    { name: "waiting_on", label: "waits for", kind: "choice", options: waits.map((kind) => ({ value: kind, label: waitText(kind) })) },
    { name: "participant", label: "waits for participant", kind: "choice", options: participants },
    { name: "failed_step", label: "failed at step", hint: "charge-card" },
    { name: "current_step", label: "is at step", hint: "charge-card" },
    { name: "step", label: "step", hint: "charge-card" },
    { name: "step_status", label: "step's status", kind: "choice", options: steps },
    { name: "stuck_for_seconds", label: "nothing happened for", kind: "choice", options: spans, shows: (value) => spans.find((span) => span.value === value)?.label ?? `${value} s` },
    { name: "created_from", label: "started after", kind: "time" },
    { name: "created_to", label: "started before", kind: "time" },
    { name: "tag", label: "tag" },
    { name: "business_key", label: "business key" },
    { name: "q", label: "found by", hint: "how an id or key begins", hidden: true },
    { name: "version", label: "version", kind: "number", hidden: true },
    { name: "incident", label: "incident", hidden: true },
    { name: "family", label: "family of errors", hidden: true },
    { name: "fingerprint", label: "kind of error", hidden: true },
  ];
}

const names = ["status", ...filtersOf([], []).map((filter) => filter.name)];
const several = new Set(["status", "step_status"]);
const numbers = new Set(["version", "stuck_for_seconds"]);

/** What of an address's query is for the API. A step's status without a step is none. */
export function asked(query) {
  const stated = names.filter((name) => query[name]).filter((name) => name !== "step_status" || query.step);
  return Object.fromEntries(stated.map((name) => [name, query[name]]));
}

/** The same as the filter of a bulk, which has JSON's types. */
export function bulkFilter(query) {
  const typed = (name, value) => (several.has(name) ? value.split(",") : numbers.has(name) ? Number(value) : value);
  return Object.fromEntries(Object.entries(asked(query)).map(([name, value]) => [name, typed(name, value)]));
}
