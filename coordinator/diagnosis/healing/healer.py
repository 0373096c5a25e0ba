"""Carries out what the policy lets begin and what people approve, looks at what came of it, and takes back what did
not help.

Where a remedy stands is a row, and what it did bears its mark; so any coordinator goes on with it. Each step of a row
asks for the state that it goes out from, so that of several coordinators one takes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from coordinator.diagnosis.healing.means import CannotBegin, Finding, Means, Remedy, healer
from coordinator.diagnosis.healing.measuring import Measuring
from coordinator.diagnosis.healing.policy import (
    Choice,
    Decision,
    Facts,
    Mode,
    decide,
    outcomes_min,
    scope_of,
    seconds_default,
    seconds_max,
)
from coordinator.diagnosis.remedy import RemedyKind, Target
from coordinator.diagnosis.report import Report
from coordinator.errors import RemedyRefused, StoreUnavailable, UnknownRemedy
from coordinator.fleet import Fleet
from coordinator.store.explained import RemedyRow, RemedyState, over_remedies
from coordinator.store.ids import new_id
from coordinator.store.observed import IncidentRow
from coordinator.store.remedies import RemedyStore
from coordinator.store.values import HoldScope
from coordinator.supervisor import uncut

log = logging.getLogger(__name__)

poll_seconds = 2.0
approval_seconds_max = 1800.0  # an approved remedy that can't begin for so long never does
per_saga = (RemedyKind.PARK_SAGA, RemedyKind.RETRY_STEP)  # once by itself, in whichever incident
tried_days = timedelta(days=30)

_outer_end = (RemedyKind.OPEN_CIRCUIT, RemedyKind.PAUSE_ALL)  # may be renewed up to the outermost bound


class Healer:
    """`consider` takes reports; `approve`, `reject` and `undo` are for people; `run` attends to what is under way."""

    def __init__(
        self,
        remedies: RemedyStore,
        means: Mapping[RemedyKind, Means],
        measuring: Measuring,
        fleet: Fleet,
        *,
        mode: Mode,
        now: Callable[[], datetime],
        connected: Callable[[], bool],
    ) -> None:
        self._remedies, self._means, self._measuring, self._fleet = remedies, means, measuring, fleet
        self._setting, self._now, self._connected = mode, now, connected

    async def mode(self) -> Mode:
        """How much is done without a person: what the setting says, or less, if somebody switched it down."""
        switched = await self._remedies.switched()
        allowed = Mode(switched.mode) if switched else self._setting
        return min(allowed, self._setting, key=tuple(Mode).index)

    async def switch(self, mode: Mode, *, by: str, reason: str) -> Mode:
        """Let less be done than the setting says, for every coordinator, until it is switched again."""
        await uncut(self._remedies.switch(mode, by=by, reason=reason, now=self._now()))
        log.warning("Healing is switched to %s by %s: %s", mode, by, reason, extra={"action": "healing.switched"})
        return await self.mode()

    # -- reports -----------------------------------------------------------------------------------------------------

    async def consider(self, incident: IncidentRow, report: Report) -> None:
        """Write down what a report asks for, and begin what may begin. Raises StoreUnavailable."""
        if not report.remedies:
            return
        rows = await self._remedies.of_incident(incident.id)
        facts = await self._facts(incident, report, rows)
        declined = {(row.kind, row.scope) for row in rows if row.state is RemedyState.REJECTED}
        for decision in decide(report, facts):
            if decision.choice is Choice.ADVICE or (decision.remedy.kind, decision.scope) in declined:
                continue
            row = await self._keep(_row(incident, report, decision, facts.at))
            if decision.choice is Choice.BEGIN and row.state is RemedyState.PROPOSED:
                await self._begin(row, automatic=True)

    async def _keep(self, row: RemedyRow) -> RemedyRow:
        """The row as it stands: one like it that waits takes over the grounds of the newer report."""
        kept = await uncut(self._remedies.propose(row))
        if kept.id == row.id:
            log.info(
                "Remedy %s (%s, %s) is %s: %s",
                *(row.id, row.kind, row.scope, row.state, row.reason),
                extra={"action": f"healing.{row.state}", "incident_id": row.incident_id},
            )
            return kept
        if kept.state in (RemedyState.PROPOSED, RemedyState.SHADOW):
            return await uncut(self._remedies.restate(kept.id, row)) or kept
        return kept

    async def _facts(self, incident: IncidentRow, report: Report, rows: Sequence[RemedyRow]) -> Facts:
        at = self._now()
        begun = {row.scope for row in await self._remedies.in_state(RemedyState.BEGUN)}
        tried = {(row.kind, row.scope) for row in rows if row.state in over_remedies and row.begun_at}
        for remedy in report.remedies:
            if remedy.kind in per_saga and remedy.target.saga_id:
                scope = scope_of(remedy.kind, remedy.target) or ""
                if await self._remedies.automatic_since(at - tried_days, scope=scope, kind=remedy.kind):
                    tried.add((remedy.kind, scope))
        held = {f"participant {name}" for name in {*self._fleet.held(HoldScope.PARTICIPANT), *self._fleet.throttled}}
        held |= {f"definition {name}" for name in self._fleet.held(HoldScope.DEFINITION)}
        held |= {"everything"} if self._fleet.all_held else set()
        return Facts(
            at=at,
            mode=await self.mode(),
            begun_last_hour=await self._remedies.automatic_since(at - timedelta(hours=1)),
            busy=frozenset(begun | held),
            tried=frozenset(tried),
            recent=await self._measuring.lately(at),
            broker_connected=self._connected(),
        )

    # -- people ------------------------------------------------------------------------------------------------------

    async def approve(self, remedy_id: str, *, by: str, reason: str) -> RemedyRow:
        """Let it begin: at once, or as soon as its scope is free. Raises UnknownRemedy, RemedyRefused."""
        row = await uncut(self._remedies.approve(remedy_id, by=by, reason=reason, now=self._now()))
        if row is None:
            row = await self._get(remedy_id)
            if row.state not in (RemedyState.APPROVED, RemedyState.BEGUN, RemedyState.HELPED):
                raise RemedyRefused(remedy_id, f"it is {row.state}; it can't be approved any more")
            return row
        await self._begin(row, automatic=False)
        return await self._get(remedy_id)

    async def reject(self, remedy_id: str, *, by: str, reason: str) -> RemedyRow:
        """Keep it from beginning, for this incident. Raises UnknownRemedy, RemedyRefused."""
        row = await uncut(self._remedies.reject(remedy_id, by=by, reason=reason, now=self._now()))
        if row is None:
            row = await self._get(remedy_id)
            if row.state is not RemedyState.REJECTED:
                raise RemedyRefused(remedy_id, f"it is {row.state}; it can't be rejected any more")
        return row

    async def undo(self, remedy_id: str, *, by: str, reason: str) -> RemedyRow:
        """Take back what is in effect. Raises UnknownRemedy, RemedyRefused."""
        row = await self._get(remedy_id)
        if row.state is not RemedyState.BEGUN:
            if row.state in (RemedyState.ENDED, RemedyState.UNDONE):
                return row
            raise RemedyRefused(remedy_id, f"it is {row.state}, not in effect")
        await self._end(row, Finding(RemedyState.ENDED, f"{by} took it back: {reason}"), by=by)
        return await self._get(remedy_id)

    async def _get(self, remedy_id: str) -> RemedyRow:
        row = await self._remedies.get(remedy_id)
        if row is None:
            raise UnknownRemedy(remedy_id)
        return row

    # -- under way ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Attend to remedies until cancelled."""
        while True:
            try:
                await self.step()
            except StoreUnavailable as error:
                log.warning("Remedies wait: %s", error, extra={"action": "healing.store_unavailable"})
            await asyncio.sleep(poll_seconds)

    async def step(self) -> None:
        """Begin what was approved, look at what is under way. Raises StoreUnavailable."""
        mode: Mode | None = None
        for row in await self._remedies.in_state(RemedyState.BEGUN, RemedyState.APPROVED):
            mode = mode or await self.mode()
            if row.state is RemedyState.APPROVED:
                await self._begin_approved(row)
            elif row.automatic and mode is Mode.OFF:
                await self._end(row, Finding(RemedyState.ENDED, "healing was switched off"))
            else:
                await self._attend(row)

    async def _begin_approved(self, row: RemedyRow) -> None:
        waited_seconds = (self._now() - (row.decided_at or row.proposed_at)).total_seconds()
        if waited_seconds < approval_seconds_max:
            await self._begin(row, automatic=False)
            return
        reason = f"{row.by} approved it, but its scope was never free"
        await uncut(self._remedies.reject(row.id, by=healer, reason=reason, now=self._now()))

    async def _begin(self, row: RemedyRow, *, automatic: bool) -> None:
        """Take it in hand, if nobody else did, and do it."""
        at, kind, target = self._now(), RemedyKind(row.kind), Target.model_validate_json(row.target)
        seconds = seconds_max if kind in _outer_end else target.seconds if kind in seconds_default else None
        before = (await self._measuring.lately(at)).get(target.participant or "")
        begun = await uncut(
            self._remedies.begin(
                row.id,
                now=at,
                automatic=automatic,
                ends_at=None if seconds is None else at + timedelta(seconds=seconds),
                measured_before=before.failing_share if before and before.total >= outcomes_min else None,
            )
        )
        if begun is None:
            return
        log.warning(
            "Remedy %s begins: %s, %s: %s",
            *(row.id, row.kind, row.scope, begun.reason),
            extra={"action": "healing.begun", "incident_id": row.incident_id, "automatic": automatic},
        )
        await self._attend(begun)

    async def _attend(self, row: RemedyRow) -> None:
        """Do what is still to be done of a remedy, and see whether it is over."""
        remedy, means, at = _remedy(row), self._means[RemedyKind(row.kind)], self._now()
        try:
            await means.begin(remedy, at)
            finding = await means.judge(remedy, at)
        except CannotBegin as error:
            finding = Finding(RemedyState.FAILED, str(error))
        except StoreUnavailable:
            raise
        except Exception as error:
            # One remedy that can't be looked at is given up, and the others are attended to.
            log.exception("Remedy %s is given up", row.id, extra={"action": "healing.gave_up"})
            finding = Finding(RemedyState.FAILED, f"{type(error).__name__}: {error}"[:200])
        if finding:
            await self._end(row, finding)

    async def _end(self, row: RemedyRow, finding: Finding, *, by: str | None = None) -> None:
        """Take back what is in effect, then say so: after a crash in between it is only done again."""
        remedy, at = _remedy(row), self._now()
        await self._means[RemedyKind(row.kind)].take_back(remedy, at, by=by or remedy.by)
        ended = await uncut(
            self._remedies.finish(
                row.id, finding.state, now=at, outcome=finding.outcome, by=by, measured_after=finding.measured_after
            )
        )
        if ended:
            log.warning(
                "Remedy %s %s: %s",
                *(row.id, finding.state, finding.outcome),
                extra={"action": f"healing.{finding.state}", "incident_id": row.incident_id},
            )


def _remedy(row: RemedyRow) -> Remedy:
    return Remedy(row, Target.model_validate_json(row.target), row.begun_at or row.proposed_at)


def _row(incident: IncidentRow, report: Report, decision: Decision, at: datetime) -> RemedyRow:
    remedy = decision.remedy
    return RemedyRow(
        id=new_id(at),
        incident_id=incident.id,
        report_version=report.version,
        kind=remedy.kind,
        scope=decision.scope,
        target=remedy.target.model_dump_json(exclude_none=True),
        tier=remedy.tier,
        state=RemedyState.SHADOW if decision.choice is Choice.SHADOW else RemedyState.PROPOSED,
        evidence=json.dumps(list(remedy.evidence or report.verdict.supports)),
        reason=decision.reason,
        proposed_at=at,
    )
