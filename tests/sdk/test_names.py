"""What `amends` exports is loaded when it is asked for, and told to type checkers in full."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import amends
from tests.docs.reading import environment

stub = Path(amends.__file__).with_suffix(".pyi")


def test_every_name_leads_to_what_it_names_and_type_checkers_know_the_same() -> None:
    told = {
        (alias.name, f"{node.module}")
        for node in ast.parse(stub.read_text("utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name for name, _ in told} == set(amends.__all__)
    for name, home in told:
        assert getattr(amends, name) is getattr(sys.modules[home], name)
    assert set(amends.__all__) < set(dir(amends))
    with pytest.raises(AttributeError, match="no attribute 'Worker'"):
        _ = amends.Worker  # type: ignore[attr-defined]


def test_a_client_loads_nothing_of_a_participant() -> None:
    script = "import sys, amends.client; print('pydantic' in sys.modules, 'amends.participant' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
    assert ran.stdout.strip() == "False False", ran.stderr
