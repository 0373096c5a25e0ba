"""Addresses: as they may be shown, without what nobody is to read over a shoulder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from coordinator.config import Settings

_userinfo = re.compile(r"(://[^:/@\s]*:)[^@\s]*@")
_query = re.compile(r"([?&][^=&\s]*(?:pass|secret|token|key)[^=&\s]*=)[^&\s]*", re.IGNORECASE)


def masked(url: str) -> str:
    """A URL without its passwords, whether before the host or in the query."""
    return _query.sub(r"\1***", _userinfo.sub(r"\1***@", url))


def shown(settings: Settings) -> Mapping[str, Any]:
    """The settings in effect, under their variables' names."""
    found: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = "***"
        elif isinstance(value, str):
            value = masked(value)
        found[str(field.validation_alias or f"AMENDS_{name.upper()}")] = value
    return found
