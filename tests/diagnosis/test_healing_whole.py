"""The whole way, with all loops running: a dependency goes away, and the participant that needs it is spared."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from amends.local import LocalBroker
from amends.message import Answer, Command, Effect, Reply
from coordinator.building import build
from coordinator.config import Settings
from coordinator.engine import Beginning
from coordinator.store.explained import RemedyRow, RemedyState
from coordinator.store.values import HoldScope
from tests.diagnosis.ward import order
from tests.engine.puppet import Puppet, answer
from tests.waiting import eventually


@pytest.mark.parametrize(
    ("heal", "state", "held"), [("auto", RemedyState.BEGUN, {"payment"}), ("shadow", RemedyState.SHADOW, set())]
)
async def test_a_dependency_that_goes_away_opens_a_circuit(
    sqlite_url: str, heal: str, state: RemedyState, held: set[str]
) -> None:
    gone = False

    def script(command: Command) -> Reply:
        refused = {"error": "ConnectError", "code": "errno ECONNREFUSED"} if gone else {}
        calls = [{"dependency": "bank", "seconds": 0.01, **refused}] if command.handler == "charge" else []
        facts: dict[str, Any] = {"calls": calls, "worker": f"{command.participant}-1"}
        if gone and command.handler == "charge":
            error = {"type": "ConnectError", "message": "connection refused", "code": "errno ECONNREFUSED"}
            return answer(command, Answer.FAILED, effect=Effect.NONE, error=error, **facts)
        return answer(command, **facts)

    settings = Settings.model_validate({"database_url": sqlite_url, "diagnosis_heal": heal})
    async with AsyncExitStack() as stack:
        broker = LocalBroker()
        app = await build(settings, broker=broker)
        await app.start()
        stack.push_async_callback(app.stop)
        for name in ("payment", "delivery"):
            await (await stack.enter_async_context(Puppet(broker, name, script))).beat()
        definition = await app.definitions.register(order, "test")
        for n in range(40):
            await app.engine.start(Beginning(definition, n))

        async def all_well() -> bool:
            return not await app.stores.outbox.pending()

        await eventually(all_well, "the first sagas to end")
        gone = True
        for n in range(40):
            await app.engine.start(Beginning(definition, n))

        async def decided() -> RemedyRow | None:
            rows = [row for row in await app.stores.remedies.in_state(*RemedyState) if row.kind == "open_circuit"]
            return rows[0] if rows and rows[0].state is not RemedyState.PROPOSED else None

        row = await eventually(decided, "the circuit to be decided on")

        async def holding() -> bool:
            await app.fleet.refresh()
            return app.fleet.held(HoldScope.PARTICIPANT) == held

        await eventually(holding, "the hold to be as it should")
        assert (row.state, row.scope) == (state, "participant payment")
        assert "nothing stands against it" in row.reason
