/** One dead letter: why it is dead, what stands in it, as text, and what may be done with it. */
import { html } from "../dom.js";
import { post, useAnswer } from "../api.js";
import { lookAgain } from "../overview.js";
import { Copy } from "../parts/copy.js";
import { confirm } from "../parts/dialog.js";
import { Answered, Empty, say } from "../parts/notice.js";
import { Page, Section } from "../parts/page.js";
import { Json, sizeText } from "../parts/payload.js";
import { Ago } from "../parts/time.js";
import { Link } from "../router.js";
import { useMay } from "../session.js";
import { LetterState, sourceText } from "./dead-letters.js";

export function DeadLetter({ id }) {
  const answer = useAnswer(`v1/dead-letters/${encodeURIComponent(id)}`);
  if (answer.value === null && answer.problem?.status === 404) {
    return html`<${Page} title="Dead letter"><${Empty} title="There is no such letter." icon="search"><p><${Link} to="dead-letters">All dead letters<//></p><//><//>`;
  }
  const letter = answer.value;
  return html`<${Page} title="Dead letter" mark=${letter && html`<${LetterState} letter=${letter} />`}
      verbs=${letter?.status === "open" && html`<${Verbs} letter=${letter} done=${answer.again} />`}>
    <${Answered} of=${answer}>${(one) => html`<${Whole} letter=${one} />`}<//>
  <//>`;
}

function Verbs({ letter, done }) {
  if (!useMay("operator")) return null;
  const after = (text) => {
    say(text);
    lookAgain();
    done();
  };
  const redrive = async () => {
    const did = await confirm({
      title: "Send it again?", verb: "Send again", reason: "optional",
      says: "It goes where it was going. If it is no longer awaited, that is refused, and it stays here.",
      does: (stated) => post(`v1/dead-letters/${letter.id}/redrive`, stated.reason ? { reason: stated.reason } : {}),
    });
    if (did) after("It was sent again.");
  };
  const discard = async () => {
    const did = await confirm({
      title: "Discard it?", verb: "Discard", tone: "bad", says: "It is put aside for good, and can't be sent again.",
      does: (stated) => post(`v1/dead-letters/${letter.id}/discard`, { reason: stated.reason }),
    });
    if (did) after("It was discarded.");
  };
  return html`<button class="button" onClick=${discard}>Discard</button><button class="button primary" onClick=${redrive}>Send again</button>`;
}

function Whole({ letter }) {
  return html`
    <p class="letter-why"><bdi>${letter.reason}</bdi></p>
    <dl class="letter-facts">
      <div><dt>Came</dt><dd><${Ago} at=${letter.at} /></dd></div>
      <div><dt>Among</dt><dd>${letter.participant ? html`<${Link} to=${`participants/${letter.participant}`}>${sourceText(letter)}<//>` : sourceText(letter)}</dd></div>
      ${letter.saga_id && html`<div><dt>Saga</dt><dd><${Link} to=${`sagas/${letter.saga_id}`} class="mono">${letter.saga_id}<//></dd></div>`}
      ${letter.command_key && html`<div><dt>Command</dt><dd class="mono">${letter.command_key}</dd></div>`}
      ${letter.redelivered > 0 && html`<div><dt>Came again</dt><dd>${letter.redelivered} times</dd></div>`}
      ${letter.resolved_at && html`<div><dt>Seen to</dt><dd><${Ago} at=${letter.resolved_at} /> by ${letter.resolved_by}${letter.resolved_why && html`: ${letter.resolved_why}`}</dd></div>`}
    </dl>
    <${Section} title="What stands in it" says=${letter.payloads_hidden ? "hidden: you may not see payloads" : sizeText(new Blob([letter.body]).size)}
      verbs=${!letter.payloads_hidden && html`<${Copy} text=${letter.body} what="the message" label="Copy" />`}>
      ${!letter.payloads_hidden && html`<${Json} text=${letter.body} />`}
    <//>`;
}
