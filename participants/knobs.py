"""Knobs for trouble: one order, or a share of all, can be made to fail, to be refused, to be slow, to kill its worker.

    "simulate": {"charge-card": "refuse", "refund": "fail_once"}      in the saga's input, by step, service or handler
    --fail-rate 0.1 --seed 7                                          for all commands of a worker

A step's or a service's name means its action; a handler's name means just that handler, compensations too. What a knob
does happens after the business writes and before they are committed, so that it is their rollback which is seen.
`lose_reply` is for whoever carries the reply: the demo's broker (see `participants.lossy`). `provider_down` and
`provider_slow` are for the payment service, whose card network they take away (see `participants.card_provider`).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

from amends import Command, Kind, Refused

death_code = 70


class Knob(StrEnum):
    """What can be simulated."""

    REFUSE = "refuse"  # say no: the saga turns
    FAIL = "fail"  # every attempt
    FAIL_ONCE = "fail_once"  # the first attempt
    SLOW = "slow"
    DIE = "die"  # end the process in the middle of the transaction, once per command
    LOSE_REPLY = "lose_reply"  # the first reply, on its way
    PROVIDER_DOWN = "provider_down"  # of a charge: the card network accepts no connection
    PROVIDER_SLOW = "provider_slow"  # of a charge: it does, and says nothing


Simulate = dict[str, Knob] | None  # as it stands in a step's input


class SimulatedFailure(Exception):
    """A failure that somebody asked for."""


@dataclass(frozen=True)
class Knobs:
    """A worker's knobs. Rates are shares of commands, 0 to 1, drawn from the seed and the command's identity.

    `dying` is the folder in which it is remembered who has died, so that a command kills one worker and not all that
    take it after; None: nobody dies here, and `die` is a failure.
    """

    fail_rate: float = 0.0
    refuse_rate: float = 0.0
    slow_rate: float = 0.0
    die_rate: float = 0.0
    seed: int = 0
    slow_seconds: float = 2.0
    dying: Path | None = None

    @asynccontextmanager
    async def around(self, command: Command, simulate: Simulate) -> AsyncIterator[None]:
        """Put the business code inside. Raises Refused and SimulatedFailure, as asked for."""
        knob = chosen(command, simulate) or self._drawn(command)
        if knob is Knob.SLOW:
            await asyncio.sleep(self.slow_seconds)
        yield
        match knob:
            case Knob.REFUSE:
                raise Refused("the order asked to be refused here (simulated)", error_type="SimulatedRefusal")
            case Knob.FAIL:
                raise SimulatedFailure("the order asked for a failure here (simulated)")
            case Knob.FAIL_ONCE if command.attempt == 1:
                raise SimulatedFailure("the order asked for one failure here (simulated)")
            case Knob.DIE:
                self._die(command)
            case _:
                pass

    def _drawn(self, command: Command) -> Knob | None:
        """By chance, but the same for the same seed and command. A refusal is for all attempts, the rest for one."""
        if command.kind is Kind.ACTION and self._chance(f"refuse/{command.id}") < self.refuse_rate:
            return Knob.REFUSE
        attempt = f"{command.id}/{command.attempt}"
        rates = ((Knob.FAIL, self.fail_rate), (Knob.DIE, self.die_rate), (Knob.SLOW, self.slow_rate))
        return next((knob for knob, rate in rates if self._chance(f"{knob}/{attempt}") < rate), None)

    def _chance(self, what: str) -> float:
        return Random(f"{self.seed}/{what}").random()

    def _die(self, command: Command) -> None:
        if self.dying is None:
            raise SimulatedFailure("would have died, but this worker may not (--allow-dying)")
        self.dying.mkdir(parents=True, exist_ok=True)
        grave = self.dying / hashlib.sha256(command.id.encode()).hexdigest()[:32]
        try:
            grave.touch(exist_ok=False)
        except FileExistsError:
            return
        os._exit(death_code)


def chosen(command: Command, simulate: Mapping[str, Any] | None) -> Knob | None:
    """What an order asks for at this command. Raises ValueError for a knob that doesn't exist."""
    names = [command.handler]
    if command.kind is Kind.ACTION:
        names = [command.step, command.handler, command.participant]
    asked = next((simulate[name] for name in names if name in simulate), None) if simulate else None
    return None if asked is None else Knob(asked)
