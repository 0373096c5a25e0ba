"""Remedies: proposed by reports, decided by people or by policy, begun once, measured, ended.

Every step asks for the state that it goes out from, so that of two coordinators only one takes it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from coordinator.store.database import Database
from coordinator.store.dialect import storable
from coordinator.store.explained import HealingSwitch, RemedyRow, RemedyState, over_remedies, waiting_remedies
from coordinator.store.grouping import status_is
from coordinator.store.ids import new_id
from coordinator.store.observed import IncidentStatus
from coordinator.store.pruning import delete_old
from coordinator.store.schema_diagnosis import healing_switches, incidents, remedies

remedies_max = 200  # of one list
text_chars_max = 2000
scope_chars_max = 400
kept = timedelta(days=30)

_turn = "remedies"


class RemedyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def propose(self, remedy: RemedyRow) -> RemedyRow:
        """Keep a remedy that a report proposes (or would begin, were that allowed), in the state it has.

        One like it that waits or is under way, for the same incident, stays as it is and is what is returned.
        """
        if remedy.state not in waiting_remedies:
            raise ValueError(f"a remedy is proposed before it is {remedy.state}")
        values: dict[str, Any] = {
            "id": remedy.id,
            "incident_id": remedy.incident_id,
            "report_version": remedy.report_version,
            "kind": remedy.kind,
            "scope": storable(remedy.scope, scope_chars_max),
            "target": remedy.target,
            "tier": remedy.tier,
            "state": remedy.state.value,
            "evidence": remedy.evidence,
            "reason": storable(remedy.reason, text_chars_max),
            "proposed_at": remedy.proposed_at,
            "automatic": remedy.automatic,
            "ends_at": remedy.ends_at,
        }
        insert = self._database.dialect.insert(remedies).on_conflict_do_nothing()
        alike = sa.select(remedies).where(
            remedies.c.incident_id == remedy.incident_id,
            remedies.c.kind == remedy.kind,
            remedies.c.scope == values["scope"],
            _state_is(*waiting_remedies, RemedyState.BEGUN),
        )
        async with self._database.begin() as connection:
            await self._database.dialect.take_turn(connection, _turn)
            row = (await connection.execute(alike)).first()
            if row is None:
                row = (await connection.execute(insert.returning(*remedies.c), values)).first()
            if row is None:  # the same proposal again, decided meanwhile
                row = (await connection.execute(sa.select(remedies).where(remedies.c.id == remedy.id))).one()
        return _remedy(row)

    async def restate(self, remedy_id: str, grounds: RemedyRow) -> RemedyRow | None:
        """A newer report proposes it on other grounds, or would begin it. None: it has been decided meanwhile."""
        values = {
            "report_version": grounds.report_version,
            "target": grounds.target,
            "tier": grounds.tier,
            "evidence": grounds.evidence,
            "reason": grounds.reason,
        }
        return await self._go(remedy_id, {RemedyState.PROPOSED, RemedyState.SHADOW}, grounds.state, **values)

    async def approve(self, remedy_id: str, *, by: str, reason: str, now: datetime) -> RemedyRow | None:
        """A person wants it. None: it doesn't wait for anybody (any more)."""
        decided = {"by": by, "reason": reason, "decided_at": now}
        return await self._go(remedy_id, {RemedyState.PROPOSED, RemedyState.SHADOW}, RemedyState.APPROVED, **decided)

    async def reject(self, remedy_id: str, *, by: str, reason: str, now: datetime) -> RemedyRow | None:
        """A person doesn't want it. None: it doesn't wait for anybody (any more)."""
        decided = {"by": by, "reason": reason, "decided_at": now, "ended_at": now}
        return await self._go(remedy_id, waiting_remedies, RemedyState.REJECTED, **decided)

    async def begin(
        self,
        remedy_id: str,
        *,
        now: datetime,
        automatic: bool,
        ends_at: datetime | None = None,
        measured_before: float | None = None,
    ) -> RemedyRow | None:
        """Take it in hand: approved, or proposed and `automatic`. None: it is somebody else's already, it has been
        decided otherwise, or another remedy is under way in its scope.
        """
        states = {RemedyState.PROPOSED} if automatic else {RemedyState.APPROVED}
        other = remedies.alias("other")
        under_way = sa.exists().where(
            other.c.scope == remedies.c.scope, other.c.state == sa.literal_column(f"'{RemedyState.BEGUN}'")
        )
        begin = sa.update(remedies).where(remedies.c.id == remedy_id, _state_is(*states), sa.not_(under_way))
        begin = begin.values(
            state=RemedyState.BEGUN.value,
            automatic=automatic,
            begun_at=now,
            ends_at=sa.func.coalesce(sa.literal(ends_at, remedies.c.ends_at.type), remedies.c.ends_at),
            measured_before=measured_before,
        )
        async with self._database.begin() as connection:
            # Two that begin at once in one scope would each not see the other.
            await self._database.dialect.take_turn(connection, _turn)
            row = (await connection.execute(begin.returning(*remedies.c))).first()
        return None if row is None else _remedy(row)

    async def finish(
        self,
        remedy_id: str,
        state: RemedyState,
        *,
        now: datetime,
        outcome: str,
        by: str | None = None,
        measured_after: float | None = None,
    ) -> RemedyRow | None:
        """What became of a remedy that was under way. None: it isn't (any more). Raises ValueError for a state that
        isn't over.
        """
        if state not in over_remedies:
            raise ValueError(f"a remedy that is {state} is not over")
        values: dict[str, Any] = {"ended_at": now, "outcome": outcome, "measured_after": measured_after}
        if by is not None:
            values["by"] = by
        return await self._go(remedy_id, {RemedyState.BEGUN}, state, **values)

    async def _go(
        self, remedy_id: str, states: Collection[RemedyState], state: RemedyState, **values: Any
    ) -> RemedyRow | None:
        texts = {
            name: storable(value, text_chars_max) if isinstance(value, str) else value for name, value in values.items()
        }
        go = sa.update(remedies).where(remedies.c.id == remedy_id, _state_is(*states))
        async with self._database.begin() as connection:
            row = (await connection.execute(go.values(state=state.value, **texts).returning(*remedies.c))).first()
        return None if row is None else _remedy(row)

    async def get(self, remedy_id: str) -> RemedyRow | None:
        found = await self._list(sa.select(remedies).where(remedies.c.id == remedy_id))
        return found[0] if found else None

    async def of_incident(self, incident_id: str) -> list[RemedyRow]:
        """The remedies of an incident, the newest first, at most `remedies_max`."""
        return await self._list(sa.select(remedies).where(remedies.c.incident_id == incident_id))

    async def in_state(self, *states: RemedyState) -> list[RemedyRow]:
        """Remedies that stand there now, the newest first, at most `remedies_max`."""
        return await self._list(sa.select(remedies).where(_state_is(*states)))

    async def _list(self, query: sa.Select[Any]) -> list[RemedyRow]:
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(remedies.c.id.desc()).limit(remedies_max))
            return [_remedy(row) for row in rows]

    async def counts(self) -> dict[tuple[str, str], int]:
        """How many remedies that are remembered stand where, by kind and state."""
        query = sa.select(remedies.c.kind, remedies.c.state, sa.func.count()).group_by(
            remedies.c.kind, remedies.c.state
        )
        async with self._database.reading() as connection:
            return {(kind, state): int(count) for kind, state, count in await connection.execute(query)}

    async def automatic_since(self, since: datetime, *, scope: str | None = None, kind: str | None = None) -> int:
        """How many remedies were begun automatically since then, anywhere or in a scope, of all kinds or of one."""
        query = sa.select(sa.func.count()).where(sa.literal_column("automatic"), remedies.c.begun_at >= since)
        if scope is not None:
            query = query.where(remedies.c.scope == scope)
        if kind is not None:
            query = query.where(remedies.c.kind == kind)
        async with self._database.reading() as connection:
            return int((await connection.execute(query.select_from(remedies))).scalar_one())

    async def switch(self, mode: str, *, by: str, reason: str, now: datetime) -> None:
        """From now on so much may be done without a person, on every coordinator."""
        told = {"by": storable(by, text_chars_max), "reason": storable(reason, text_chars_max)}
        async with self._database.begin() as connection:
            await connection.execute(sa.insert(healing_switches).values(id=new_id(now), at=now, mode=mode, **told))

    async def switched(self) -> HealingSwitch | None:
        """What was said last about how much may be done without a person. None: nothing ever."""
        newest = sa.select(healing_switches).order_by(healing_switches.c.id.desc()).limit(1)
        async with self._database.reading() as connection:
            row = (await connection.execute(newest)).first()
        return None if row is None else HealingSwitch(row.at, row.mode, row.by, row.reason)

    async def prune(self, now: datetime) -> int:
        """Forget some of the remedies older than `kept` that are not under way and whose incident is not open; how
        many. Zero: nothing is left to forget.
        """
        is_open = sa.select(incidents.c.id).where(status_is(IncidentStatus.OPEN))
        old = (remedies.c.proposed_at < now - kept, remedies.c.state != RemedyState.BEGUN.value)
        async with self._database.begin() as connection:
            return len(await delete_old(connection, remedies, *old, remedies.c.incident_id.not_in(is_open)))


def _state_is(*states: RemedyState) -> sa.ColumnElement[bool]:
    """As the partial indexes have it: parameters would not tell that they fit."""
    return remedies.c.state.in_([sa.literal_column(f"'{state}'") for state in sorted(states)])


def _remedy(row: sa.Row[Any]) -> RemedyRow:
    return RemedyRow(**{**row._mapping, "state": RemedyState(row.state)})
