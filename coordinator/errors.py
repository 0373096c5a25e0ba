"""Every error of the coordinator, in one tree. Each says whose fault it is and carries its facts.

CoordinatorError
├── IllegalMove          a bug here: a status was to be changed in a way the tables don't allow
├── InvalidDefinition    theirs: a definition breaks the rules; carries every fault
├── UnresolvedReference  theirs: a mapping names a value that isn't there, or an expression fails on it
│   └── InvalidExpression    theirs: an expression does not parse at all
├── UnknownSaga          theirs: no such saga
├── UnknownIncident      theirs: no such incident
├── UnsupportedDatabase  theirs: a database URL that can't be used
├── UnknownDefinition    theirs: no such definition, or no such version of it
├── UnknownDeadLetter    theirs: no such dead letter
├── UnknownRemedy        theirs: no such remedy
├── RemedyRefused        theirs: a remedy that has been decided otherwise, or isn't in effect
├── RedriveRefused       theirs: a dead letter that can't be sent again or discarded now
├── MovedSince           nobody's: the saga is no longer at the revision for which something was asked
├── Disbelieved          theirs: a reply from who can't have carried out the command
├── Quarantined          ours: this one saga can't be decided; it stands still and the others go on
└── StoreUnavailable     the database can't be reached now; nothing was changed, or it is unknown; repeat it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


class CoordinatorError(Exception):
    """Something in the coordinator went wrong, or was refused by it."""


class IllegalMove(CoordinatorError):
    """A status was to be changed in a way its table of moves does not allow."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule of a definition: which, where, why, and what to do about it."""

    rule: str
    message: str
    hint: str
    step: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        return asdict(self)


class InvalidDefinition(CoordinatorError):
    """A definition breaks the rules. `faults` names every broken rule, not just the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = tuple(faults)


class UnresolvedReference(CoordinatorError):
    """A mapping names a value that is not there, or an expression fails on the value it got."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class InvalidExpression(UnresolvedReference):
    """An expression does not parse. Registration refuses it; one met later is a reference without a value."""


class UnknownSaga(CoordinatorError):
    """There is no saga of this id."""

    def __init__(self, saga_id: str) -> None:
        super().__init__(f"no saga {saga_id}")
        self.saga_id = saga_id


class UnknownIncident(CoordinatorError):
    """There is no incident of this id."""

    def __init__(self, incident_id: str) -> None:
        super().__init__(f"no incident {incident_id}")
        self.incident_id = incident_id


class UnknownDefinition(CoordinatorError):
    """There is no definition of this name, or no such version of it."""

    def __init__(self, name: str, version: int | None = None) -> None:
        super().__init__(f"no definition {name!r}" + (f" version {version}" if version is not None else ""))
        self.name, self.version = name, version


class UnknownDeadLetter(CoordinatorError):
    """There is no dead letter of this id."""

    def __init__(self, letter_id: str) -> None:
        super().__init__(f"no dead letter {letter_id}")
        self.letter_id = letter_id


class RedriveRefused(CoordinatorError):
    """A dead letter cannot be sent again, or discarded, as things stand."""

    def __init__(self, letter_id: str, reason: str) -> None:
        super().__init__(f"dead letter {letter_id}: {reason}")
        self.letter_id, self.reason = letter_id, reason


class UnknownRemedy(CoordinatorError):
    """There is no remedy of this id."""

    def __init__(self, remedy_id: str) -> None:
        super().__init__(f"no remedy {remedy_id[:100]}")
        self.remedy_id = remedy_id


class RemedyRefused(CoordinatorError):
    """A remedy cannot be approved, rejected or undone, as it stands."""

    def __init__(self, remedy_id: str, reason: str) -> None:
        super().__init__(f"remedy {remedy_id}: {reason}")
        self.remedy_id, self.reason = remedy_id, reason


class Quarantined(CoordinatorError):
    """One saga cannot be decided: its definition or its record makes no sense to this release. It stands still."""

    def __init__(self, saga_id: str, reason: str) -> None:
        super().__init__(f"saga {saga_id} is quarantined: {reason}")
        self.saga_id = saga_id


class MovedSince(CoordinatorError):
    """Who asks something of a saga wants it done only as the saga stood at a revision, and it stands elsewhere."""

    def __init__(self, saga_id: str, revision: int) -> None:
        super().__init__(f"saga {saga_id} is at revision {revision} by now: look at it again, and ask again")
        self.saga_id, self.revision = saga_id, revision


class Disbelieved(CoordinatorError):
    """What a participant says about a saga is not for it to say."""

    def __init__(self, saga_id: str, reason: str) -> None:
        super().__init__(reason)
        self.saga_id = saga_id


class UnsupportedDatabase(CoordinatorError):
    """The URL names no database, or one the store does not speak to."""


class StoreUnavailable(CoordinatorError):
    """The database cannot be reached, or answered with an error that passes. Repeat the whole transaction."""
