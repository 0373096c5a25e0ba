"""The inbox's table, and what can be done with a row of it: claim, read, write, forget.

One row is one command, whatever its attempt: `saga_id, step, iteration, kind, epoch`. An action has a single row for
all epochs (epoch 0), so that whoever comes to undo it always meets it. Times are Unix seconds of the database's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    literal_column,
    null,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from amends.database import clock, clock_of, insert_from, insert_once, rows_as_parameter
from amends.errors import InboxUnavailable
from amends.message import Command, Kind, Reply, encode_item
from amends.rows import Rows


class State(StrEnum):
    """What is known about a command."""

    RUNNING = "running"  # an intent: its handler has effects elsewhere, and holds the row while its lease lives
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    FENCED = "fenced"  # an action that may not run any more


metadata = MetaData()

_states = ", ".join(f"'{state}'" for state in State)

inbox = Table(
    "amends_inbox",
    metadata,
    Column("saga_id", Text, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("iteration", Integer, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("state", Text, CheckConstraint(f"state IN ({_states})", name="amends_inbox_state"), nullable=False),
    # Some attempt may have had an effect although none succeeded: whoever undoes it must look.
    Column("doubtful", Boolean(create_constraint=False), nullable=False),
    Column("attempt", BigInteger, nullable=False),  # the latest that ran; 0 where none did
    Column("reply", Text),  # JSON, as first sent
    Column("token", Text),  # which run holds the lease
    Column("lease_until", Float(53)),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    CheckConstraint("reply IS NOT NULL OR state IN ('running', 'fenced')", name="amends_inbox_reply"),
    Index("amends_inbox_updated_at", "updated_at"),
    # Room on the page for outcomes: a row whose new version stays on its page costs no index anything. A batch writes
    # its claims side by side, some 110 bytes each, before any becomes a row of 380 or more, and both versions have to
    # fit. Of 3,000 commands in batches of 50 less than a third stayed at 70, four fifths do at 35, which takes a sixth
    # off the log, and all would at 22. But the less, the emptier are the pages of who answers one command at a time: a
    # row takes 0.8 KiB there at 70, 1.6 at 35, 2.7 at 22 (measured, before VACUUM).
    postgresql_with={"fillfactor": 35},
)

key_columns = (inbox.c.saga_id, inbox.c.step, inbox.c.iteration, inbox.c.kind, inbox.c.epoch)
claims_max = 5


@dataclass(frozen=True, slots=True)
class Key:
    """Which row."""

    saga_id: str
    step: str
    iteration: int
    kind: Kind
    epoch: int

    @classmethod
    def of(cls, command: Command) -> Key:
        """The row of this command."""
        epoch = 0 if command.kind is Kind.ACTION else command.epoch
        return cls(command.saga_id, command.step, command.iteration, command.kind, epoch)

    @classmethod
    def found(cls, saga_id: str, step: str, iteration: int, kind: str, epoch: int) -> Key:
        """The row that these columns are of."""
        return cls(saga_id, step, iteration, Kind(kind), epoch)

    @property
    def action(self) -> Key:
        """The row of the action that this is, or undoes."""
        return Key(self.saga_id, self.step, self.iteration, Kind.ACTION, 0)

    @property
    def order(self) -> tuple[str, str, int, str, int]:
        """Rows are claimed in one order, an action's before its compensation's, so that two who want the same ones
        wait for each other."""
        return self.saga_id, self.step, self.iteration, self.kind.value, self.epoch

    def row(self) -> dict[str, Any]:
        return {
            "saga_id": self.saga_id,
            "step": self.step,
            "iteration": self.iteration,
            "kind": self.kind.value,
            "epoch": self.epoch,
        }

    def matches(self) -> Any:
        return and_(*(inbox.c[name] == value for name, value in self.row().items()))


@dataclass(frozen=True, slots=True)
class Entry:
    """A row as it was found, and the database's time at that moment. `fresh`: this transaction has inserted it."""

    state: State
    at: float
    fresh: bool = False
    doubtful: bool = False
    attempt: int = 0
    reply: Reply | None = None
    token: str | None = None
    lease_until: float | None = None

    def held_by_other(self, token: str) -> bool:
        """Whether another run of the same command still has the time it asked for."""
        alive = self.lease_until is not None and self.lease_until > self.at
        return self.state is State.RUNNING and not self.fresh and alive and self.token != token


def lease_end(connection: AsyncConnection, lease_seconds: float | None) -> Any:
    """When a lease that begins now ends, as the database reckons it."""
    return None if lease_seconds is None else clock(connection) + lease_seconds


async def claim(connection: AsyncConnection, key: Key, values: Mapping[str, Any]) -> Entry:
    """Insert the row, or lock and read the one that is there. Raises InboxUnavailable if it keeps coming and going."""
    now = clock(connection)
    row = {**key.row(), "doubtful": False, "attempt": 0, "created_at": now, "updated_at": now, **values}
    for _ in range(claims_max):
        inserted = await connection.execute(insert_once(connection, inbox, row).returning(now))
        at = inserted.scalar_one_or_none()
        if at is not None:
            return Entry(State(row["state"]), float(at), fresh=True, attempt=row["attempt"], token=row.get("token"))
        found = await read(connection, key, lock=True)
        if found is not None:
            return found
    raise InboxUnavailable(f"the inbox's row of {key} could not be had")


async def read(connection: AsyncConnection, key: Key, *, lock: bool) -> Entry | None:
    """The row, or None. With `lock`, nobody else changes it before this transaction ends."""
    query = select(*_seen(connection.dialect.name)).where(key.matches())
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    return None if row is None else _entry(*row)


def _seen(dialect: str) -> list[Any]:
    columns = inbox.c.state, inbox.c.doubtful, inbox.c.attempt, inbox.c.reply, inbox.c.token, inbox.c.lease_until
    return [*columns, clock_of(dialect).label("at")]


def _entry(
    state: str,
    doubtful: bool,
    attempt: int,
    reply: str | None,
    token: str | None,
    lease_until: float | None,
    at: float,
) -> Entry:
    return Entry(
        state=State(state),
        at=float(at),
        doubtful=bool(doubtful),
        attempt=int(attempt),
        reply=None if reply is None else Reply.model_validate_json(reply),
        token=token,
        lease_until=lease_until,
    )


_key: Mapping[str, TypeEngine[Any]] = {column.name: column.type for column in key_columns}
_claimed: Mapping[str, TypeEngine[Any]] = {**_key, "state": Text(), "attempt": BigInteger()}
_written: Mapping[str, TypeEngine[Any]] = {
    **_claimed,
    "doubtful": Boolean(create_constraint=False),
    "reply": Text(),
    "updated_at": Float(53),
}


@cache
def _claiming(dialect: str) -> Any:
    """Insert rows, each with its state and attempt, unless they are there; those that were not come back."""
    rows, now = rows_as_parameter(dialect, _claimed), clock_of(dialect)
    columns = [*_claimed, "doubtful", "created_at", "updated_at"]
    insert = insert_from(dialect, inbox, columns, rows, [literal_column("false"), now, now])
    return insert.on_conflict_do_nothing().returning(*key_columns, inbox.c.updated_at)


@cache
def _reading(dialect: str) -> Any:
    rows = rows_as_parameter(dialect, _key).subquery("v")
    same = and_(*(column == rows.c[column.name] for column in key_columns))
    query = select(*key_columns, *_seen(dialect)).join_from(rows, inbox, same).order_by(*key_columns)
    return query.with_for_update(of=inbox)


@cache
def _writing(dialect: str) -> Any:
    """Write rows that are there. So this inserts none: it is the one statement of many rows whose plan always goes by
    the key. A row that is new keeps its time, so that no index has to change."""
    rows = rows_as_parameter(dialect, _written)
    insert = insert_from(dialect, inbox, [*_written, "created_at"], rows, [clock_of(dialect)])
    changing = ("state", "attempt", "doubtful", "reply", "updated_at")
    unheld = {"token": null(), "lease_until": null()}
    return insert.on_conflict_do_update(
        index_elements=list(key_columns), set_={name: insert.excluded[name] for name in changing} | unheld
    )


async def claim_all(rows: Rows, claims: Mapping[Key, tuple[State, int]]) -> dict[Key, Entry]:
    """As `claim`, of many rows at a time, each with the state and the attempt that it is made with."""
    entries: dict[Key, Entry] = {}
    missing = sorted(claims, key=lambda key: key.order)
    for _ in range(claims_max):
        for *found, at in await rows.run(_claiming, _encoded([[*key.order, *claims[key]] for key in missing])):
            key = Key.found(*found)
            state, attempt = claims[key]
            entries[key] = Entry(state, float(at), fresh=True, attempt=attempt)
        missing = [key for key in missing if key not in entries]
        if missing:
            entries |= await _read_all(rows, missing)
            missing = [key for key in missing if key not in entries]  # they went at this moment
        if not missing:
            return entries
    raise InboxUnavailable(f"{len(missing)} of the inbox's rows could not be had: {missing[0]}")


async def _read_all(rows: Rows, keys: Sequence[Key]) -> dict[Key, Entry]:
    """As `read` with a lock, of many rows at a time, taken in their order."""
    found = await rows.run(_reading, _encoded([key.order for key in keys]))
    return {Key.found(*row[: len(key_columns)]): _entry(*row[len(key_columns) :]) for row in found}


async def write_all(rows: Rows, writes: Sequence[tuple[Key, Entry, Mapping[str, Any]]]) -> None:
    """Write state, attempt, doubt and reply of many rows that this transaction has claimed; nobody holds a lease on
    them any more."""
    if not writes:
        return
    records = [
        [*key.order, said["state"], said["attempt"], said["doubtful"], said["reply"], entry.at]
        for key, entry, said in sorted(writes, key=lambda write: write[0].order)
    ]
    await rows.run(_writing, _encoded(records))


def _encoded(records: Sequence[Sequence[Any]]) -> str:
    return to_json(records).decode()


async def write(connection: AsyncConnection, key: Key, values: Mapping[str, Any]) -> None:
    """Change a row this transaction has claimed."""
    changes = {**values, "updated_at": clock(connection)}
    await connection.execute(inbox.update().where(key.matches()).values(changes))


def kept(reply: Reply) -> str:
    """A reply as the inbox keeps it."""
    return encode_item(reply)


async def compensation_counts(connection: AsyncConnection, key: Key) -> bool:
    """Whether the action of this row was undone, or may have been: some compensation succeeded, runs or is in doubt."""
    found = await connection.execute(
        select(inbox.c.epoch)
        .where(
            inbox.c.saga_id == key.saga_id,
            inbox.c.step == key.step,
            inbox.c.iteration == key.iteration,
            inbox.c.kind == Kind.COMPENSATION.value,
            inbox.c.state.in_([State.SUCCEEDED.value, State.RUNNING.value]) | inbox.c.doubtful,
        )
        .limit(1)
    )
    return found.one_or_none() is not None


async def delete_before(connection: AsyncConnection, age_seconds: float, *, rows_max: int) -> int:
    """Delete at most `rows_max` rows that have not changed for that long. Returns how many went."""
    horizon = clock(connection) - age_seconds
    old = select(*key_columns).where(inbox.c.updated_at < horizon).order_by(inbox.c.updated_at).limit(rows_max)
    deleted = await connection.execute(inbox.delete().where(tuple_(*key_columns).in_(old)))
    return int(deleted.rowcount)
