/**
 * A report as people read it: what is wrong and how sure that is, why, what else it may be, what it is not, what happened
 * to the world. Every sentence rests on evidence: pointing at one lights the other.
 */
import { classes, createContext, html, useContext, useMemo, useRef, useState } from "../dom.js";
import { Link } from "../router.js";
import { many } from "./count.js";
import { Section } from "./page.js";
import { Badge } from "./status.js";
import { Ago, Moment } from "./time.js";

const Lit = createContext({ lit: new Set(), point: () => {} });

export const wordOf = (name) => String(name ?? "").replaceAll("_", " ");
export const percent = (share) => `${Math.round(100 * share)} %`;

const flags = {
  injection_suspected: "Some error text reads like instructions to a model. It was treated as text.",
  insufficient_evidence: "There is too little evidence to be sure.",
  confounded: "Several things changed at once: they can't be told apart.",
  compensation_stuck: "A compensation is stuck.",
  non_idempotent_step: "A step seems to happen twice when it is tried twice.",
  clock_skew: "Clocks of hosts differ: times across them are rough.",
  truncated: "Not all of the history could be read.",
  redacted: "Secrets were taken out of texts.",
  model_unavailable: "The model could not be asked: rules alone made this.",
  model_rejected: "What the model said did not hold, and was left out.",
};

const certainties = {
  applied: { icon: "check", tone: "warn", word: "in the world" },
  not_applied: { icon: "ring", tone: "quiet", word: "did not happen" },
  undone: { icon: "undone", tone: "settled", word: "undone" },
  unknown: { icon: "alert", tone: "bad", word: "not known" },
  not_run: { icon: "ring", tone: "quiet", word: "not run" },
};

const claimKinds = { observation: "seen", inference: "so", impact: "impact", advice: "advice" };

/** @param {{report: any, remedies: any, here?: {saga?: string, headline?: string}}} given `here`: what the page says already */
export function Diagnosis({ report, remedies, here = {} }) {
  const [lit, setLit] = useState(new Set());
  const light = useMemo(() => ({ lit, point: (ids) => setLit(new Set(ids)) }), [lit]);
  const field = useRef(null);
  const find = (id) => {
    const found = field.current.querySelector(`[data-evidence="${CSS.escape(id)}"]`);
    found?.scrollIntoView({ block: "nearest" });
    found?.focus({ preventScroll: true });
  };
  return html`<${Lit.Provider} value=${{ ...light, find }}>
    <div class="diagnosis" ref=${field}>
      <div class="diagnosis-says">
        <${Verdict} report=${report} here=${here} />
        ${report.claims.length + report.chain.length > 0 && html`<${Claims} report=${report} />`}
        <${Hypotheses} report=${report} here=${here} />
        ${report.ruled_out.length > 0 && html`<${RuledOut} list=${report.ruled_out} />`}
        ${report.effects.length > 0 && html`<${Effects} list=${report.effects} />`}
        ${report.residue.length > 0 && html`<${Residue} list=${report.residue} here=${here} />`}
        ${remedies}
        ${report.similar.length > 0 && html`<${Similar} list=${report.similar} />`}
      </div>
      <${EvidenceList} report=${report} />
    </div>
  <//>`;
}

function Verdict({ report, here }) {
  const made = report.source === "model" ? `worded by ${report.model ?? "a model"}` : "by rules";
  return html`<div class="verdict">
    ${report.headline !== here.headline && html`<p class="verdict-headline"><bdi>${report.headline}</bdi></p>`}
    <p class="verdict-says">${[
      html`<span><${SurenessOf} report=${report} /></span>`,
      report.phase === "compensation" ? html`<span>while compensating</span>` : html`<span>on the way forward</span>`,
      report.transience !== "unknown" && html`<span>${report.transience}</span>`,
      report.contested && html`<${Badge} icon="alert" tone="warn">contested: the model and the rules disagree<//>`,
      html`<span>report ${report.version}, ${made}, <${Ago} at=${report.created_at} /></span>`,
    ]}</p>
    ${report.symptom && html`<p class="symptom"><code>${report.symptom_step}</code> <bdi>${report.symptom}</bdi></p>`}
    ${report.flags.length > 0 && html`<ul class="flags">${report.flags.map((flag) => html`<li key=${flag} title=${wordOf(flag)}>${flags[flag] ?? wordOf(flag)}</li>`)}</ul>`}
  </div>`;
}

/** How sure a report is of its verdict. Being sure that nothing is known is no sureness. */
export function SurenessOf({ report }) {
  const [first] = report.hypotheses;
  return first.cls === "unknown" ? html`<${Badge} icon="ring" tone="warn">no cause is known<//>` : html`<${Sureness} share=${first.confidence} />`;
}

/** How sure: a word, a number and a bar. */
export function Sureness({ share }) {
  const word = share >= 0.85 ? "nearly sure" : share >= 0.6 ? "likely" : share >= 0.35 ? "perhaps" : "unlikely";
  return html`<span class="sureness"><meter min="0" max="1" value=${share} aria-hidden="true"></meter> ${word}, ${percent(share)}</span>`;
}

/** Something that rests on evidence: to be pointed at, by mouse or keyboard. */
function Rests({ on, children, name = "", as = "li" }) {
  const { lit, point } = useContext(Lit);
  const told = { class: classes("rests", name, { lit: on.some((id) => lit.has(id)) }) };
  const hear = on.length === 0 ? {} : {
    tabindex: 0, onPointerEnter: () => point(on), onPointerLeave: () => point([]), onFocusIn: () => point(on), onFocusOut: () => point([]),
  };
  return html`<${as} ...${told} ...${hear}>${as === "tr" ? null : html`<${Cited} on=${on} />`}${children}<//>`;
}

function Cited({ on }) {
  const { find } = useContext(Lit);
  if (on.length === 0) return null;
  return html`<span class="cited">${on.map((id) => html`<button key=${id} type="button" class="cite" title=${`Evidence ${id}`} onClick=${() => find(id)}>${id.slice(0, 3)}</button>`)}</span>`;
}

function Claims({ report }) {
  return html`<${Section} title="Why">
    ${report.claims.length > 0 && html`<ul class="claims">${report.claims.map((claim, at) => html`<${Rests} key=${at} on=${claim.evidence} name=${claim.kind}>
      <span class="claim-kind">${claimKinds[claim.kind] ?? claim.kind}</span> <bdi>${claim.text}</bdi>
    <//>`)}</ul>`}
    ${report.chain.length > 0 && html`<h3>From the cause to the symptom</h3>
      <ol class="chain">${report.chain.map((link, at) => html`<${Rests} key=${at} on=${link.evidence}>
        ${link.at && html`<span class="chain-at"><${Moment} at=${link.at} /></span> `}<bdi>${link.text}</bdi><//>`)}</ol>`}
  <//>`;
}

function Hypotheses({ report, here }) {
  return html`<${Section} title="What it may be">
    <ol class="hypotheses">${report.hypotheses.map((one) => html`<${Rests} key=${one.rank} on=${one.supports}>
      <span class="hypothesis"><span><strong>${wordOf(one.cls)}</strong>${one.culprit && html`: <${Culprit} of=${one.culprit} here=${here} />`}</span>
        ${(one.cls !== "unknown" || report.hypotheses.length > 1) && html`<${Sureness} share=${one.confidence} />`}</span>
      ${one.contradicts.length > 0 && html`<span class="against">against it: <${Cited} on=${one.contradicts} /></span>`}
      ${one.missing.length > 0 && html`<ul class="missing">${one.missing.map((line) => html`<li>not known: <bdi>${line}</bdi></li>`)}</ul>`}
    <//>`)}</ol>
  <//>`;
}

/** What is to blame, with a link where there is a page for it. */
export function Culprit({ of, here = {} }) {
  const pages = { participant: ["participants", of.name], saga: ["sagas", of.name], definition: ["definitions", of.name] };
  pages.worker = ["participants", of.name.split("/")[0]];
  pages.worker_version = ["participants", of.name.split("@")[0]];
  pages.definition_version = ["definitions", of.name.split("@")[0]];
  pages.step = ["definitions", of.name.split(".")[0]];
  const page = pages[of.kind];
  const name = html`<bdi class="mono">${of.name}</bdi>`;
  const own = of.kind === "saga" && of.name === here.saga;
  return html`<span class="culprit">${wordOf(of.kind)} ${page && !own ? html`<${Link} to=${page.join("/")}>${name}<//>` : own ? "this one" : name}</span>`;
}

function RuledOut({ list }) {
  return html`<${Section} title="What it is not"><ul class="ruled-out">${list.map((one, at) => html`<${Rests} key=${at} on=${one.evidence}>
    <span class="struck">${wordOf(one.entity.kind)} <bdi>${one.entity.name}</bdi></span> <bdi>${one.text}</bdi><//>`)}</ul><//>`;
}

function Effects({ list }) {
  return html`<${Section} title="What happened to the world"><div class="table-frame"><table class="table effects" aria-label="Effects">
    <thead><tr><th scope="col">Step</th><th scope="col">Effect</th><th scope="col">How that is known</th></tr></thead>
    <tbody>${list.map((one) => {
      const { icon, tone, word } = certainties[one.certainty] ?? certainties.unknown;
      return html`<${Rests} key=${one.step} on=${one.evidence} as="tr"><td class="mono phone-lead">${one.step}</td>
        <td class="plain"><${Badge} icon=${icon} tone=${tone}>${word}<//></td><td class="wide"><bdi>${one.text}</bdi></td><//>`;
    })}</tbody></table></div><//>`;
}

function Residue({ list, here }) {
  return html`<${Section} title="What is left, and what to do about it"><ul class="residue">${list.map((one, at) => html`<${Rests} key=${at} on=${one.evidence}>
    <p>${one.saga_id !== here.saga && html`<${Link} to=${`sagas/${one.saga_id}`} class="mono">${one.saga_id}<//> `}<bdi>${one.text}</bdi></p>
    <p class="todo"><bdi>${one.todo}</bdi></p><//>`)}</ul><//>`;
}

function Similar({ list }) {
  return html`<${Section} title="Like this before"><ul class="similar">${list.map((one) => html`<li key=${one.incident_id}>
    <p><${Link} to=${`incidents/${one.incident_id}`}><bdi>${one.headline}</bdi><//> <span class="hint"><${Ago} at=${one.at} />, ${percent(one.similarity)} alike: ${one.matched_on.join(", ")}</span></p>
    ${one.differences.length > 0 && html`<p class="hint">unlike: ${one.differences.join(", ")}</p>`}
    ${one.resolution && html`<p>Resolved by: <bdi>${one.resolution}</bdi>${one.verified && html` <${Badge} icon="check" tone="good">a person said the report was right<//>`}</p>`}
  </li>`)}</ul><//>`;
}

const trusts = { coordinator: "seen by the coordinator", infra: "seen by the infrastructure", participant: "reported by a participant", external_text: "stood in some text" };

function EvidenceList({ report }) {
  const { lit, point } = useContext(Lit);
  if (report.evidence.length === 0) return null;
  return html`<aside class="evidence" aria-label="Evidence">
    <h2>Evidence <small>${many(report.evidence.length, "fact")}</small></h2>
    <ul>${report.evidence.map((one) => html`<li key=${one.id} data-evidence=${one.id} tabindex="0" class=${classes({ lit: lit.has(one.id), dim: lit.size > 0 && !lit.has(one.id) })}
        onPointerEnter=${() => point([one.id])} onPointerLeave=${() => point([])} onFocus=${() => point([one.id])} onBlur=${() => point([])}>
      <p class="evidence-head"><span class="cite">${one.id.slice(0, 3)}</span> ${wordOf(one.kind)}
        <span class="hint" title=${one.source_ref}>${trusts[one.trust] ?? wordOf(one.trust)}</span></p>
      <p><bdi>${one.text}</bdi></p></li>`)}</ul>
  </aside>`;
}
