"""What all parts of a run have in common: the servers, the pace, and products that are made once and used twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.race.filling import fill
from bench.race.ours import Ours
from bench.race.results import Kind, Part
from bench.race.rounds import Entry, Pace, Tell, race, started
from bench.speed.product import Servers, Shape


@dataclass(slots=True)
class Lab:
    """One run."""

    servers: Servers
    pace: Pace
    tell: Tell
    in_flight: int = 200
    grown_sagas: int = 1_000_000
    backlog_rows: int = 100_000
    overload_seconds: float = 10.0
    parts: list[Part] = field(default_factory=list)
    _grown: Ours | None = None

    def part(self, name: str, asks: str) -> Part:
        """A new part, kept even if what follows fails."""
        self.parts.append(Part(name, asks))
        self.tell(f"\n{name}: {asks}")
        return self.parts[-1]

    def ours(self, label: str, shape: Shape | None = None, in_flight: int = 0) -> Ours:
        return Ours(self.servers, f"{label}_", in_flight or self.in_flight, shape)

    async def race(
        self,
        part: Part,
        entries: Sequence[Entry],
        *,
        kinds: Sequence[Kind] = ("busy", "alone"),
        fails: bool = False,
        limits: Sequence[Entry] = (),
        pace: Pace | None = None,
    ) -> None:
        """Let them take turns, and compare the first with each of the others, but for the limits."""
        async with started([*entries, *limits], part, self.tell) as there:
            await race(there, part, pace or self.pace, self.servers.dsn, self.tell, kinds=kinds, fails=fails)
        first, *others = [entry.name for entry in entries]
        part.compare(first, others)

    async def grown(self) -> Ours:
        """A product whose tables hold many finished sagas, for as long as the run lasts."""
        if self._grown is None:
            made = self.ours("grown")
            try:
                await made.start()
                self.tell(f"filling the tables with {self.grown_sagas:,} sagas …")
                began = time.monotonic()
                await fill(made, self.grown_sagas)
                self.tell(f"… took {time.monotonic() - began:.0f} s")
            except BaseException:
                await made.stop()
                raise
            self._grown = made
        return self._grown

    async def close(self) -> None:
        if self._grown is not None:
            await self._grown.stop()
