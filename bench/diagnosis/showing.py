"""A case as a person reads it: what is true, what was said, what it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from bench.diagnosis.grading import grades
from bench.diagnosis.running import Item, Result

lines_max = 25


def shown(result: Result) -> Iterator[str]:
    """The label and the report of each fault of a case, line by line."""
    yield f"{result.name}: {result.sagas} sagas, {result.failed} failed, {result.seconds:.1f} s"
    for grade, item in zip(grades([result]), result.items, strict=True):
        yield ""
        yield f"true:   {' or '.join(item.label.classes)}"
        yield f"blame:  {', '.join(sorted(map(str, item.blamed))) or 'nobody'}"
        yield f"onset:  {item.label.onset} s; {len(item.affected)} sagas"
        yield f"judged: {'right' if grade.grounded_joint else 'wrong'} {'; '.join(grade.why)}"
        yield from _report(item)


def _report(item: Item) -> Iterator[str]:
    report, case = item.report, item.evidence
    for said in item.texts[:5]:
        causes = " < ".join(said.causes)[:120]
        yield f"text:   {said.step} {said.kind} {said.type} [{said.code}] {said.message[:100]} {causes}"
    if case is not None:
        for occurrence in case.occurrences[:lines_max]:
            facts = ", ".join(f"{key}={value}" for key, value in occurrence.facts.items())
            yield f"seen:   {occurrence.at:%H:%M:%S} {occurrence.kind} {occurrence.subject} {facts}"[:200]
    if report is None:
        yield "report: none"
        return
    known = {one.id: one for one in report.evidence}
    yield f"report: {report.headline}"
    yield f"        onset {report.onset}, {report.blast_radius.sagas_failed} failed, flags {sorted(report.flags)}"
    for hypothesis in report.hypotheses:
        yield f"  {hypothesis.confidence:.2f} {hypothesis.cls} {hypothesis.culprit or ''}"
        for sign, ids in (("+", hypothesis.supports), ("-", hypothesis.contradicts)):
            for one in ids:
                if one in known:
                    yield f"       {sign} {known[one].kind} ({known[one].trust}): {known[one].text}"[:200]
    for ruled in report.ruled_out[:lines_max]:
        yield f"  not {ruled.entity}: {ruled.because}"
    for remedy in report.remedies:
        yield f"  do  {remedy.kind} ({remedy.tier}): {remedy.text[:120]}"
