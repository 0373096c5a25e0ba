"""A broker with faults: the real one in process, whose publishes go wrong where a test says so."""

from __future__ import annotations

from collections.abc import Callable

from amends.broker import Address, Confirm
from amends.local import LocalBroker

Fault = Callable[[Address, bytes], Confirm | None]


class FaultyBroker(LocalBroker):
    """Asks `fault` before every publish of commands. UNKNOWN comes in two kinds: `lost` says whether it got through."""

    def __init__(self, fault: Fault, *, lost: bool = True) -> None:
        super().__init__()
        self.fault, self.lost, self.away = fault, lost, False
        self.asked: list[tuple[str, Confirm]] = []

    @property
    def connected(self) -> bool:
        return not self.away

    async def publish(self, address: Address, body: bytes, *, transient: bool = False) -> Confirm:
        if address.lane == "commands":
            fault = Confirm.UNSENT if self.away else self.fault(address, body)
            if fault:
                self.asked.append((address.participant, fault))
                if fault is Confirm.UNKNOWN and not self.lost:
                    await super().publish(address, body)
                return fault
        return await super().publish(address, body, transient=transient)
