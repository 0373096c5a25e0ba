"""Which sagas are meant: by the query of a list, or by the body of what is asked of many. Both have the same names."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, StrictInt, StrictStr, StringConstraints, model_validator

from coordinator.listing import listed
from coordinator.saga.registration import version_max
from coordinator.saga.state import SagaStatus, StepStatus
from coordinator.store.values import SagaFilter
from coordinator.web.reading import Body, created_years, parameter_chars_max

seconds_max = 30 * 24 * 3600
ids_max = 500

Text = Annotated[StrictStr, StringConstraints(min_length=1, max_length=parameter_chars_max, pattern=r"^[^\x00-\x1f]+$")]


class Choice(Body):
    """Which sagas: those that fit everything that is stated."""

    definition: Text | None = None
    version: Annotated[StrictInt, Field(ge=1, le=version_max)] | None = None
    status: Annotated[list[SagaStatus], Field(max_length=len(SagaStatus))] | None = None
    step: Text | None = None
    step_status: Annotated[list[StepStatus], Field(max_length=len(StepStatus))] | None = None
    failed_step: Text | None = None
    current_step: Text | None = None
    tag: Text | None = None
    business_key: Text | None = None
    q: Text | None = None
    created_from: AwareDatetime | None = None
    created_to: AwareDatetime | None = None
    stuck_for_seconds: Annotated[StrictInt, Field(ge=1, le=seconds_max)] | None = None
    waiting_on: Text | None = None
    participant: Text | None = None
    incident: Text | None = None
    family: Text | None = None
    fingerprint: Text | None = None
    ids: Annotated[list[Text], Field(min_length=1, max_length=ids_max)] | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.step_status is not None and self.step is None:
            raise ValueError("step_status: only together with step")
        if self.version is not None and self.definition is None:
            raise ValueError("version: only together with definition")
        if self.waiting_on is not None and self.waiting_on not in listed:
            raise ValueError(f"waiting_on: one of {', '.join(listed)}")
        for at in (self.created_from, self.created_to):
            if at is not None and at.year not in created_years:
                raise ValueError("created_from, created_to: in a year that the database knows")
        return self

    @property
    def empty(self) -> bool:
        """Whether it means every saga there is."""
        return not self.model_dump(exclude_none=True)

    def stated(self) -> dict[str, Any]:
        """What was stated, as JSON has it."""
        return self.model_dump(mode="json", exclude_none=True)

    def chosen(self, now: datetime) -> SagaFilter:
        """What the store is asked for. How long a saga has been stuck is told from now on."""
        quiet = None if self.stuck_for_seconds is None else now - timedelta(seconds=self.stuck_for_seconds)
        return SagaFilter(
            definition=self.definition,
            version=self.version,
            statuses=tuple(self.status or ()),
            step=self.step,
            step_statuses=tuple(self.step_status or ()),
            failed_step=self.failed_step,
            current_step=self.current_step,
            tag=self.tag,
            business_key=self.business_key,
            words=self.q,
            created_from=self.created_from,
            created_to=self.created_to,
            quiet_since=quiet,
            waiting_on=self.waiting_on,
            waiting_for=self.participant,
            incident=self.incident,
            family=self.family,
            fingerprint=self.fingerprint,
            ids=tuple(dict.fromkeys(self.ids or ())),
        )
