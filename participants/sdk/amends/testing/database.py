"""A database for the length of a test: an SQLite file that goes when the test ends."""

from __future__ import annotations

