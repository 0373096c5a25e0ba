"""The saga as services of Restate: its steps within the handler (`ctx.run`), or in three services of their own.

Served in an environment that has `restate-sdk`: `hypercorn bench.race.peers.restate_saga:local`, or `:order`, `:stock`,
`:payment` and `:delivery`.
"""

from __future__ import annotations

from typing import Any

import restate
from restate.serde import JsonSerde

# Said once: left to itself the SDK works out from the annotations, at each step, how its result is written.
_as_json: restate.RunOptions[Any] = restate.RunOptions(serde=JsonSerde())
steps = {"stock": ("reserve", "release"), "payment": ("charge", "refund"), "delivery": ("ship", "recall")}


def _act(name: str, order: dict[str, Any]) -> dict[str, Any]:
    if name == "ship" and order["fails"]:
        raise restate.TerminalError("this one is to fail")
    return {"reference": f"{name}-{order['order']}"}


def _undo(result: dict[str, Any]) -> dict[str, Any]:
    return {"undone": True}


async def _act_soon(name: str, order: dict[str, Any]) -> dict[str, Any]:
    return _act(name, order)


async def _undo_soon(result: dict[str, Any]) -> dict[str, Any]:
    return _undo(result)


async def _place_here(ctx: restate.Context, order: dict[str, Any]) -> str:
    done: list[tuple[str, dict[str, Any]]] = []
    try:
        for act, undo in steps.values():
            done.append((undo, await ctx.run_typed(act, _act_soon, _as_json, act, order)))
    except restate.TerminalError:
        for undo, result in reversed(done):
            await ctx.run_typed(undo, _undo_soon, _as_json, result)
        return "compensated"
    return "completed"


def _participant(name: str) -> tuple[restate.Service, Any, Any]:
    made = restate.Service(name)
    act_name, undo_name = steps[name]

    async def act(ctx: restate.Context, order: dict[str, Any]) -> dict[str, Any]:
        return _act(act_name, order)

    async def undo(ctx: restate.Context, result: dict[str, Any]) -> dict[str, Any]:
        return _undo(result)

    return made, made.handler(name=act_name)(act), made.handler(name=undo_name)(undo)


participants = {name: _participant(name) for name in steps}


async def _place_there(ctx: restate.Context, order: dict[str, Any]) -> str:
    done: list[tuple[Any, dict[str, Any]]] = []
    try:
        for _, act, undo in participants.values():
            done.append((undo, await ctx.service_call(act, order)))
    except restate.TerminalError:
        for undo, result in reversed(done):
            await ctx.service_call(undo, result)
        return "compensated"
    return "completed"


def _orders(place: Any) -> restate.Service:
    made = restate.Service("orders")
    made.handler(name="place")(place)
    return made


local = restate.app([_orders(_place_here)])
order = restate.app([_orders(_place_there)])
stock, payment, delivery = (restate.app([made]) for made, _, _ in participants.values())
