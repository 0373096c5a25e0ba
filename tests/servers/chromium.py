"""A Chromium for the tests that look at the dashboard: one that is installed here, never one that is downloaded."""

from __future__ import annotations

import os
import shutil

from tests.servers.process import ServerUnavailable

names = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

advice = """\
No Chromium is installed here.
Do one of these:
  - set AMENDS_TEST_CHROMIUM to the path of a Chromium or Chrome
  - install the package (chromium), or run as root on Debian or Ubuntu, where `make test` installs it"""


def installed_chromium() -> str | None:
    """The path of a Chromium: the one that AMENDS_TEST_CHROMIUM names, or the first on PATH."""
    given = os.environ.get("AMENDS_TEST_CHROMIUM")
    return given or next((found for name in names if (found := shutil.which(name))), None)


def chromium() -> str:
    """The path of a Chromium. Raises ServerUnavailable."""
    found = installed_chromium()
    if found is None:
        raise ServerUnavailable(advice)
    return found
