"""Golden lives: each `.life` file here is a saga's life, and says what is decided at every turn of it.

`AMENDS_REWRITE_LIVES=1 pytest tests/lives` writes down what follows now. Commit such a change only if you understand
what caused it, and want it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lives.telling import read, tell

lives = sorted(Path(__file__).parent.glob("*.life"))


@pytest.mark.parametrize("path", lives, ids=lambda path: path.stem)
def test_it_goes_as_told(path: Path) -> None:
    life = read(path.read_text())
    told = tell(life)
    if os.environ.get("AMENDS_REWRITE_LIVES"):
        path.write_text(told.written())
    assert path.read_text() == told.written()


def test_there_is_a_life_for_every_case_of_the_core() -> None:
    names = {path.stem.split("-")[0] for path in lives}
    cases = {
        f"ec{number:02}"
        for number in (1, 2, 3, 4, 9, 10, 11, 12, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, *range(26, 33))
    }
    assert cases <= names
