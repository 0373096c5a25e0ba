"""The parts of a diagnosis together, as the composition hands them over and the web face sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from coordinator.diagnosis.healing.healer import Healer
from coordinator.diagnosis.llm.narrator import Narrator
from coordinator.diagnosis.reporter import Reporter
from coordinator.diagnosis.sensors import Sensors
from coordinator.diagnosis.watch import Watch
from coordinator.store.incident_reader import IncidentReader
from coordinator.store.incidents import IncidentStore
from coordinator.store.occurrences import OccurrenceStore
from coordinator.store.outcomes import OutcomeStore
from coordinator.store.remedies import RemedyStore
from coordinator.store.reports import ReportStore
from coordinator.supervisor import Loop, lasting


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that watches and explains. None of its loops is one that the process can't go on without: each that
    ends by itself begins again, and is counted."""

    watch: Watch
    sensors: Sensors
    reporter: Reporter
    narrator: Narrator | None
    outcomes: OutcomeStore
    occurrences: OccurrenceStore
    incidents: IncidentStore
    reader: IncidentReader
    reports: ReportStore
    remedies: RemedyStore
    healer: Healer
    ended: Counter[str] = field(default_factory=Counter)  # how often each loop ended by itself

    def loops(self) -> Mapping[str, Loop]:
        """The loops, by name, each of which begins again when it ends."""
        loops: dict[str, Loop] = {
            "healer": self.healer.run,
            "reporter": self.reporter.run,
            "sensors": self.sensors.run,
            "watch": self.watch.run,
        }
        return {f"diagnosis {name}": self._lasting(name, loop) for name, loop in loops.items()}

    def _lasting(self, name: str, loop: Loop) -> Loop:
        def ended() -> None:
            self.ended[name] += 1

        async def run() -> None:
            await lasting(f"diagnosis {name}", loop, ended=ended)

        return run

    def dropped(self) -> Mapping[str, int]:
        """What there was no room for, by what it was."""
        return {
            "failures": self.watch.failures_dropped,
            "keys": self.watch.keys_dropped,
            "occurrences": self.sensors.dropped,
            "unwatched": self.watch.faults,
            "unexplained": self.reporter.failures,
            "unworded": self.reporter.unworded,
        }
