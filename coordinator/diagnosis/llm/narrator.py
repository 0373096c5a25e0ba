"""A report in, a report out: worded by the model where that is wanted, allowed, affordable, and turns out to be true.

Whatever the model or its server does, the report that comes back is at least the one that went in.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from coordinator.diagnosis.llm import draft as drafts
from coordinator.diagnosis.llm.asking import Answer, Endpoint, Rung, Trouble, ask, json_of
from coordinator.diagnosis.llm.budget import Breaker, Limits
from coordinator.diagnosis.llm.checking import Checked, check
from coordinator.diagnosis.llm.draft import Draft
from coordinator.diagnosis.llm.merging import merge, unavailable
from coordinator.diagnosis.llm.pack import Egress, Pack, answer_tokens_max, instructions, pack_of
from coordinator.diagnosis.report import Report
from coordinator.store.explained import ModelCall
from coordinator.store.reports import ReportStore
from coordinator.telemetry.span import Attribute, FinishedSpan

log = logging.getLogger(__name__)

When = Literal["off", "ambiguous", "always", "on_demand"]

sure_above = 0.8  # a report as sure as this of few sagas needs no model
sagas_many = 20
retry_pause_seconds_max = 10.0  # a longer Retry-After is not waited for: the breaker keeps it
claim_extra_seconds = 5.0

Spoken = Callable[[ModelCall], None]


@dataclass
class _Talk:
    """One report's conversation: what was asked so far, and how."""

    deadline: float  # of the loop's clock
    rung: Rung
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    messages: tuple[tuple[str, str], ...] = ()


class Narrator:
    """Words reports. One per process; `narrate` may be called any number of times at once."""

    def __init__(
        self,
        endpoint: Endpoint,
        reports: ReportStore,
        now: Callable[[], datetime],
        *,
        when: When = "ambiguous",
        egress: Egress = Egress.TEMPLATES,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        emit: Callable[[FinishedSpan], None] | None = None,
        spoken: Sequence[Spoken] = (),
    ) -> None:
        self._endpoint, self._reports, self._now = endpoint, reports, now
        self._when, self._egress, self._limits = when, egress, limits
        self._emit, self._spoken = emit, tuple(spoken)
        self._rung = Rung.SCHEMA  # the best way of asking this server has not refused
        self._schema = drafts.schema()
        self.breaker = Breaker(now)

    def listen(self, spoken: Spoken) -> None:
        """Let another one hear of each call. Must not raise."""
        self._spoken = (*self._spoken, spoken)

    def wanted(self, report: Report, *, asked: bool) -> bool:
        """Whether a report is one for the model. `asked`: a person wants it."""
        if self._egress is Egress.NONE or self._when == "off" or report.incident_id is None:
            return False
        if asked or self._when == "always":
            return True
        if self._when == "on_demand":
            return False
        return report.verdict.confidence < sure_above or report.blast_radius.sagas_failed >= sagas_many

    async def narrate(self, report: Report, *, asked: bool = False) -> Report:
        """The report in the model's words, or as it was. Raises StoreUnavailable when the calls can't be counted."""
        if not self.wanted(report, asked=asked):
            return report
        pack = pack_of(report, egress=self._egress, nonce=secrets.token_hex(4))
        if self.breaker.open or not await self._may(report, pack, asked=asked):
            return unavailable(report) if self.breaker.open else report
        answered = await self._converse(report, pack)
        if isinstance(answered, Answer):
            log.warning(
                "The model did not word the report of incident %s: %s %s",
                *(report.incident_id, answered.trouble, answered.detail),
                extra={"action": "diagnosis.model_unavailable", "incident_id": report.incident_id},
            )
            return unavailable(report)
        talk, checked = answered
        if checked.rejected:
            log.warning(
                "The model's report of incident %s was rejected: %s",
                *(report.incident_id, checked.rejected),
                extra={"action": "diagnosis.model_rejected", "incident_id": report.incident_id},
            )
        return merge(
            report,
            replace(checked, tampered=checked.tampered or pack.tampered),
            model=self._endpoint.model,
            prompt_hash=pack.prompt_hash,
            tokens_in=talk.tokens_in,
            tokens_out=talk.tokens_out,
        )

    async def _may(self, report: Report, pack: Pack, *, asked: bool) -> bool:
        """Whether the budget allows it, and nobody else is at it."""
        now, limits, incident = self._now(), self._limits, str(report.incident_id)
        hour = await self._reports.spent(now - timedelta(hours=1))
        day = await self._reports.spent(now - timedelta(days=1))
        own = await self._reports.spent(now - timedelta(days=30), incident_id=incident)
        calls_max = limits.calls_per_incident_max if asked else limits.calls_per_incident_unasked_max
        if (
            hour.calls >= limits.calls_per_hour_max
            or day.tokens_in + day.tokens_out >= limits.tokens_per_day_max
            or own.calls >= calls_max
        ):
            log.info(
                "No more calls of the model for incident %s: its budget is spent",
                incident,
                extra={"action": "diagnosis.model_budget", "incident_id": incident},
            )
            return False
        lease_seconds = limits.seconds_max + claim_extra_seconds
        return await self._reports.claim_call(incident, pack.digest, now=now, lease_seconds=lease_seconds)

    async def _converse(self, report: Report, pack: Pack) -> tuple[_Talk, Checked] | Answer:
        """Ask; ask once more if what came can't be read; give up."""
        loop = asyncio.get_running_loop()
        talk = _Talk(loop.time() + self._limits.seconds_max, self._rung, messages=(("user", pack.question),))
        while True:
            answer = await self._reach(report, talk)
            if answer.trouble is Trouble.FORM_REFUSED:
                talk.rung = Rung.OBJECT if talk.rung is Rung.SCHEMA else Rung.PLAIN
                continue
            self._rung = talk.rung if answer.trouble is None else self._rung
            if answer.trouble in (Trouble.FAILED, Trouble.UNREACHABLE, Trouble.TOO_MANY):
                pause = (
                    self._limits.retry_pause_seconds
                    if answer.retry_after_seconds is None
                    else answer.retry_after_seconds
                )
                room = min(retry_pause_seconds_max, talk.deadline - loop.time())
                if talk.calls >= self._limits.calls_per_report_max or pause >= room:
                    return answer
                await asyncio.sleep(pause)
                continue
            if answer.trouble not in (None, Trouble.UNREADABLE, Trouble.CUT_OFF):
                return answer
            read = _draft(answer)
            if isinstance(read, Draft):
                return talk, check(read, pack)
            if talk.calls >= self._limits.calls_per_report_max:
                return replace(answer, trouble=answer.trouble or Trouble.UNREADABLE, detail=read)
            again = f"That was not usable: {read}. Answer again with one JSON object of the schema and nothing else."
            talk.messages = (("user", pack.question), ("assistant", answer.text[:2000] or "…"), ("user", again))

    async def _reach(self, report: Report, talk: _Talk) -> Answer:
        """One request, counted and told of."""
        loop = asyncio.get_running_loop()
        left = talk.deadline - loop.time()
        if left <= 0:
            return Answer(trouble=Trouble.TOO_LATE, detail=f"no answer within {self._limits.seconds_max:g} s")
        began, at = loop.time(), self._now()
        answer = await ask(
            self._endpoint,
            instructions=instructions,
            messages=talk.messages,
            schema=self._schema,
            rung=talk.rung,
            tokens_max=answer_tokens_max,
            seconds=left,
        )
        seconds = loop.time() - began
        self.breaker.tell(answer)
        talk.calls += answer.trouble is not Trouble.FORM_REFUSED
        talk.tokens_in += answer.tokens_in
        talk.tokens_out += answer.tokens_out
        outcome = str(answer.trouble or "answered")
        call = ModelCall(
            at=at,
            model=self._endpoint.model,
            rung=str(talk.rung),
            outcome=outcome,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            milliseconds=seconds * 1000,
            incident_id=report.incident_id,
        )
        await self._reports.called(call)
        for spoken in self._spoken:
            spoken(call)
        if self._emit:
            self._emit(span_of(call, answer, self._endpoint, seconds))
        return answer


def _draft(answer: Answer) -> Draft | str:
    """The draft in an answer, or what is wrong with it."""
    if answer.trouble is Trouble.CUT_OFF:
        return "it was cut off: be shorter"
    if answer.trouble is not None:
        return answer.detail
    try:
        return Draft.model_validate_json(json_of(answer.text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"[:300]


def span_of(call: ModelCall, answer: Answer, endpoint: Endpoint, seconds: float) -> FinishedSpan:
    """The call as OpenTelemetry's conventions for generative models name it; no text of question or answer."""
    attributes: dict[str, Attribute] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": call.model,
        "gen_ai.request.max_tokens": answer_tokens_max,
        "gen_ai.usage.input_tokens": call.tokens_in,
        "gen_ai.usage.output_tokens": call.tokens_out,
        "amends.incident.id": call.incident_id or "",
        "amends.model.rung": call.rung,
        "amends.model.api": endpoint.api,
    }
    if answer.finish_reason:
        attributes["gen_ai.response.finish_reasons"] = (answer.finish_reason,)
    if answer.trouble:
        attributes["error.type"] = str(answer.trouble)
    return FinishedSpan(
        trace_id=secrets.token_hex(16),
        span_id=secrets.token_hex(8),
        parent_id=None,
        name=f"chat {call.model}",
        start=call.at,
        end=call.at + timedelta(seconds=seconds),
        kind=SpanKind.CLIENT,
        attributes=attributes,
        error=answer.detail if answer.trouble else None,
    )
