"""Values out of a saga's input and results: what `${…}` and `when` give, and what they refuse."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.errors import InvalidExpression, UnresolvedReference
from coordinator.saga import query
from coordinator.saga.definition import Step
from coordinator.saga.expression import Reference, is_true, references, rendered_chars_max, resolve, step_data

SCOPE: dict[str, Any] = {
    "input": {
        "sku": "A-1",
        "total": 12.5,
        "express": True,
        "note": None,
        "lines": [{"sku": "a", "count": 1}, {"sku": "b", "count": 2}],
        "0": "a key that looks like an index",
        "first-name": "Ada",
    },
    "steps": {"charge-card": {"charge_id": 77}, "ship": None, "list": [[1, 2], [3]]},
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ("${input.sku}", "A-1"),
        ("${input.total}", 12.5),
        ("${input.express}", True),
        ("${input.lines}", SCOPE["input"]["lines"]),
        ("${input}", SCOPE["input"]),
        ("${steps.charge-card}", {"charge_id": 77}),
        ("${steps.charge-card.charge_id}", 77),
        ("${ input.first-name }", "Ada"),
    ],
)
def test_a_string_that_is_one_reference_keeps_the_values_type(mapping: str, expected: Any) -> None:
    assert resolve(mapping, SCOPE) == expected
    assert type(resolve(mapping, SCOPE)) is type(expected)


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ("order ${input.sku}", "order A-1"),
        ("${input.sku}${input.sku}", "A-1A-1"),
        ("${input.total} EUR", "12.5 EUR"),
        ("express: ${input.express}, note: ${input.note}", "express: true, note: null"),
        ("lines ${input.lines.1}", 'lines {"sku":"b","count":2}'),
        (" ${input.total}", " 12.5"),
    ],
)
def test_inside_a_longer_string_strings_stand_as_they_are_and_the_rest_as_json(mapping: str, expected: str) -> None:
    assert resolve(mapping, SCOPE) == expected


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ("$${input.sku}", "${input.sku}"),
        ("$$${input.sku}", "$${input.sku}"),
        ("cost: 5$, {x}, $x, $", "cost: 5$, {x}, $x, $"),
        ("$${a} ${input.sku} $${", "${a} A-1 ${"),
        ("", ""),
    ],
)
def test_two_dollars_before_a_brace_are_a_literal_one(mapping: str, expected: str) -> None:
    assert resolve(mapping, SCOPE) == expected


def test_null_is_a_value_and_missing_is_an_error_that_names_the_path() -> None:
    assert resolve("${input.note}", SCOPE) is None
    assert resolve("${steps.ship}", SCOPE) is None
    with pytest.raises(UnresolvedReference, match=r"input\.nope: input has no 'nope'") as caught:
        resolve({"deep": ["${input.nope}"]}, SCOPE)
    assert caught.value.path == "input.nope"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("${input.note.x}", "input.note is null"),
        ("${input.sku.x}", "input.sku is a str"),
        ("${steps.ship.id}", "steps.ship is null"),
        ("${steps.refund.id}", "the step refund has no result"),
        ("${input.lines.2}", "input.lines has 2 item"),
        ("${input.lines.-1}", "'-1' is not an index"),
        ("${input.lines.sku}", "'sku' is not an index"),
        ("${input.lines.²}", "is not an index"),
        ("${input.lines.99999999999999999999}", "is not an index"),
    ],
)
def test_a_path_that_ends_early_says_where(mapping: str, message: str) -> None:
    with pytest.raises(UnresolvedReference, match=message):
        resolve(mapping, SCOPE)


def test_list_indexes_are_numbers_and_objects_may_have_keys_that_look_like_one() -> None:
    assert resolve("${input.lines.1.sku}", SCOPE) == "b"
    assert resolve("${steps.list.0.1}", SCOPE) == 2
    assert resolve("${input.0}", SCOPE) == "a key that looks like an index"


def test_nested_mappings_are_resolved_and_their_keys_are_literal() -> None:
    mapping = {"a": ["${input.sku}", {"b": "${input.total}"}], "${input.sku}": 1, "n": None, "t": True}
    assert resolve(mapping, SCOPE) == {"a": ["A-1", {"b": 12.5}], "${input.sku}": 1, "n": None, "t": True}


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ("${input.lines | [].sku}", ["a", "b"]),
        ("${input.lines|[0].sku}", "a"),
        ("${input | {id: sku, mark: '}'}}", {"id": "A-1", "mark": "}"}),
        ("${input.lines | sum([].count)} items", "3 items"),
        ('${input | "first-name"}', "Ada"),
        ("${input | nothing}", None),
        ("${steps.charge-card | charge_id || `0`}", 77),
    ],
)
def test_after_a_bar_jmespath_reshapes_the_value(mapping: str, expected: Any) -> None:
    assert resolve(mapping, SCOPE) == expected


@pytest.mark.parametrize(
    "mapping",
    ["${", "a ${input.sku", "${}", "${ }", "${order.sku}", "${steps}", "${steps.}", "${input..sku}", "${input.a b}",
     "${input.lines[0]}", "${input | }", "${input | a-b}", "${input | nosuch(@)}", "${input | abs(@, @)}",
     "${input | " + "(" * 40 + "sku" + ")" * 40 + "}", "${input | " + "!" * 200 + "sku}",
     "${input | '" + "x" * 1500 + "'}", "${input." + "x" * 1500 + "}"],
)  # fmt: skip
def test_what_does_not_parse_is_an_invalid_expression(mapping: str) -> None:
    with pytest.raises(InvalidExpression):
        references(mapping)
    with pytest.raises(UnresolvedReference):
        resolve(mapping, SCOPE)


@pytest.mark.parametrize(
    "reshaping",
    ["length(total)", "sort_by(lines, &@)", "&sku", "to_number('nan')", "to_number('1e999')", "total < sku",
     "lines[::0]", "ceil(to_number('inf'))", "contains(sku, total)", "to_string(&sku)", "keys(note)", "[&sku]"],
)  # fmt: skip
def test_whatever_jmespath_stumbles_over_is_one_error(reshaping: str) -> None:
    with pytest.raises(UnresolvedReference, match="the expression failed"):
        resolve("${input | " + reshaping + "}", SCOPE)


@pytest.mark.parametrize(
    "reshaping",
    ["|".join(["[@,@]"] * 60), "|".join(["[@,@][]"] * 60), "|".join(["join('',[@,@])"] * 40),
     "|".join(["{a:@,b:@}"] * 60), "|".join(["[@,@]"] * 60) + "|to_string(@)"],
)  # fmt: skip
def test_an_expression_that_doubles_its_value_over_and_over_is_stopped(reshaping: str) -> None:
    with pytest.raises(UnresolvedReference, match="builds or visits too much"):
        query.search(reshaping, "abcdefgh")


def test_a_join_is_measured_before_it_is_built() -> None:
    with pytest.raises(UnresolvedReference, match="builds or visits too much"):
        query.search("join(s, l)", {"s": "x" * 200_000, "l": ["y"] * 9_000})


def test_an_expression_may_take_a_long_list_apart() -> None:
    lines = [{"sku": str(n), "count": n, "other": "x"} for n in range(5_000)]
    assert query.search("[].{s: sku, c: count}", lines)[4_999] == {"s": "4999", "c": 4_999}


def test_rendered_text_is_bounded() -> None:
    scope = {"input": "x" * (rendered_chars_max // 2), "steps": {}}
    assert len(resolve("${input} ${input}", scope)) == rendered_chars_max + 1
    with pytest.raises(UnresolvedReference, match="characters of text"):
        resolve(["a ${input}", "b ${input}", "c ${input}"], scope)


def test_a_failure_does_not_quote_a_long_value() -> None:
    with pytest.raises(UnresolvedReference) as caught:
        query.search("abs(@)", "secret" * 10_000)
    assert len(str(caught.value)) < 500


def test_a_step_without_input_gets_the_input_and_every_result_before_it() -> None:
    step = Step("ship", "delivery", "ship")
    assert step_data(step, {"input": {"a": 1}, "steps": {"pay": 2}}) == {"input": {"a": 1}, "steps": {"pay": 2}}


def test_a_step_with_input_gets_just_that_and_null_is_one() -> None:
    assert step_data(Step("ship", "delivery", "ship", input={"id": "${input.sku}"}), SCOPE) == {"id": "A-1"}
    assert step_data(Step("ship", "delivery", "ship", input=None), SCOPE) is None


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("input.express", True),
        ("input.total > `10`", True),
        ("input.total > `100`", False),
        ("input.sku", False),
        ("input.nothing", False),
        ("steps.nothing.here == null", True),
        ('steps."charge-card".charge_id == `77`', True),
        ("length(input.lines) == `2` && !(input.note)", True),
        ("`1`", False),
        ("`true`", True),
        ("'true'", False),
    ],
)
def test_a_step_runs_only_if_when_gives_exactly_true(when: str, expected: bool) -> None:
    assert is_true(when, SCOPE) is expected


def test_a_when_that_fails_on_its_values_is_an_unresolved_reference() -> None:
    with pytest.raises(UnresolvedReference, match="length"):
        is_true("length(input.total) > `1`", SCOPE)


def test_an_unquoted_dash_in_when_is_explained() -> None:
    with pytest.raises(InvalidExpression, match=r'steps\."charge-card"'):
        query.read("steps.charge-card.ok")


def test_references_say_what_a_mapping_reads() -> None:
    mapping = {"a": "${input.sku} and ${steps.charge-card.id.0}", "b": ["$${input.x}", 3, "${steps.ship | [].a}"]}
    assert references(mapping) == [
        Reference("input", None, "input.sku"),
        Reference("steps", "charge-card", "steps.charge-card.id.0"),
        Reference("steps", "ship", "steps.ship", "[].a"),
    ]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("steps.a.ok", {"a"}),
        ('steps.a == `1` && !(steps."b-c".x[0]) || length(steps.d.items[?steps.no]) > `0`', {"a", "b-c", "d"}),
        ("steps.a | steps.no", {"a"}),
        ("[steps.a, {k: steps.b}]", {"a", "b"}),
        ("input.steps.no", set()),
        ("steps.*.x", set()),
        ("map(&steps.no, input.lines)", set()),
        ("input.lines[::2]", set()),
    ],
)
def test_the_steps_a_when_reads_are_known(expression: str, names: set[str]) -> None:
    assert query.steps_read(expression) == names


@settings(deadline=None)
@given(st.text(alphabet="${}|.inputsea -'\"`[]@&!()\\", max_size=60))
def test_any_text_resolves_or_is_an_unresolved_reference(text: str) -> None:
    with contextlib.suppress(UnresolvedReference):
        json.dumps(resolve(text, SCOPE), allow_nan=False)


@settings(deadline=None)
@given(json_values)
def test_a_value_taken_whole_arrives_unchanged(value: Any) -> None:
    assert resolve({"v": "${input}"}, {"input": value, "steps": {}}) == {"v": value}


@settings(deadline=None)
@given(st.text())
def test_text_with_its_references_escaped_stands_as_it_is(text: str) -> None:
    assert resolve(text.replace("${", "$${"), SCOPE) == text
