/** One definition: its steps as a graph, what there is to say against it, its versions, and a form that starts a saga. */
import { html, useEffect, useState } from "../dom.js";
import { post, useAnswer } from "../api.js";
import { partAt } from "../json.js";
import { useOverview } from "../overview.js";
import { Copy } from "../parts/copy.js";
import { Graph } from "../parts/graph.js";
import { Icon } from "../parts/icons.js";
import { Answered, Empty, Loading, Trouble } from "../parts/notice.js";
import { Page, Section } from "../parts/page.js";
import { Json } from "../parts/payload.js";
import { beginPause, endPause } from "../parts/pauses.js";
import { Ago } from "../parts/time.js";
import { Link, useQuery } from "../router.js";
import { Allowed } from "../session.js";
import { StartForm } from "./definition-start.js";

export function Definition({ name }) {
  const [query, change] = useQuery();
  const newest = useAnswer(`v1/definitions/${encodeURIComponent(name)}`);
  const older = query.version && String(newest.value?.version) !== query.version;
  const wanted = useAnswer(older ? `v1/definitions/${encodeURIComponent(name)}/${encodeURIComponent(query.version)}` : null);
  const answer = older ? wanted : newest;
  if (answer.value === null && answer.problem?.status === 404) {
    return html`<${Page} title=${name}><${Empty} title=${older ? `There is no version ${query.version}.` : "There is no such definition."} icon="search">
      <p>${older ? html`<${Link} to=${`definitions/${name}`}>The newest version<//>` : html`<${Link} to="definitions">All definitions<//>`}</p><//><//>`;
  }
  const versions = newest.value?.versions ?? [];
  const mark = versions.length > 1
    ? html`<label class="versions">version <select value=${String(answer.value?.version ?? "")} onChange=${(event) => change({ version: event.target.value === String(versions[0]) ? null : event.target.value, step: null })}>
        ${versions.map((version) => html`<option value=${String(version)}>${version}${version === versions[0] ? ", the newest" : ""}</option>`)}</select></label>`
    : answer.value && html`<span class="page-count">version ${answer.value.version}</span>`;
  return html`<${Page} title=${name} mark=${mark} verbs=${newest.value && html`<${Verbs} name=${name} />`}
      says=${answer.value && html`<${Says} of=${answer.value} older=${older} />`}>
    <${Answered} of=${answer}>${(definition, text) => html`<${Whole} key=${definition.version} definition=${definition} text=${text} />`}<//>
  <//>`;
}

function Says({ of, older }) {
  return html`${of.document.description && html`<span class="definition-says">${of.document.description}</span>`}
    registered <${Ago} at=${of.created_at} /> by ${of.created_by}${older ? html` · <span class="warn">not the newest version</span>` : ""}`;
}

function Verbs({ name }) {
  const { value } = useOverview();
  const pause = value?.pauses.find((one) => one.scope === "definition" && one.name === name);
  return html`
    <${Link} class="button" to="sagas" query=${{ definition: name }}>Its sagas<//>
    <${Allowed}>${pause ? html`<button class="button" onClick=${() => endPause(pause)}>Resume</button>`
      : html`<button class="button" onClick=${() => beginPause("definition", name)}>Pause its sagas</button>`}<//>`;
}

function Whole({ definition, text }) {
  const { document: stated } = definition;
  const steps = stated.steps.map((step) => ({ ...step, after: afterOf(step), kind: step.kind ?? "compensatable" }));
  const [chosen, choose] = useState(null);
  const step = steps.find((one) => one.name === chosen);
  return html`
    <${Section} title="Steps" says="press one to see what it says"><div class="definition-graph">
      <${Graph} label="Steps of the definition" steps=${steps} draw=${draw} tone=${(one) => `${tones[one.kind] ?? "quiet"} ${one.kind}`}
        describe=${(one) => `${one.participant}.${one.action}: ${kinds[one.kind] ?? one.kind}`} chosen=${chosen} choose=${(name) => choose(name === chosen ? null : name)} />
      ${step && html`<${Step} key=${step.name} step=${step} text=${partAt(text, ["document", "steps", steps.indexOf(step)]) ?? "{}"} />`}
    </div><//>
    <${Section} title="Checks"><${Checks} text=${partAt(text, ["document"]) ?? "{}"} /><//>
    <${Allowed}><${Section} title="Start a saga"><${StartForm} definition=${definition} text=${text} /><//><//>
    <${Section} title="The whole definition" verbs=${html`<${Copy} text=${() => partAt(text, ["document"])} what="the definition" label="Copy" />`}>
      <details class="payload"><summary>As it was registered</summary><${Json} text=${partAt(text, ["document"]) ?? "{}"} /></details>
    <//>`;
}

const afterOf = (step) => (Array.isArray(step.after) ? step.after : []);
const tones = { compensatable: "forward", pivot: "settled", retriable: "good" };
const kinds = {
  compensatable: "it can be undone",
  pivot: "past it the saga only goes forward",
  retriable: "it is tried until it succeeds",
};

function draw(step) {
  return html`<span class="graph-name">${step.name}</span>
    <span class="graph-says"><small>${step.participant}.${step.action}</small><small>${step.kind === "compensatable" ? (step.compensation ? "" : "no undoing") : step.kind}</small></span>`;
}

function Step({ step, text }) {
  return html`<section class="definition-step" aria-label=${`Step ${step.name}`}>
    <h3>${step.name}</h3>
    <p><${Link} to=${`participants/${step.participant}`}>${step.participant}<//>.${step.action}${step.compensation ? html`, undone by <code>${step.compensation}</code>` : ""} · ${kinds[step.kind] ?? step.kind}</p>
    <${Json} text=${text} />
  </section>`;
}

/** What the coordinator says of a definition when it is asked to check it, as things stand now. */
function Checks({ text }) {
  const [state, set] = useState({ warnings: null, problem: null });
  const check = async () => {
    try {
      const { value } = await post("v1/definitions/validate", undefined, { raw: text });
      set({ warnings: value.warnings, problem: null });
    } catch (problem) {
      set({ warnings: null, problem });
    }
  };
  useEffect(() => {
    check();
  }, [text]);
  if (state.problem) return html`<${Trouble} problem=${state.problem} again=${check} />`;
  if (!state.warnings) return html`<${Loading} />`;
  return html`<${Warnings} of=${state.warnings} />`;
}

/** Remarks on a definition; none is said as well. */
export function Warnings({ of }) {
  if (of.length === 0) return html`<p class="checked good"><${Icon} name="check" /> Nothing to remark: it is sound, and somebody is there for every step.</p>`;
  return html`<ul class="warnings">${of.map((one) => html`<li>
    <${Icon} name="alert" label="warning" /><div><p>${one.step && html`<strong>${one.step}</strong> `}${one.message}</p>
    ${one.hint && html`<p class="hint">${one.hint}</p>`}</div><code class="hint">${one.rule}</code></li>`)}</ul>`;
}
