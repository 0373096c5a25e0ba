"""Write a definition in Python: the same JSON, with types and completion.

    place_order = (
        Saga("place_order", deadline="10m")
        .step("reserve", "inventory.reserve", compensation="release", input={"sku": "${input.sku}"})
        .step("charge", "payment.charge", compensation="refund", retry=Retry(max_attempts=4, first="1s"))
        .step("confirm", "order.confirm", kind="pivot")
        .step("notify", "notification.send", kind="retriable", optional=True)
    )
    document = place_order.document()

Steps run in the order written; `after=["reserve"]` says otherwise, `after=[]` starts at once. A step that changes
something states its `compensation`, or why it is `irreversible`. The coordinator checks the whole when it is
registered and names every fault, so nothing but the shape is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import BaseModel

from amends.errors import DefinitionError

Duration = str | float | timedelta  # "500ms", "30s", "5m", "2h", "7d"; or seconds
Schema = Mapping[str, Any] | type[BaseModel]  # JSON Schema, or a model to take it from
Kind = Literal["compensatable", "pivot", "retriable", "readonly"]


class _Absent:
    """No `input` stated. None is a value: it gives the step null."""


_absent = _Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a command is sent. `max_attempts` counts the first; what is left out keeps its default."""

    max_attempts: int | None = None
    first: Duration | None = None  # the wait before the second attempt
    factor: float | None = None  # each wait is the last one times this
    cap: Duration | None = None  # no wait is longer
    jitter: float | None = None  # each wait is spread by up to this share of itself
    give_up_on: Sequence[str] | None = None  # error types after which no other attempt is made

    def document(self) -> dict[str, Any]:
        return _stated(
            max_attempts=self.max_attempts,
            first=_duration(self.first),
            factor=self.factor,
            cap=_duration(self.cap),
            jitter=self.jitter,
            give_up_on=_list(self.give_up_on),
        )


class Saga:
    """A definition being written. Each `step` adds to it and gives it back, to be chained."""

    def __init__(
        self,
        name: str,
        *,
        deadline: Duration | None = None,
        grace: Duration | None = None,
        retention: Duration | None = None,
        tags: Sequence[str] | None = None,
        input_schema: Schema | None = None,
        description: str | None = None,
    ) -> None:
        """`deadline`: when the saga turns back; `grace`: what a step in flight then gets to settle; `retention`: how
        long its history is kept once it is final."""
        self.name = name
        self._stated = _stated(
            deadline=_duration(deadline),
            grace=_duration(grace),
            retention=_duration(retention),
            tags=_list(tags),
            input_schema=_schema(input_schema),
            description=description,
        )
        self._steps: list[dict[str, Any]] = []

    def step(
        self,
        name: str,
        handler: str,
        *,
        compensation: str | None = None,
        after: Sequence[str] | None = None,
        kind: Kind | None = None,
        input: Any = _absent,  # noqa: A002  # the document's own word
        when: str | None = None,
        optional: bool | None = None,
        irreversible: str | None = None,
        timeout: Duration | None = None,
        retry: Retry | None = None,
        compensation_retry: Retry | None = None,
        input_schema: Schema | None = None,
        output_schema: Schema | None = None,
        description: str | None = None,
    ) -> Self:
        """Add a step. `handler` is `participant.action`; the compensation is a handler of the same participant.

        Raises DefinitionError if `handler` is not of that form.
        """
        participant, dot, action = handler.partition(".")
        if not (participant and dot and action) or "." in action:
            message = f"{handler!r} is not of the form participant.action"
            hint = "write it as inventory.reserve"
            raise DefinitionError([{"rule": "bad-name", "message": message, "hint": hint, "step": name}])
        stated = _stated(
            compensation=compensation,
            after=_list(after),
            kind=kind,
            when=when,
            optional=optional,
            irreversible=irreversible,
            timeout=_duration(timeout),
            retry=None if retry is None else retry.document(),
            compensation_retry=None if compensation_retry is None else compensation_retry.document(),
            input_schema=_schema(input_schema),
            output_schema=_schema(output_schema),
            description=description,
        )
        if not isinstance(input, _Absent):
            stated["input"] = input
        self._steps.append({"name": name, "participant": participant, "action": action, **stated})
        return self

    def document(self) -> dict[str, Any]:
        """The definition as JSON, to be registered or kept in a file."""
        return {"name": self.name, **self._stated, "steps": [dict(step) for step in self._steps]}


def _stated(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _list(values: Sequence[str] | None) -> list[str] | None:
    if isinstance(values, str):  # a str is a sequence of str, too: after="reserve" would be seven steps
        return [values]
    return None if values is None else list(values)


def _duration(value: Duration | None) -> str | float | None:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _schema(value: Schema | None) -> dict[str, Any] | None:
    if isinstance(value, type):
        return value.model_json_schema()
    return None if value is None else dict(value)
