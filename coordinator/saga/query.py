"""JMESPath, kept within bounds: expressions that parse, end, and give JSON.

The library is total, but not bounded: `[@,@] | [@,@] | …` doubles its value with every stage, `join` can build
gigabytes, a comparison of unlike types raises a bare TypeError, and unknown functions are noticed only when they are
called. Here an expression is checked whole when it is read, its work is counted while it runs, and whatever goes
wrong becomes one of two errors: `InvalidExpression` when it is read, `UnresolvedReference` when it runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from coordinator.errors import InvalidExpression, UnresolvedReference

expression_chars_max = 1_000
nesting_max = 32  # brackets within brackets
depth_max = 64  # levels of the parsed expression; each costs the interpreter a few Python frames
work_units_max = 200_000  # one unit: a visited node, a value built, or `text_chars_per_unit` characters built
text_chars_per_unit = 8
reason_chars_max = 200

# Everything an expression can raise on a value it did not expect. MemoryError is not among them: the work is counted.
Failures = (JMESPathError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)

Node = Any  # a dict of type, value and children; a slice's children are numbers

# Of these, only the first child is evaluated on the whole value, the others on the first's result.
evaluated_in_turn = frozenset(
    {"subexpression", "index_expression", "pipe", "projection", "value_projection", "filter_projection"}
)


class TooMuchWork(ValueError):
    """The expression does not end within its bounds."""

    def __init__(self) -> None:
        super().__init__("the expression builds or visits too much")


@lru_cache(maxsize=1024)
def read(expression: str) -> Node:
    """The parsed expression. Raises InvalidExpression if it does not parse or names an unknown function."""
    if len(expression) > expression_chars_max:
        raise InvalidExpression(expression[:60] + "…", f"longer than {expression_chars_max} characters")
    if nesting(expression) > nesting_max:
        raise InvalidExpression(expression, f"nested deeper than {nesting_max}")
    try:
        root: Node = jmespath.compile(expression).parsed
    except RecursionError as error:
        raise InvalidExpression(expression, "nested too deep") from error
    except (JMESPathError, ValueError) as error:
        raise InvalidExpression(expression, _reason(error, expression)) from error
    for node, depth in _nodes(root):
        if depth > depth_max:
            raise InvalidExpression(expression, f"nested deeper than {depth_max}")
        _check_function(node, expression)
    return root


def search(expression: str, value: Any) -> Any:
    """The expression's result on the value: JSON, always. Raises UnresolvedReference if there is none."""
    root = read(expression)
    try:
        result = _Interpreter().visit(root, value)
        _check_json(result)
    except Failures as error:
        raise UnresolvedReference(expression, f"the expression failed: {_reason(error, expression)}") from error
    return result


def steps_read(expression: str) -> frozenset[str]:
    """The names of steps that an expression over `{input, steps}` reads as `steps.NAME`. A lower bound: `steps.*`
    and names built on the way are not seen."""
    found: set[str] = set()
    waiting = [read(expression)]
    while waiting:
        node = waiting.pop()
        children: list[Node] = [child for child in node["children"] if isinstance(child, dict)]
        first, rest = children[:1], children[1:]
        match node["type"]:
            case "subexpression" if first == [_field("steps")] and rest and rest[0]["type"] == "field":
                found.add(rest[0]["value"])
            case kind if kind in evaluated_in_turn:
                waiting.extend(first)
            case "expref":
                continue
            case _:
                waiting.extend(children)
    return frozenset(found)


def nesting(expression: str) -> int:
    """How many brackets stand within each other, at most; what is quoted does not count."""
    deepest = open_brackets = 0
    for _, character in unquoted(expression):
        if character in "([{":
            open_brackets += 1
            deepest = max(deepest, open_brackets)
        elif character in ")]}":
            open_brackets -= 1
    return deepest


def unquoted(expression: str, start: int = 0) -> Iterator[tuple[int, str]]:
    """Each character outside quotes, with its place. JMESPath quotes with ', \" and `, and escapes with \\."""
    quote: str | None = None
    escaped = False
    for place in range(start, len(expression)):
        character = expression[place]
        if quote is None:
            if character in "'\"`":
                quote = character
            else:
                yield place, character
        elif escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == quote:
            quote = None


def _field(name: str) -> Node:
    return {"type": "field", "children": [], "value": name}


def _nodes(root: Node) -> Iterator[tuple[Node, int]]:
    waiting: list[tuple[Node, int]] = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting.extend((child, depth + 1) for child in node["children"] if isinstance(child, dict))


def _check_function(node: Node, expression: str) -> None:
    """The library looks functions up when it calls them; by then a saga would depend on it."""
    if node["type"] != "function_expression":
        return
    name, given = node["value"], len(node["children"])
    known = _Functions.FUNCTION_TABLE.get(name)
    if known is None:
        raise InvalidExpression(expression, f"there is no function {name}()")
    wanted = len(known["signature"])
    variadic = bool(known["signature"]) and known["signature"][-1].get("variadic", False)
    if given < wanted or (given > wanted and not variadic):
        raise InvalidExpression(expression, f"{name}() takes {wanted} argument(s), not {given}")


def _reason(error: Exception, expression: str) -> str:
    first = str(error).split("\n", 1)[0].strip().rstrip(":")[:reason_chars_max]  # it may quote the value, at any length
    if "-" in expression and "'-'" in str(error).replace("-:", "'-'"):
        return f'{first}; quote a name that contains "-", as in steps."charge-card".id'
    return first or type(error).__name__


def _check_json(value: Any) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("the result is not a finite number")
        elif not (item is None or isinstance(item, str | bool | int | float)):
            raise ValueError("the result is an expression, not a value")


class _Functions(Functions):
    """The standard functions; the two that could build any amount of text look before they do."""

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, parts: list[str]) -> str:
        chars = sum(len(part) for part in parts) + len(separator) * len(parts)
        if chars > work_units_max * text_chars_per_unit:
            raise TooMuchWork()
        return separator.join(parts)

    @signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        _check_json(value)
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class _Interpreter(TreeInterpreter):
    """The library's interpreter, which also counts. Only multi-selects and functions can build a value larger than
    what they read, so only their results are measured; everything else costs one unit a visit."""

    def __init__(self) -> None:
        super().__init__(Options(custom_functions=_Functions()))
        self._units_left = work_units_max

    def visit(self, node: Node, *args: Any, **kwargs: Any) -> Any:
        result = super().visit(node, *args, **kwargs)
        self._spend(1)
        if node["type"] in ("multi_select_list", "multi_select_dict", "function_expression"):
            self._measure(result)
        return result

    def _measure(self, value: Any) -> None:
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                self._spend(1 + len(item) // text_chars_per_unit)
            elif isinstance(item, dict):
                self._spend(1 + len(item))
                waiting.extend(item.values())
            elif isinstance(item, list | tuple):
                self._spend(1 + len(item))
                waiting.extend(item)

    def _spend(self, units: int) -> None:
        self._units_left -= units
        if self._units_left < 0:
            raise TooMuchWork()
