"""A definition is read from JSON and checked; every fault is named, with its rule, its step and what to do about it.

The keys, and nothing else is accepted:

    definition  name, steps, deadline?, grace?, retention?, tags?, input_schema?, description?
                (`version` is accepted from exports; the store assigns it)
    step        name, participant, action, compensation?, after?, kind?, input?, when?, optional?, irreversible?,
                timeout?, retry?, compensation_retry?, input_schema?, output_schema?, description?, type? ("step")
    retry       max_attempts, first, factor, cap, jitter, give_up_on; each optional, the rest keeps its default

Durations are seconds as a number or a text: "500ms", "30s", "1.5m", "2h", "7d". `after` absent means after the step
above it in the list, `[]` at once. An optional key is left out, never null (an `input` of null is the value null).
A step is compensatable unless it says otherwise, and says `compensation`, or `irreversible` and why.

The rules, by id. Of shape (here and in `fields`): bad-type, bad-value, bad-name, missing-key, unknown-key, bad-json,
too-large, no-steps, too-many-steps, too-many-references, duplicate-step, bad-expression, bad-schema, not-built-yet.
Of the graph and what it means (in `rules`): too-many-edges, self-dependency, unknown-step, cycle, several-pivots,
conditional-pivot, beside-the-pivot, after-the-pivot, no-way-back, result-may-not-exist, deadline-too-short.
A warning, which refuses nothing: not-live.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from coordinator.errors import Fault, InvalidDefinition, InvalidExpression
from coordinator.saga import query, rules
from coordinator.saga.definition import (
    RetryPolicy,
    SagaDefinition,
    Step,
    StepKind,
    Unset,
    compensation_retry_default,
    grace_seconds_default,
    timeout_seconds_default,
)
from coordinator.saga.fields import Faults, Fields, name_pattern, not_storable, shown

SchemaFault = Callable[[Mapping[str, Any]], str | None]

definition_keys = (
    "name", "version", "steps", "deadline", "grace", "retention", "tags", "input_schema", "description",
)  # fmt: skip
step_keys = (
    "name", "participant", "action", "compensation", "after", "kind", "input", "when", "optional", "irreversible",
    "timeout", "retry", "compensation_retry", "input_schema", "output_schema", "description", "type",
)  # fmt: skip
retry_keys = ("max_attempts", "first", "factor", "cap", "jitter", "give_up_on")
types_to_come = ("delay", "approval", "saga", "each")

document_bytes_max = 256 * 1024
document_depth_max = 32
document_nodes_max = 50_000
steps_max = 200
version_max = 2**31 - 1
description_chars_max = 2_000
irreversible_chars_max = 500
tags_max, tag_chars_max = 20, 64
give_up_on_max, error_type_chars_max = 50, 200
max_attempts_max = 1_000
factor_max = 100.0
duration_seconds_min = 0.001
timeout_seconds_max = 7 * 86_400.0  # per attempt, and for each wait between two
grace_seconds_max = 7 * 86_400.0
deadline_seconds_max = 365 * 86_400.0
retention_seconds_max = 10 * 365 * 86_400.0


def read_definition(
    document: Any,
    *,
    name: str | None = None,
    version: int | None = None,
    schema_fault: SchemaFault | None = None,
) -> SagaDefinition:
    """The definition a JSON value states. Raises InvalidDefinition with every fault found.

    `name` stands in for a document without one and must agree with one that has it. `version` is the store's; without
    it the document's own counts, or 1. `schema_fault` says what is wrong with a JSON Schema, or None; it is handed in
    because checking one takes a library that has no place in the core.
    """
    faults = Faults()
    if not isinstance(document, dict):
        message = f"a definition is an object, not {shown(document)}"
        faults.add("bad-type", message, 'write {"name": …, "steps": […]}')
        raise InvalidDefinition(faults.found)
    _check_document(document, faults)
    if faults.found:
        raise InvalidDefinition(faults.found)
    definition = _Registration(faults, schema_fault).definition(document, name, version)
    if faults.found:
        raise InvalidDefinition(faults.found)
    return definition


def definition_hash(document: Mapping[str, Any]) -> str:
    """The identity of a definition's content: SHA-256 of its JSON with sorted keys, `version` left out. Hex."""
    content = {key: value for key, value in document.items() if key != "version"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def warnings(definition: SagaDefinition, live: Mapping[str, Collection[str]]) -> list[Fault]:
    """What is named by the definition and answered by nobody now. `live` maps each participant that is alive to the
    names of its handlers, actions and compensations alike. It may come alive later, so this refuses nothing."""
    found: list[Fault] = []
    for step in definition.steps:
        if step.participant not in live:
            message = f"no live worker of the participant {step.participant}"
            hint = "start one; until then its commands wait in their queue"
            found.append(Fault("not-live", message, hint, step.name))
            continue
        for handler in (step.action, step.compensation):
            if handler is not None and handler not in live[step.participant]:
                message = f"no live worker of {step.participant} answers {handler}"
                found.append(Fault("not-live", message, "deploy it before a saga needs it", step.name))
    return found


def _check_document(document: dict[str, Any], faults: Faults) -> None:
    """Whether it can be kept at all. Everything after this may trust it to be JSON of bounded size and depth."""
    steps = document.get("steps")
    if isinstance(steps, list) and len(steps) > steps_max:
        faults.add("too-many-steps", f"{len(steps)} steps", f"keep to {steps_max}; split the saga")
    reason = not_storable(document, document_depth_max, document_nodes_max)
    if reason is not None:
        faults.add("bad-json", f"the definition cannot be kept: {reason}", "a definition is plain JSON of modest size")
        return
    size = len(json.dumps(document, ensure_ascii=False).encode())
    if size > document_bytes_max:
        faults.add("too-large", f"a document of {size} bytes", f"keep to {document_bytes_max} bytes")


class _Registration:
    """One document being read."""

    def __init__(self, faults: Faults, schema_fault: SchemaFault | None) -> None:
        self._faults = faults
        self._schema_fault = schema_fault

    def definition(self, document: dict[str, Any], name: str | None, version: int | None) -> SagaDefinition:
        fields = Fields(document, self._faults)
        self._only(fields, definition_keys)
        fields.text("description", description_chars_max)
        if name is not None and not fields.has("name"):
            document = {**document, "name": name}
            fields = Fields(document, self._faults)
        stated = fields.name("name")
        if name is not None and stated is not None and stated != name:
            fields.fault("bad-name", f"name is {shown(stated)}, registered as {shown(name)}", "make them agree")
        own_version = fields.whole("version", 1, 1, version_max)
        definition = SagaDefinition(
            name=stated or "",
            version=own_version if version is None else version,
            steps=self._steps(fields),
            deadline_seconds=self._optional_seconds(fields, "deadline", deadline_seconds_max),
            grace_seconds=fields.seconds("grace", grace_seconds_default, 0.0, grace_seconds_max),
            retention_seconds=self._optional_seconds(fields, "retention", retention_seconds_max),
            tags=fields.texts("tags", tags_max, tag_chars_max),
            input_schema=self._schema(fields, "input_schema"),
            document={key: value for key, value in document.items() if key != "version"},
        )
        rules.check(definition, self._faults)
        return definition

    def _steps(self, fields: Fields) -> tuple[Step, ...]:
        values = fields.get("steps")
        if not fields.has("steps") or values == []:
            fields.fault("no-steps", "there are no steps", "a saga has at least one step")
            return ()
        if not isinstance(values, list):
            fields.fault("bad-type", f"steps is {shown(values)}", "write a list of steps")
            return ()
        steps: list[Step] = []
        taken: set[str] = set()
        for index, value in enumerate(values):
            label = self._label(value, index, taken)
            taken.add(label)
            if isinstance(value, dict):
                previous = (steps[-1].name,) if steps else ()
                steps.append(self._step(Fields(value, self._faults, label), label, previous))
            else:
                self._faults.add("bad-type", f"a step is an object, not {shown(value)}", "write a step", label)
        return tuple(steps)

    def _label(self, value: Any, index: int, taken: set[str]) -> str:
        """The step's name, or where it stands if it has none of its own: then it still has a place in the graph."""
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str) or not name_pattern.fullmatch(name):
            return f"steps[{index}]"
        if name in taken:
            self._faults.add("duplicate-step", f"two steps are called {name}", "give each step a name of its own", name)
            return f"steps[{index}]"
        return name

    def _step(self, fields: Fields, label: str, previous: tuple[str, ...]) -> Step:
        fields.name("name")
        after = tuple(fields.texts("after", rules.edges_max, 10_000)) if fields.has("after") else previous
        if self._not_built_yet(fields):
            # Its other keys are another type's; as a readonly step it breaks no rule but those of the graph.
            return Step(label, "", "", after=after, kind=StepKind.READONLY)
        self._only(fields, step_keys)
        fields.text("description", description_chars_max)
        if fields.has("compensation_retry") and not fields.has("compensation"):
            message = "compensation_retry without a compensation"
            fields.fault("bad-value", message, "leave it out, or add a compensation")
        # An unreadable compensation or reason is there all the same: it has its fault, and is not also "no way back".
        compensation = fields.name("compensation", required=False) or ("" if fields.has("compensation") else None)
        why = fields.text("irreversible", irreversible_chars_max) or ("" if fields.has("irreversible") else None)
        return Step(
            name=label,
            participant=fields.name("participant") or "",
            action=fields.name("action") or "",
            compensation=compensation,
            after=after,
            kind=self._kind(fields),
            input=fields.get("input") if fields.has("input") else Unset(),
            when=self._when(fields),
            optional=fields.flag("optional"),
            irreversible=why,
            timeout_seconds=fields.seconds(
                "timeout", timeout_seconds_default, duration_seconds_min, timeout_seconds_max
            ),
            retry=self._retry(fields, "retry", RetryPolicy(), label),
            compensation_retry=self._retry(fields, "compensation_retry", compensation_retry_default, label),
            input_schema=self._schema(fields, "input_schema"),
            output_schema=self._schema(fields, "output_schema"),
        )

    def _not_built_yet(self, fields: Fields) -> bool:
        stated = fields.get("type")
        if isinstance(stated, str) and stated in types_to_come:
            fields.fault("not-built-yet", f"steps of type {stated} are not built yet", "use a step of a participant")
            return True
        fields.one_of("type", ("step",))
        return False

    def _only(self, fields: Fields, known: tuple[str, ...]) -> None:
        if fields.has("concurrency"):
            fields.fault("not-built-yet", "concurrency is not built yet", "leave it out")
        fields.only(known, aside=("concurrency",))

    def _kind(self, fields: Fields) -> StepKind:
        stated = fields.one_of("kind", StepKind)
        if stated is not None:
            return StepKind(stated)
        # An unreadable kind has its fault; as a readonly step it does not get another for having no way back.
        undoable = fields.has("compensation") or fields.has("irreversible")
        return StepKind.READONLY if fields.has("kind") and not undoable else StepKind.COMPENSATABLE

    def _when(self, fields: Fields) -> str | None:
        when = fields.text("when", query.expression_chars_max)
        if when is None:
            return None
        try:
            query.read(when)
        except InvalidExpression as error:
            fields.fault("bad-expression", f"when: {error}", "write JMESPath over {input, steps} that gives true")
            return None
        return when

    def _retry(self, fields: Fields, key: str, default: RetryPolicy, label: str) -> RetryPolicy:
        value = fields.object(key)
        if value is None:
            return default
        inner = Fields(value, self._faults, label, f"{key}.")
        inner.only(retry_keys)
        first = inner.seconds("first", default.first_seconds, 0.0, timeout_seconds_max)
        cap = inner.seconds("cap", max(default.cap_seconds, first), 0.0, timeout_seconds_max)
        if inner.has("cap") and cap < first:
            inner.fault("bad-value", f"{key}.cap is below {key}.first", "no wait is longer than the cap: raise it")
        return RetryPolicy(
            max_attempts=inner.whole("max_attempts", default.max_attempts, 1, max_attempts_max),
            first_seconds=first,
            factor=inner.number("factor", default.factor, 1.0, factor_max),
            cap_seconds=cap,
            jitter=inner.number("jitter", default.jitter, 0.0, 1.0),
            give_up_on=frozenset(inner.texts("give_up_on", give_up_on_max, error_type_chars_max)),
        )

    def _schema(self, fields: Fields, key: str) -> dict[str, Any] | None:
        schema = fields.object(key)
        if schema is not None and self._schema_fault is not None:
            reason = self._schema_fault(schema)
            if reason is not None:
                hint = "write a JSON Schema that refers to nothing outside itself"
                fields.fault("bad-schema", f"{key}: {reason}", hint)
        return schema

    def _optional_seconds(self, fields: Fields, key: str, most: float) -> float | None:
        if not fields.has(key):
            return None
        return fields.seconds(key, most, duration_seconds_min, most)
