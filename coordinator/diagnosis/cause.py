"""What can be wrong, and where: the classes of causes and the entities that may be to blame. A closed world: no rule,
and no model, may name anything else."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints


class FaultClass(StrEnum):
    """What kind of cause a failure has."""

    DOWNSTREAM_TIMEOUT = "downstream_timeout"  # something a participant depends on answers too late
    DOWNSTREAM_UNAVAILABLE = "downstream_unavailable"  # … refuses, can't be found, says 5xx
    RATE_LIMITED = "rate_limited"  # … says: not so fast
    CREDENTIAL_FAILURE = "credential_failure"  # … doesn't accept who asks
    BUSINESS_REJECTION = "business_rejection"  # a participant says no, as often as it always does
    DATA_CONFLICT = "data_conflict"  # it is there already, or somebody changed it meanwhile
    POISON_PAYLOAD = "poison_payload"  # this one saga's data breaks every worker that touches it
    UPSTREAM_BAD_OUTPUT = "upstream_bad_output"  # an earlier step succeeded and gave something unusable
    BAD_DEPLOY = "bad_deploy"  # one version of a participant fails where another does not
    WORKER_LOST = "worker_lost"  # the worker died with the command in its hands
    WORKER_BACKLOG = "worker_backlog"  # nobody came to take the command in time
    BROKER_OUTAGE = "broker_outage"  # messages did not travel
    LOCK_CONTENTION = "lock_contention"  # a participant's database made them wait for each other
    RESOURCE_EXHAUSTION = "resource_exhaustion"  # no disk, connections, files, memory left somewhere
    MISCONFIGURATION = "misconfiguration"  # a setting or a definition asks for what can't work
    UNKNOWN = "unknown"


class EntityKind(StrEnum):
    """What sort of thing may be to blame, or be spoken of."""

    SAGA = "saga"  # name: its id
    STEP = "step"  # "<definition>.<step>"
    PARTICIPANT = "participant"  # its name
    WORKER = "worker"  # "<participant>/<worker>"
    HOST = "host"  # its name
    WORKER_VERSION = "worker_version"  # "<participant>@<version>"
    DEPENDENCY = "dependency"  # its name, as the participant states it
    DEFINITION = "definition"  # its name
    DEFINITION_VERSION = "definition_version"  # "<definition>@<version>"
    SETTING = "setting"  # "<participant>.<setting>" or "<definition>.<step>.<key>"
    BROKER = "broker"  # "broker"
    DATABASE = "database"  # "<participant>" whose database it is, or "coordinator"


class Entity(BaseModel):
    """One thing, by its kind and its name in the form that its kind says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EntityKind
    name: Annotated[str, StringConstraints(min_length=1, max_length=400)]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Phase(StrEnum):
    """Which way the saga went when it failed."""

    FORWARD = "forward"
    COMPENSATION = "compensation"
