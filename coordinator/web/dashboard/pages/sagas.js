import { html } from "../dom.js";
import { useAnswer } from "../api.js";
import { href, useQuery } from "../router.js";
import { Answered } from "../parts/notice.js";
import { Page } from "../parts/page.js";
import { Table } from "../parts/table.js";
import { SagaStatus } from "../parts/status.js";
import { Ago } from "../parts/time.js";
export function Sagas() {
  const [query] = useQuery();
  const answer = useAnswer("v1/sagas", query);
  const columns = [
    { name: "id", label: "Saga", kind: "mono", link: true, cell: (saga) => saga.id },
    { name: "status", label: "Status", phone: "lead", cell: (saga) => html`<${SagaStatus} status=${saga.status} />` },
    { name: "definition", label: "Definition", cell: (saga) => `${saga.definition} v${saga.version}` },
    { name: "updated", label: "Last event", kind: "number", cell: (saga) => html`<${Ago} at=${saga.updated_at} />` },
  ];
  return html`<${Page} title="Sagas"><${Answered} of=${answer}>${(value) => html`<${Table} label="Sagas" columns=${columns} rows=${value.items} keyOf=${(saga) => saga.id} address=${(saga) => href(`sagas/${saga.id}`)} />`}<//><//>`;
}
