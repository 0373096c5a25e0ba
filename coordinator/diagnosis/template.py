"""Stub."""

import hashlib

from coordinator.saga.event import Failure


def template_of(text: str) -> str:
    return text[:500]


def fingerprint(*, definition: str, step: str, kind: str, failure: Failure | None, cause: str) -> str:
    return hashlib.sha1(
        f"{definition} {step} {kind} {failure and (failure.type, failure.code)} {cause}".encode()
    ).hexdigest()


def family(*, participant: str, failure: Failure | None, cause: str) -> str:
    return f"{participant}:{failure.code or failure.type if failure else ''}:{cause}"[:200]
