/** Commands that can't be sent: the relay has set them aside, with why, and tries them again when a person says so. */
import { html } from "../dom.js";
import { post, useAnswer } from "../api.js";
import { useEvery } from "../live.js";
import { confirm } from "../parts/dialog.js";
import { say } from "../parts/notice.js";
import { Section } from "../parts/page.js";
import { Table } from "../parts/table.js";
import { Ago } from "../parts/time.js";
import { Link, href } from "../router.js";
import { Allowed } from "../session.js";

const againMilliseconds = 5_000;

/** Those of one participant, or all; nothing at all where there are none. */
export function Parked({ participant }) {
  const answer = useAnswer("v1/outbox");
  useEvery(againMilliseconds, answer.again);
  const found = (answer.value?.parked ?? []).filter((one) => !participant || one.participant === participant);
  if (found.length === 0) return null;
  const again = async (one) => {
    const done = await confirm({
      title: "Try to send it again?", verb: "Send again", reason: "optional",
      says: `A command to ${one.participant}, set aside after ${one.tries} tries: ${one.reason}`,
      does: ({ reason }) => post(`v1/outbox/${one.id}/redrive`, reason ? { reason } : {}),
    });
    if (done) say("The relay tries it again.");
    answer.again();
  };
  const columns = [
    { name: "saga", label: "Saga", kind: "mono", link: true, phone: "lead", cell: (one) => one.saga_id },
    { name: "to", label: "To", kind: "tight", cell: (one) => html`<${Link} to=${`participants/${one.participant}`}>${one.participant}<//>` },
    { name: "why", label: "Why", kind: "wide", cell: (one) => html`<span class="why"><span>${one.reason.replaceAll("_", " ")}</span>${one.last_error && html`<span>${one.last_error}</span>`}</span>` },
    { name: "tries", label: "Tries", kind: "number", cell: (one) => one.tries },
    { name: "since", label: "Since", kind: "number", cell: (one) => html`<${Ago} at=${one.created_at} />` },
    { name: "verbs", label: "", kind: "verbs", cell: (one) => html`<${Allowed}><button class="row-button" onClick=${() => again(one)}>Send again</button><//>` },
  ];
  return html`<div class="parked"><${Section} title="Can't be sent" says="set aside by the relay, with why">
    <${Table} label="Commands that can't be sent" columns=${columns} rows=${found} keyOf=${(one) => one.id} tone=${() => "bad"} address=${(one) => href(`sagas/${one.saga_id}`)} />
  <//></div>`;
}
