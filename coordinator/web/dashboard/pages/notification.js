/** One event for one subscription: what is sent, how often it was tried, and telling it again. */
import { html } from "../dom.js";
import { post, useAnswer } from "../api.js";
import { useEvery } from "../live.js";
import { Copy } from "../parts/copy.js";
import { confirm } from "../parts/dialog.js";
import { Answered, Empty, say } from "../parts/notice.js";
import { Page, Section } from "../parts/page.js";
import { Json } from "../parts/payload.js";
import { Ago } from "../parts/time.js";
import { Link } from "../router.js";
import { Allowed } from "../session.js";
import { NoticeState, targetText } from "./notifications.js";

const againMilliseconds = 3_000;

/** What may be told of, in the order of a saga's life. */
export const events = ["started", "step_failed", "retrying", "blocked", "completed", "compensated", "closed", "incident_opened"];
export const eventText = (event) => event.replaceAll("_", " ");

/** Ask, then tell it again. True: it will be. */
export async function redeliver(notification) {
  const done = await confirm({
    title: `Tell of “${eventText(notification.event)}” again?`, verb: "Tell again", reason: "optional",
    says: "It is sent as it was, with all its attempts. Whoever was told already knows it by its id.",
    does: ({ reason }) => post(`v1/notifications/${notification.id}/redeliver`, reason ? { reason } : {}),
  });
  if (done) say("It is told again.");
  return done !== null;
}

export function NotificationPage({ id }) {
  const answer = useAnswer(`v1/notifications/${encodeURIComponent(id)}`);
  const subscription = useAnswer(answer.value ? `v1/notifications/subscriptions/${answer.value.subscription_id}` : null);
  useEvery(againMilliseconds, answer.again);
  if (answer.value === null && answer.problem?.status === 404) {
    return html`<${Page} title="Notification"><${Empty} title="There is no such notification." icon="search">
      <p>Old ones are forgotten. <${Link} to="notifications">All notifications<//></p><//><//>`;
  }
  const one = answer.value;
  const again = async () => (await redeliver(one)) && answer.again();
  return html`<${Page} title=${one ? `Told of: ${eventText(one.event)}` : "Notification"} mark=${one && html`<${NoticeState} of=${one} />`}
      verbs=${one && (one.status === "failed" || one.status === "delivered") && html`<${Allowed}><button class="button primary" onClick=${again}>Tell again</button><//>`}>
    <${Answered} of=${answer}>${(notification) => html`<${Whole} one=${notification} to=${subscription.value} />`}<//>
  <//>`;
}

function Whole({ one, to }) {
  return html`
    <dl class="letter-facts">
      <div><dt>To</dt><dd><bdi>${to ? targetText(to) : "a subscription that has ended"}</bdi></dd></div>
      <div><dt>Of</dt><dd>${one.saga_id ? html`<${Link} to=${`sagas/${one.saga_id}`} class="mono">${one.saga_id}<//>` : eventText(one.event)}${" "}${one.definition}</dd></div>
      <div><dt>Happened</dt><dd><${Ago} at=${one.created_at} /></dd></div>
      <div><dt>Attempts</dt><dd>${one.attempts}</dd></div>
      ${one.delivered_at && html`<div><dt>Delivered</dt><dd><${Ago} at=${one.delivered_at} /></dd></div>`}
      ${one.status === "pending" && one.next_at && html`<div><dt>Next attempt</dt><dd><${Ago} at=${one.next_at} /></dd></div>`}
      ${one.last_error && html`<div><dt>Last error</dt><dd><bdi>${one.last_error}</bdi></dd></div>`}
      <div><dt>Id of the event</dt><dd class="mono">${one.event_id} <${Copy} text=${one.event_id} what="the event's id" /></dd></div>
    </dl>
    <${Section} title="What is sent" verbs=${html`<${Copy} text=${one.body} what="the body" label="Copy" />`}><${Json} text=${one.body} /><//>`;
}
