/** A page that is being built. */
import { html } from "../dom.js";
import { useAnswer } from "../api.js";
import { Copy } from "../parts/copy.js";
import { Answered } from "../parts/notice.js";
import { Page } from "../parts/page.js";
import { Payload } from "../parts/payload.js";
import { SagaStatus } from "../parts/status.js";

export function Saga({ id }) {
  const answer = useAnswer(`v1/sagas/${encodeURIComponent(id)}`);
  return html`<${Answered} of=${answer}>${(saga) => html`
    <${Page} title=${saga.business_key ?? saga.id} mark=${html`<${SagaStatus} status=${saga.status} />`} says=${html`<span class="mono">${saga.id}</span> <${Copy} text=${saga.id} what="the id" />`}>
      <${Payload} path=${`v1/sagas/${saga.id}/input`} title="Input" />
    <//>`}<//>`;
}
