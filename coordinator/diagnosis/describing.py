"""A failure in the form in which it is kept: masked, redacted, with the keys by which it is grouped.

To read an error takes a millisecond, and when much fails, thousands fail in much the same words. So words that differ in
nothing but long numbers are read once; and of one batch only so many are read at all: the others are taken to be
what the last of that kind was, from the same step, of the same type, with the same code.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from coordinator.diagnosis.failures import Noticed
from coordinator.diagnosis.template import family, fingerprint, template_of
from coordinator.saga.event import Failure
from coordinator.store.observed import FailedStep

words_kept = 1_000
read_max = 100  # errors of one batch that are read anew

# Longer than any code that tells one kind of error from another.
_long_numbers = re.compile(r"[0-9a-fA-F]*[0-9][0-9a-fA-F-]{7,}|[0-9]{6,}")


@dataclass(frozen=True, slots=True)
class _Words:
    """What is kept of the words that a failure came in."""

    error_type: str
    code: str
    template: str
    fingerprint: str
    family: str


class Describing:
    """Remembers what it has read."""

    def __init__(self) -> None:
        self._exact: OrderedDict[Hashable, _Words] = OrderedDict()
        self._alike: OrderedDict[Hashable, _Words] = OrderedDict()
        self._read = 0

    def begin(self) -> None:
        """A new batch."""
        self._read = 0

    def describe(self, one: Noticed, silence: str | None) -> FailedStep:
        """A failure as it is kept. `silence` says what is known of why nobody answered, of one that is silent."""
        words = self._words(one, silence)
        return FailedStep(
            saga_id=one.saga_id,
            step=one.step,
            kind=one.kind.value,
            at=one.at,
            definition=one.definition,
            version=one.version,
            participant=one.participant,
            cause=one.cause,
            error_type=words.error_type,
            code=words.code,
            template=words.template,
            fingerprint=words.fingerprint,
            family=words.family,
            worker=one.worker,
            worker_version=one.worker_version,
            attempts=one.attempts,
            business_key=one.business_key,
        )

    def _words(self, one: Noticed, silence: str | None) -> _Words:
        failure = one.failure
        place = (one.definition, one.step, one.kind, one.cause, silence)
        alike = (*place, failure.type, failure.code, failure.frames) if failure else place
        exact = (*alike, _plain(failure)) if failure else place
        known = self._exact.get(exact)
        if known is None and self._read >= read_max:
            known = self._alike.get(alike)
        if known is None:
            self._read += 1
            known = _read(one, silence)
        for memory, key in ((self._exact, exact), (self._alike, alike)):
            memory[key] = known
            memory.move_to_end(key)
            if len(memory) > words_kept:
                memory.popitem(last=False)
        return known


def _plain(failure: Failure) -> Hashable:
    """The words of an error without what differs from one to the next."""
    causes = tuple((cause.type, cause.code, _long_numbers.sub("0", cause.message)) for cause in failure.causes)
    return (_long_numbers.sub("0", failure.message), causes)


def _read(one: Noticed, silence: str | None) -> _Words:
    failure = one.failure
    told = None if silence else failure  # what is known of a silence tells more than that it is one
    cause = silence or one.cause
    if told is None and silence is None:
        grouped = f"{one.participant}:{one.cause}"  # a deadline, a zombie: nobody was silent
    else:
        grouped = family(participant=one.participant, failure=told, cause=cause)
    return _Words(
        error_type=template_of(failure.type) if failure else "",
        code=template_of(failure.code) if failure and failure.code else "",
        template=template_of(failure.message or failure.type) if failure else one.cause.replace("_", " "),
        fingerprint=fingerprint(
            definition=one.definition, step=one.step, kind=one.kind.value, failure=told, cause=cause
        ),
        family=grouped,
    )
