/** One entry of the audit: who asked for what, why, from where; how it stood before and after; and what else they did. */
import { html } from "../dom.js";
import { useAnswer } from "../api.js";
import { Changes } from "../parts/changes.js";
import { Answered, Empty } from "../parts/notice.js";
import { Page, Section } from "../parts/page.js";
import { Ago, exactText } from "../parts/time.js";
import { Link } from "../router.js";
import { Outcome, actionText } from "./audit.js";

const paged = ["sagas", "incidents", "definitions", "participants", "dead-letters", "notifications"];
const ways = { key: "by key", session: "in the dashboard", token: "by the identity provider", open: "nobody was asked who they are", database: "on the database itself" };

export function AuditEntry({ id }) {
  const answer = useAnswer(`v1/audit/${encodeURIComponent(id)}`);
  if (answer.value === null && answer.problem?.status === 404) {
    return html`<${Page} title="Audit"><${Empty} title="There is no such entry." icon="search"><p>Old ones are forgotten. <${Link} to="audit">The whole audit<//></p><//><//>`;
  }
  const one = answer.value;
  return html`<${Page} title=${one ? actionText(one.action) : "Audit"} mark=${one && html`<${Outcome} of=${one} />`}>
    <${Answered} of=${answer}>${(entry) => html`<${Whole} one=${entry} />`}<//>
  <//>`;
}

/** The page of what it was about, if there is one. */
function pageOf(target) {
  const [room, id] = target.replace(/^\/v1\//, "").split("/");
  return paged.includes(room) && id && !["bulk", "subscriptions"].includes(id) ? `${room}/${id}` : null;
}

function Whole({ one }) {
  const page = pageOf(one.target);
  return html`
    ${one.problem && html`<p class="letter-why"><bdi>${one.problem}</bdi></p>`}
    <dl class="letter-facts">
      <div><dt>Who</dt><dd><bdi>${one.who}</bdi>, ${one.role} <small>${ways[one.via] ?? one.via}</small>${one.on_behalf_of && html`, for <bdi>${one.on_behalf_of}</bdi>`}
        ${" "}<${Link} to="audit" query=${{ who: one.who }}>everything by them<//></dd></div>
      <div><dt>When</dt><dd>${exactText(one.at)} (<${Ago} at=${one.at} />)</dd></div>
      <div><dt>Why</dt><dd>${one.why ? html`<bdi>${one.why}</bdi>` : html`<span class="none">no reason was given</span>`}</dd></div>
      <div><dt>Subject</dt><dd>${page ? html`<${Link} to=${page} class="mono">${one.target}<//>` : html`<bdi class="mono">${one.target}</bdi>`}
        ${" "}<${Link} to="audit" query=${{ under: one.target.split("/").slice(0, 4).join("/") }}>everything about it<//></dd></div>
      <div><dt>Route</dt><dd class="mono">${one.action}</dd></div>
      <div><dt>Answer</dt><dd>${one.status}</dd></div>
      ${one.address && html`<div><dt>From</dt><dd class="mono"><bdi>${one.address}</bdi></dd></div>`}
      <div><dt>Request</dt><dd class="mono"><bdi>${one.request_id}</bdi></dd></div>
    </dl>
    <${Section} title="Before and after" says=${one.before !== null && Object.keys(one.before).length === 0 && "there was nothing before"}>
      <${Changes} before=${one.before} after=${one.after} />
    <//>`;
}
