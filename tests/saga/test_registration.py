"""Registration: every rule of a definition, named with its id, its step and a hint; and no JSON it could choke on."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.errors import Fault, InvalidDefinition
from coordinator.saga.definition import RetryPolicy, SagaDefinition, StepKind, Unset, compensation_retry_default
from coordinator.saga.registration import document_bytes_max, read_definition
from coordinator.saga.rules import edges_max
from coordinator.schema import check_schema


def step(name: str, **keys: Any) -> dict[str, Any]:
    """A step that breaks no rule by itself. A key of `...` is taken out."""
    whole = {"name": name, "participant": "payment", "action": "charge", "compensation": "refund", **keys}
    return {key: value for key, value in whole.items() if value is not ...}


def saga(*steps: Any, **keys: Any) -> dict[str, Any]:
    return {"name": "place_order", "steps": list(steps), **keys}


def readonly(name: str, **keys: Any) -> dict[str, Any]:
    return step(name, compensation=..., kind="readonly", **keys)


def pivot(name: str, **keys: Any) -> dict[str, Any]:
    return step(name, compensation=..., kind="pivot", **keys)


def retriable(name: str, **keys: Any) -> dict[str, Any]:
    return step(name, compensation=..., kind="retriable", **keys)


def faults_of(document: Any) -> list[Fault]:
    with pytest.raises(InvalidDefinition) as caught:
        read_definition(document, schema_fault=check_schema)
    return list(caught.value.faults)


def is_accepted(document: Any) -> bool:
    return isinstance(read_definition(document, schema_fault=check_schema), SagaDefinition)


def found_in(document: Any) -> set[tuple[str, str | None]]:
    return {(fault.rule, fault.step) for fault in faults_of(document)}


# --- what is read -----------------------------------------------------------------------------------------------------


def test_a_short_definition_gets_the_defaults() -> None:
    definition = read_definition(saga(step("reserve"), step("charge")))
    assert (definition.name, definition.version, definition.deadline_seconds) == ("place_order", 1, None)
    first, second = definition.steps
    assert (first.after, second.after) == ((), ("reserve",))
    assert isinstance(first.input, Unset)
    assert (first.kind, first.retry, first.compensation_retry) == (
        StepKind.COMPENSATABLE,
        RetryPolicy(),
        compensation_retry_default,
    )
    assert definition.order == ("reserve", "charge")


def test_every_key_is_read() -> None:
    document = saga(
        readonly("look"),
        step("charge", after=[], input={"id": "${input.id}"}, when="input.paid", optional=True, timeout="500ms",
             retry={"max_attempts": 2, "first": "2s", "factor": 3, "cap": "1m", "jitter": 0.5, "give_up_on": ["Gone"]},
             compensation_retry={"max_attempts": 9}, input_schema={"type": "object"}, output_schema={"type": "null"},
             description="charges", type="step", kind="compensatable"),
        step("seal", compensation=..., irreversible="a seal cannot be broken", after=["look", "charge"], input=None),
        deadline="2h", grace=5, retention="7d", tags=["shop", "eu"], input_schema={"type": "object"},
        description="an order", version=7,
    )  # fmt: skip
    definition = read_definition(document, schema_fault=check_schema)
    assert (definition.version, definition.deadline_seconds, definition.grace_seconds) == (7, 7200.0, 5.0)
    assert (definition.retention_seconds, definition.tags) == (604_800.0, ("shop", "eu"))
    charge, seal = definition.by_name["charge"], definition.by_name["seal"]
    assert (charge.after, charge.when, charge.optional, charge.timeout_seconds) == ((), "input.paid", True, 0.5)
    assert charge.retry == RetryPolicy(2, 2.0, 3.0, 60.0, 0.5, frozenset({"Gone"}))
    assert charge.compensation_retry.max_attempts == 9
    assert charge.compensation_retry.cap_seconds == compensation_retry_default.cap_seconds
    assert (seal.irreversible, seal.compensation, seal.input) == ("a seal cannot be broken", None, None)


def test_what_was_read_can_be_read_again() -> None:
    first = read_definition(saga(step("a"), step("b"), version=3))
    assert "version" not in first.document
    again = read_definition(dict(first.document), version=first.version)
    assert again == first


def test_the_name_may_come_from_outside_and_must_agree() -> None:
    nameless = {"steps": [step("a")]}
    assert read_definition(nameless, name="place_order").document["name"] == "place_order"
    assert read_definition(saga(step("a")), name="place_order", version=4).version == 4
    with pytest.raises(InvalidDefinition, match="registered as"):
        read_definition(saga(step("a")), name="other")


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [(30, 30.0), (0.5, 0.5), ("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("1.5h", 5400.0), ("7d", 604_800.0)],
)
def test_durations_are_seconds_or_a_text_with_a_unit(stated: Any, seconds: float) -> None:
    assert read_definition(saga(step("a", timeout=stated))).steps[0].timeout_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "stated", ["5 weeks", "", "s", "-1s", "1e3s", "٣s", "5m\n", 0, -1, "0s", "8d", 10**15, True, None, []]
)
def test_other_durations_are_refused(stated: Any) -> None:
    assert found_in(saga(step("a", timeout=stated))) <= {("bad-value", "a"), ("bad-type", "a")}


def test_a_long_first_wait_raises_the_default_cap() -> None:
    assert read_definition(saga(step("a", retry={"first": "5m"}))).steps[0].retry.cap_seconds == 300.0


# --- one test per rule: its shape -------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [None, 1, "x", [], True, [saga(step("a"))]])
def test_bad_type_a_definition_is_an_object(document: Any) -> None:
    assert found_in(document) == {("bad-type", None)}


@pytest.mark.parametrize(
    "keys",
    [{"after": "a"}, {"after": [1]}, {"after": None}, {"optional": "yes"}, {"retry": 3}, {"when": True}, {"kind": 1},
     {"retry": {"max_attempts": "3"}}, {"retry": {"max_attempts": True}}, {"retry": {"max_attempts": 2.0}},
     {"retry": {"factor": "2"}}, {"retry": {"give_up_on": "Gone"}}, {"input_schema": True}, {"irreversible": None}],
)  # fmt: skip
def test_bad_type(keys: dict[str, Any]) -> None:
    assert ("bad-type", "b") in found_in(saga(step("a"), step("b", **keys)))


def test_bad_type_a_step_is_an_object() -> None:
    assert found_in(saga("reserve")) == {("bad-type", "steps[0]")}
    assert found_in({"name": "x", "steps": {"a": 1}}) == {("bad-type", None)}


@pytest.mark.parametrize(
    "keys",
    [{"kind": "read-only"}, {"after": ["a", "a"]}, {"retry": {"max_attempts": 0}}, {"retry": {"max_attempts": 1001}},
     {"retry": {"factor": 0.5}}, {"retry": {"jitter": 1.1}}, {"retry": {"first": "2m", "cap": "1m"}}, {"when": " "},
     {"retry": {"give_up_on": ["x"] * 2}}, {"type": "task"}, {"description": "x" * 2001},
     {"compensation": ..., "irreversible": "x" * 501}, {"irreversible": "as well as its compensation"},
     {"kind": "pivot"}, {"kind": "readonly"}, {"compensation": ..., "irreversible": "", "kind": "retriable"}],
)  # fmt: skip
def test_bad_value(keys: dict[str, Any]) -> None:
    assert found_in(saga(step("a"), step("b", **keys))) == {("bad-value", "b")}


@pytest.mark.parametrize(
    "keys",
    [{"tags": ["x"] * 2}, {"tags": [str(n) for n in range(21)]}, {"tags": ["x" * 65]}, {"deadline": 0},
     {"deadline": "366d"}, {"grace": "8d"}, {"retention": "never"}, {"version": 0}],
)  # fmt: skip
def test_bad_value_of_the_saga(keys: dict[str, Any]) -> None:
    assert found_in(saga(step("a"), **keys)) == {("bad-value", None)}


def test_bad_value_a_retry_policy_without_a_compensation() -> None:
    assert found_in(saga(readonly("a", compensation_retry={"max_attempts": 2}))) == {("bad-value", "a")}


@pytest.mark.parametrize("name", ["", "1a", "a b", "a.b", "ä", "a\n", "a" * 64, 5, None])
def test_bad_name(name: Any) -> None:
    assert found_in(saga(step("a"), name=name)) == {("bad-name", None)}
    assert found_in(saga(step(name))) == {("bad-name", "steps[0]")}
    for key in ("participant", "action", "compensation"):
        assert found_in(saga(step("a", **{key: name}))) == {("bad-name", "a")}


def test_missing_key() -> None:
    assert found_in({"steps": [{"compensation": "undo"}]}) == {("missing-key", None), ("missing-key", "steps[0]")}
    assert len(faults_of({"steps": [{"compensation": "undo"}]})) == 4


def test_unknown_key_in_the_saga_its_steps_and_their_retries() -> None:
    document = saga(step("a", timeuot=3, retry={"retries": 3}), tenant="x")
    assert found_in(document) == {("unknown-key", None), ("unknown-key", "a")}
    hints = [fault.hint for fault in faults_of(document)]
    assert "did you mean 'timeout'?" in hints


@pytest.mark.parametrize("steps", [[], ...])
def test_no_steps(steps: Any) -> None:
    document = {key: value for key, value in {"name": "empty", "steps": steps}.items() if value is not ...}
    assert found_in(document) == {("no-steps", None)}


def test_too_many_steps() -> None:
    assert is_accepted(saga(*(step(f"s{n}", after=[]) for n in range(200))))
    assert found_in(saga(*(step(f"s{n}", after=[]) for n in range(201)))) == {("too-many-steps", None)}


def test_too_large() -> None:
    assert found_in(saga(step("a", input="x" * document_bytes_max))) == {("too-large", None)}


@pytest.mark.parametrize(
    "value", ["\x00", "\ud800", float("nan"), float("inf"), 2**63, {"\x00": 1}, {1: 2}, (1, 2), b"x"]
)
def test_bad_json_what_no_database_keeps(value: Any) -> None:
    assert found_in(saga(step("a", input=[value]))) == {("bad-json", None)}


def test_bad_json_what_is_too_deep_or_too_much() -> None:
    deep: Any = 0
    for _ in range(100_000):
        deep = [deep]
    assert found_in(saga(step("a", input=deep))) == {("bad-json", None)}
    assert found_in(saga(step("a", input=[0] * 60_000))) == {("bad-json", None)}


def test_duplicate_step() -> None:
    assert found_in(saga(step("a"), step("b"), step("a"))) == {("duplicate-step", "a")}


@pytest.mark.parametrize("text", ["${", "${order.id}", "${input.id | a-b}", "${input | nosuch(@)}", "${steps}"])
def test_bad_expression_in_an_input(text: str) -> None:
    assert found_in(saga(step("a", input={"x": [text]}))) == {("bad-expression", "a")}


def test_bad_expression_in_a_key() -> None:
    assert found_in(saga(step("a", input={"${input.id}": 1}))) == {("bad-expression", "a")}


@pytest.mark.parametrize("when", ["input.a ==", "steps.charge-card.ok", "nosuch(@)", "abs(@, @)"])
def test_bad_expression_in_a_when(when: str) -> None:
    assert found_in(saga(step("a", when=when))) == {("bad-expression", "a")}


def test_too_many_references() -> None:
    assert is_accepted(saga(step("a", input="${input.x}" * 100)))
    assert found_in(saga(step("a", input="${input.x}" * 101))) == {("too-many-references", "a")}
    many = saga(*(step(f"s{n}", input="${input.x}" * 100) for n in range(21)))
    assert found_in(many) == {("too-many-references", None)}


@pytest.mark.parametrize("schema", [{"type": "nope"}, {"$ref": "http://example.org/schema"}, {"pattern": "("}])
def test_bad_schema(schema: dict[str, Any]) -> None:
    for key in ("input_schema", "output_schema"):
        assert found_in(saga(step("a", **{key: schema}))) == {("bad-schema", "a")}
    assert found_in(saga(step("a"), input_schema=schema)) == {("bad-schema", None)}


@pytest.mark.parametrize("kind", ["delay", "approval", "saga", "each"])
def test_not_built_yet_step_types(kind: str) -> None:
    assert found_in(saga(step("a"), {"name": "wait", "type": kind, "for": "1h"})) == {("not-built-yet", "wait")}


def test_not_built_yet_concurrency() -> None:
    assert found_in(saga(step("a", concurrency=3), concurrency={"max": 2})) == {
        ("not-built-yet", None),
        ("not-built-yet", "a"),
    }


# --- one test per rule: the graph and what it means -------------------------------------------------------------------


def test_too_many_edges() -> None:
    def with_edges(each: int) -> dict[str, Any]:
        return saga(*(step(f"s{n}", after=[f"s{m}" for m in range(max(0, n - each), n)]) for n in range(200)))

    assert sum(len(before["after"]) for before in with_edges(5)["steps"]) <= edges_max
    assert is_accepted(with_edges(5))
    assert found_in(with_edges(6)) == {("too-many-edges", None)}


def test_self_dependency() -> None:
    assert found_in(saga(step("a", after=["a"]))) == {("self-dependency", "a")}


def test_unknown_step_in_after_input_and_when() -> None:
    assert found_in(saga(step("charge"), step("b", after=["chrage"]))) == {("unknown-step", "b")}
    assert faults_of(saga(step("charge"), step("b", after=["chrage"])))[0].hint == "did you mean charge?"
    assert found_in(saga(step("a"), step("b", input="${steps.c.x}"))) == {("unknown-step", "b")}
    assert found_in(saga(step("a"), step("b", when="steps.c.x"))) == {("unknown-step", "b")}
    assert found_in(saga(step("a", after=["steps[0]"]))) == {("unknown-step", "a")}


def test_cycle() -> None:
    document = saga(step("a", after=["c"]), step("b"), step("c"), step("d"))
    (fault,) = faults_of(document)
    assert fault.rule == "cycle"
    assert set(fault.message.split(": ")[1].split(" -> ")) == {"a", "b", "c"}


def test_cycle_every_circle_is_named_and_hides_no_other_fault() -> None:
    document = saga(
        step("a", after=["b"]), step("b", after=["a"]),
        step("c", after=["d"], compensation=...), step("d", after=["c"], input="${steps.nobody.x}"),
        step("e", after=["d"], input="${steps.c.x}"),
    )  # fmt: skip
    found = faults_of(document)
    assert sum(fault.rule == "cycle" for fault in found) == 2
    assert {(fault.rule, fault.step) for fault in found if fault.rule != "cycle"} == {
        ("no-way-back", "c"),
        ("unknown-step", "d"),
    }


def test_several_pivots_one_after_the_other_or_side_by_side() -> None:
    assert ("several-pivots", "b") in found_in(saga(pivot("a"), pivot("b")))
    assert ("several-pivots", "b") in found_in(saga(pivot("a", after=[]), pivot("b", after=[])))


@pytest.mark.parametrize("keys", [{"optional": True}, {"when": "input.sure"}])
def test_conditional_pivot(keys: dict[str, Any]) -> None:
    assert found_in(saga(step("a"), pivot("b", **keys))) == {("conditional-pivot", "b")}


def test_beside_the_pivot() -> None:
    document = saga(step("a"), pivot("b", after=["a"]), step("c", after=["a"]))
    assert found_in(document) == {("beside-the-pivot", "c")}


def test_after_the_pivot() -> None:
    assert found_in(saga(step("a"), pivot("b"), step("c"))) == {("after-the-pivot", "c")}
    assert is_accepted(saga(step("a"), pivot("b"), retriable("c"), readonly("d"), step("e", kind="retriable")))


def test_no_way_back() -> None:
    assert found_in(saga(step("a", compensation=...))) == {("no-way-back", "a")}
    assert is_accepted(saga(step("a", compensation=..., irreversible="a letter is a letter")))


def test_no_way_back_a_retriable_step_has_one_unless_it_follows_a_pivot() -> None:
    assert found_in(saga(retriable("a"), pivot("b"))) == {("no-way-back", "a")}
    assert found_in(saga(retriable("a"))) == {("no-way-back", "a")}
    assert is_accepted(saga(step("a", kind="retriable"), pivot("b"), retriable("c")))


@pytest.mark.parametrize("keys", [{"when": "input.gift"}, {"optional": True}])
def test_result_may_not_exist_of_a_step_that_may_be_left_out(keys: dict[str, Any]) -> None:
    document = saga(step("wrap", **keys), step("ship", input={"paper": "${steps.wrap.paper}"}))
    assert found_in(document) == {("result-may-not-exist", "ship")}
    assert is_accepted(saga(step("wrap", **keys), step("ship", when="steps.wrap.paper == null")))


def test_result_may_not_exist_of_a_step_that_does_not_come_before() -> None:
    document = saga(step("a"), step("b", after=[], input="${steps.a.x}"), step("c", input="${steps.c.x}"))
    assert found_in(document) == {("result-may-not-exist", "b"), ("result-may-not-exist", "c")}
    assert is_accepted(saga(step("a"), step("b"), step("c", input="${steps.a.x}")))


def test_result_may_not_exist_in_a_when_that_would_always_read_null() -> None:
    document = saga(step("a"), step("b", after=[], when="steps.a.x == `1`"), step("c", when="steps.c.x"))
    assert found_in(document) == {("result-may-not-exist", "b"), ("result-may-not-exist", "c")}


def test_deadline_too_short() -> None:
    retry = {"max_attempts": 3, "first": 10, "factor": 2, "jitter": 0}
    assert is_accepted(saga(step("a", timeout=10, retry=retry), deadline=60))  # 3 x 10 and 10 + 20
    assert found_in(saga(step("a", timeout=10, retry=retry), deadline=59)) == {("deadline-too-short", "a")}
    assert found_in(saga(step("a", timeout=10, retry={**retry, "jitter": 0.5}), deadline=60)) == {
        ("deadline-too-short", "a")
    }


def test_deadline_too_short_even_where_a_power_would_overflow() -> None:
    retry = {"max_attempts": 1000, "factor": 100}
    assert found_in(saga(step("a", retry=retry), deadline="1d")) == {("deadline-too-short", "a")}
