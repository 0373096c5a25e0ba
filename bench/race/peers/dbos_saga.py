"""The saga as a workflow of DBOS Transact: three steps in process, each with its way back.

Run in an environment that has `dbos`: `python -m bench.race.peers.dbos_saga --port … --database postgresql://…`.
"""

from __future__ import annotations

import argparse
from typing import Any

from dbos import DBOS, DBOSConfig

from bench.race.driven import Threads, answer

steps = (("reserve", "release"), ("charge", "refund"), ("ship", "recall"))


class RefusedByService(Exception):
    """The business says no."""


def _act(name: str, order: dict[str, Any]) -> dict[str, Any]:
    if name == "ship" and order["fails"]:
        raise RefusedByService("this one is to fail")
    return {"reference": f"{name}-{order['order']}"}


def _undo(result: dict[str, Any]) -> dict[str, Any]:
    return {"undone": True}


def _step(name: str) -> Any:
    def act(order: dict[str, Any]) -> dict[str, Any]:
        return _act(name, order)

    return DBOS.step(name=name)(act)


def _compensation(name: str) -> Any:
    def undo(result: dict[str, Any]) -> dict[str, Any]:
        return _undo(result)

    return DBOS.step(name=name)(undo)


acts = [(_step(name), _compensation(back)) for name, back in steps]


def _order(order: dict[str, Any]) -> str:
    done: list[tuple[Any, Any]] = []
    try:
        for act, undo in acts:
            done.append((undo, act(order)))
    except RefusedByService:
        for undo, result in reversed(done):
            undo(result)
        return "compensated"
    return "completed"


order_saga = DBOS.workflow(name="order")(_order)


def carry_out(number: int, fails: bool) -> None:
    """One saga. Raises RuntimeError if it ends otherwise than it should."""
    ended = order_saga({"order": number, "customer": f"customer-{number % 1000}", "cents": 4990, "fails": fails})
    if ended != ("compensated" if fails else "completed"):
        raise RuntimeError(f"it ended {ended}")


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--executor", required=True)
    told = parser.parse_args()
    config: DBOSConfig = {
        "name": "order",
        "system_database_url": told.database,
        "sys_db_pool_size": told.threads,
        "application_version": "1",
        "executor_id": told.executor,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    carry_out(0, False)
    answer(told.port, Threads(carry_out, told.threads).load)


if __name__ == "__main__":
    main()
