"""A coordinator to ask, in the process of the test."""

from tests.web.conftest import site as site
from tests.web.conftest import small_site as small_site
