"""The saga that is measured: three steps of three participants, each with its way back, and handlers that do nothing.

What costs something is therefore ours: all that is around a handler, its participant's inbox included.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from amends import Participant, Refused
from amends.inbox import SqlInbox
from participants.knobs import Knobs
from participants.run import Service

definition = "order"
steps = {"reserve": "stock", "charge": "payment", "ship": "delivery"}  # who carries out which
compensations = {"reserve": "release", "charge": "refund", "ship": "recall"}


def document() -> dict[str, Any]:
    """The definition as it is registered."""
    return {
        "name": definition,
        "steps": [
            {
                "name": name,
                "participant": participant,
                "action": name,
                "compensation": compensations[name],
                "input": {key: f"${{input.{key}}}" for key in ("order", "cents", "fails")},
            }
            for name, participant in steps.items()
        ],
    }


def order(number: int, *, fails: bool = False) -> dict[str, Any]:
    """What one saga is started with. One that fails is refused at its third step, and the other two are undone."""
    return {"order": number, "customer": f"customer-{number % 1000}", "cents": 4990, "fails": fails}


def participant(name: str, engine: AsyncEngine | None, *, host: str | None = None) -> Participant:
    """A participant with the handlers of its step; without an engine it remembers nothing."""
    made = Participant(name, inbox=SqlInbox(engine) if engine is not None else None, version="1.0.0", host=host)
    (step,) = [step for step, owner in steps.items() if owner == name]

    @made.action(step)
    async def act(data: dict[str, Any]) -> dict[str, Any]:
        if step == "ship" and data["fails"]:
            raise Refused("this one is to fail")
        return {"reference": f"{name}-{data['order']}"}

    @made.compensation(compensations[step])
    async def undo(result: Any) -> dict[str, Any]:
        return {"undone": result is not None}

    return made


def service(name: str) -> Service:
    """A participant as a service of its own."""

    def build(engine: AsyncEngine, _: Knobs) -> Participant:
        return participant(name, engine)

    return Service(name, build)


def forgetful(name: str) -> Service:
    """The same without an inbox: its database is not used."""

    def build(_: AsyncEngine, __: Knobs) -> Participant:
        return participant(name, None)

    return Service(name, build)
