"""How PostgreSQL would find what a statement asks for."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from coordinator.store.database import Database

Work = Callable[[], Awaitable[Any]]


async def misfits(database: Database, works: Sequence[tuple[Work, set[str]]], *, engine_side: bool) -> list[str]:
    """Which of these works read a whole table of ours, or leave one of their indexes aside; with their plans."""
    found: list[str] = []
    for work, expected in works:
        plans = await _plans(database, work, engine_side=engine_side)
        assert plans
        scanned = [node["Relation Name"] for _, nodes in plans for node in nodes if node["Node Type"] == "Seq Scan"]
        indexes = {node["Index Name"] for _, nodes in plans for node in nodes if "Index Name" in node}
        if scanned or not expected <= indexes:
            shown = "\n".join(f"{statement}\n{json.dumps(nodes[0])[:2000]}" for statement, nodes in plans)
            found.append(f"reads all of {scanned}, and not {sorted(expected - indexes)}:\n{shown}")
    return found


async def sifted(database: Database, work: Work) -> list[str]:
    """What a reader's statements check of rows that an index has found already: those that fail were read in vain."""
    plans = await _plans(database, work, engine_side=False)
    return [node["Filter"] for _, nodes in plans for node in nodes if "Filter" in node]


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in _nodes(part))]


async def _plans(database: Database, work: Work, *, engine_side: bool) -> list[tuple[str, list[dict[str, Any]]]]:
    """The plans of the statements that the work sends, as its own connections would make them."""
    seen: list[tuple[str, Any]] = []
    pool = database._writer if engine_side else database._reader

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    async def noted(statement: Any, parameters: dict[str, Any]) -> Any:
        compiled = statement.compile(dialect=pool.dialect)
        values = {**compiled.params, **parameters}
        seen.append((str(compiled), tuple(values[name] for name in compiled.positiontup)))
        return await run(statement, parameters)

    assert database.straight
    run = database.straight.run
    sa.event.listen(pool.sync_engine, "before_cursor_execute", note)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database.straight, "run", noted)
        await work()
    sa.event.remove(pool.sync_engine, "before_cursor_execute", note)
    plans = []
    async with pool.connect() as connection:
        for statement, parameters in seen:
            explained = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            (plan,) = explained.scalar_one()
            plans.append((statement, _nodes(plan["Plan"])))
        await connection.rollback()
    return plans
