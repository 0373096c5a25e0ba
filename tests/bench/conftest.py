"""The benchmark silences logging for its process; here it shares one with other tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _logs_again() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)
