"""Evidence: one fact, typed, with an id to cite, its source, and how far it may be trusted.

Numbers in prose come from `fact` and from nowhere else. What was free text somewhere never appears as it was: it has
become a template with typed slots, and secrets have been taken out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from coordinator.diagnosis.cause import Entity

text_chars_max = 400
evidence_max = 40  # of one report

Scalar = str | int | float | bool | None
EvidenceId = Annotated[str, StringConstraints(pattern=r"^E\d{2}-[a-z2-7]{3}$")]


class EvidenceKind(StrEnum):
    ATTEMPT = "attempt"
    ERROR = "error"
    SAGA_EVENT = "saga_event"
    SPAN = "span"  # a call of a handler to something it depends on
    LOG_TEMPLATE = "log_template"
    TIMING = "timing"
    WORKER_STATE = "worker_state"
    QUEUE_STATE = "queue_state"
    STEP_CONTRAST = "step_contrast"
    DEPENDENCY_STATE = "dependency_state"
    DEPLOY = "deploy"
    CONFIG_CHANGE = "config_change"
    BROKER_EVENT = "broker_event"
    PAYLOAD_SHAPE = "payload_shape"
    OUTPUT_SHAPE = "output_shape"
    HISTORY_MATCH = "history_match"
    DEFINITION = "definition"
    ONSET = "onset"
    COUNTER_EVIDENCE = "counter_evidence"


class Trust(StrEnum):
    """Who says so: the coordinator saw it, the infrastructure did, a participant reports it, it was in some text."""

    COORDINATOR = "coordinator"
    INFRA = "infra"
    PARTICIPANT = "participant"
    EXTERNAL_TEXT = "external_text"


class Evidence(BaseModel):
    """One fact. `text` is one line rendered from `fact` by us; `source_ref` says where it can be looked up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: EvidenceId
    kind: EvidenceKind
    trust: Trust
    subjects: tuple[Entity, ...] = ()
    ts_from: datetime | None = None
    ts_to: datetime | None = None
    fact: Mapping[str, Scalar] = Field(default_factory=dict)
    text: Annotated[str, StringConstraints(max_length=text_chars_max)]
    source_ref: Annotated[str, StringConstraints(max_length=400)] = ""

    @property
    def digest(self) -> str:
        """The same for the same fact, whatever it is called in a report: 64 hexadecimal digits."""
        subjects = sorted(str(subject) for subject in self.subjects)
        facts = json.dumps(dict(self.fact), sort_keys=True, default=str)
        return hashlib.sha256(f"{self.kind}\n{subjects}\n{facts}".encode()).hexdigest()
