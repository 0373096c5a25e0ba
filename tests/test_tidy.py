"""Taste as tests: what ruff, mypy and import-linter can't say about how this house is kept.

Each test gathers everything it finds before it fails, and says where.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

root = Path(__file__).parents[1]
sdk = root / "participants" / "sdk"

file_lines_max = 400
function_lines_max = 60

# Words that say nothing about the thing they name, or that promise to do something later.
banned_suffixes = ("Manager", "Helper", "Base", "Impl", "Util", "Utils")
banned_modules = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
# Python before 3.11.5 goes on behind what the last, failed turn of such a group had read (CPython's issue 106052). An
# atomic group around a greedy one says the same.
possessive_group = re.compile(r"[^(]\)(?:[+*?]|\{{1,2}[0-9,]+\}{1,2})\+")
someones_machine = re.compile(r"(?<![\w.])/(?:home|Users|root|work)/\w")

# What costs a second to import, or what only the composition root may know: who may load it, at the top or lazily.
reserved = {
    "aio_pika": {"amends.rabbitmq"},
    "openai": {"coordinator.diagnosis.llm", "participants.llm"},
    "coordinator.config": {
        "coordinator.app",
        "coordinator.building",
        "coordinator.cli",
        "coordinator.embedded",
        "participants.demo",
    },
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def product_files() -> list[Path]:
    rooms = ("coordinator", "participants", "migrations")
    return sorted(path for room in rooms for path in (root / room).rglob("*.py"))


def all_files() -> list[Path]:
    return product_files() + sorted((root / "tests").rglob("*.py"))


def module_name(path: Path) -> str:
    home = sdk if path.is_relative_to(sdk) else root
    return ".".join(path.relative_to(home).with_suffix("").parts).removesuffix(".__init__")


def where(path: Path, node: ast.AST | None = None) -> str:
    return f"{path.relative_to(root)}:{getattr(node, 'lineno', 1)}"


def imports(path: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Every module a file imports anywhere in it. `from a import b` counts as `a` and as `a.b`."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def belongs(name: str, to: set[str]) -> bool:
    return any(name == owner or name.startswith(f"{owner}.") for owner in to)


def test_there_is_something_to_keep_tidy() -> None:
    assert len(product_files()) > 10


def test_files_are_short_enough_to_read_in_one_sitting() -> None:
    long = {where(path): len(path.read_text("utf-8").splitlines()) for path in product_files()}
    assert {place: lines for place, lines in long.items() if lines > file_lines_max} == {}


def test_functions_fit_on_a_screen() -> None:
    functions = (
        (path, node)
        for path in product_files()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {where(path, node): (node.end_lineno or 0) - node.lineno + 1 for path, node in functions}
    assert {place: lines for place, lines in lengths.items() if lines > function_lines_max} == {}


def test_names_say_what_a_thing_is() -> None:
    vague = [where(path) for path in all_files() if path.stem in banned_modules]
    for path in all_files():
        classes = (node for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef))
        vague += [f"{where(path, node)} {node.name}" for node in classes if node.name.endswith(banned_suffixes)]
    assert vague == []


def test_every_module_says_what_it_is_for() -> None:
    markers = set((root / "tests").rglob("__init__.py"))  # which may be empty
    silent = [path for path in all_files() if path not in markers and not ast.get_docstring(parsed(path))]
    assert [where(path) for path in silent] == []


def test_nothing_is_left_for_later() -> None:
    files = [path for path in all_files() if path != Path(__file__)]
    assert [where(path) for path in files if later.search(path.read_text("utf-8"))] == []


def test_no_group_is_possessive() -> None:
    found = [
        where(path, node)
        for path in all_files()
        if path != Path(__file__)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and possessive_group.search(node.value)
    ]
    assert found == []


def _catches_everything(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(each is None or ast.unparse(each) in ("Exception", "BaseException") for each in kinds)


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass | ast.Continue) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _swallows(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return _catches_everything(handler.type) and all(_does_nothing(statement) for statement in handler.body)


def test_no_error_is_swallowed() -> None:
    swallowed = []
    for path in all_files():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ExceptHandler) and _swallows(node):
                swallowed.append(where(path, node))
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                swallowed += [where(path, node) for kind in node.args if _catches_everything(kind)]
    assert swallowed == []


def test_no_import_is_for_type_checkers_only() -> None:
    assert [where(path, node) for path in all_files() for node, name in imports(path) if "TYPE_CHECKING" in name] == []


def test_the_sagas_rules_need_nothing_but_the_standard_library_and_jmespath() -> None:
    ours = {"coordinator.saga", "coordinator.errors"}
    outside = []
    for path in (root / "coordinator" / "saga").rglob("*.py"):
        for node, name in imports(path):
            top = name.partition(".")[0]
            if not (belongs(name, ours) or top in sys.stdlib_module_names or top in ("__future__", "jmespath")):
                outside.append(f"{where(path, node)} {name}")
    assert outside == []


@pytest.mark.parametrize("module", reserved)
def test_what_is_reserved_is_imported_only_where_it_may_be(module: str) -> None:
    allowed = reserved[module] | {module}
    strangers = {
        where(path, node)
        for path in product_files()
        for node, name in imports(path)
        if belongs(name, {module}) and not belongs(module_name(path), allowed)
    }
    assert strangers == set()


def test_every_module_of_the_coordinator_is_used_by_another() -> None:
    used = {name for path in product_files() for _, name in imports(path)}
    modules = {module_name(path) for path in (root / "coordinator").rglob("*.py") if path.name != "__init__.py"}
    entrances = {"coordinator.cli", "coordinator.embedded", "coordinator.__main__"}
    assert sorted(modules - used - entrances) == []


@pytest.mark.parametrize("path", [root / "coordinator" / "errors.py", sdk / "amends" / "errors.py"], ids=module_name)
def test_the_tree_of_errors_is_complete(path: Path) -> None:
    drawn = ast.get_docstring(parsed(path)) or ""
    errors = [node.name for node in parsed(path).body if isinstance(node, ast.ClassDef) and node.bases]
    assert [name for name in errors if not re.search(rf"\b{name}\b", drawn)] == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    kinds = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".js", ".css", ".html", ".txt", ".life", ".sql", ".mako"}
    skipped = {".venv", "dist", "build", "node_modules"}
    files = [path for path in root.rglob("*") if path.suffix in kinds or path.name in ("Makefile", "Dockerfile", "run")]
    files = [path for path in files if path.is_file() and not skipped & set(path.relative_to(root).parts)]
    assert [where(path) for path in files if someones_machine.search(path.read_text("utf-8"))] == []


def test_make_explains_every_target() -> None:
    makefile = (root / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    explained = set(re.findall(r"^([a-z][a-z-]*):.*## \S", makefile, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
    assert targets == explained == phony


def test_every_folder_of_tests_is_described() -> None:
    described = (root / "tests" / "README.md").read_text("utf-8")
    folders = {path.parent.relative_to(root / "tests").parts[0] for path in (root / "tests").glob("*/*.py")}
    assert [name for name in sorted(folders) if f"`{name}/`" not in described and name != "servers"] == []
