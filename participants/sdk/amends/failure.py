"""An exception as a Failure: its type, its code, what it was raised from, where in the service's own code it arose.

Nothing here may raise: a handler that failed must be answered, whatever its error is made of.
"""

from __future__ import annotations

import asyncio
import math
import sysconfig
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from pydantic import ValidationError

from amends.capture import clean_text
from amends.codes import code_of, quietly
from amends.errors import EffectUnknown, Refused
from amends.message import Failure, Underlying, causes_max, error_chars_max, frames_max

chain_max = 100  # errors looked at, however long the chain is
tracebacks_max = 1000  # frames looked at in one traceback
cause_chars_max = 1000
faults_max = 10
retry_after_seconds_max = 30 * 86_400.0

_packages = ("/site-packages/", "/dist-packages/")
_libraries = tuple(
    f"{Path(folder)}/" for folder in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")} if folder
)
_sdk = f"{Path(__file__).parent}/"


def failure_of(error: BaseException, logs: Iterable[str] = (), *, package: str = "") -> Failure:
    """The error as it travels. `package` is the service's own, if it is installed like a library."""
    chain = _chain(error)
    return Failure(
        type=type_of(error),
        message=said_by(error, error_chars_max),
        logs=tuple(logs),
        code=nearest_code(error),
        causes=tuple(
            Underlying(type=type_of(each), message=said_by(each, cause_chars_max), code=code_of(each))
            for each in _shortened(chain[1:])
        ),
        frames=quietly(partial(_frames, package=package), error, ()),
        retry_after_seconds=next((seconds for seconds in map(_retry_after, chain) if seconds is not None), None),
    )


def nearest_code(error: BaseException) -> str:
    """The code of the error, or of the nearest one beneath it that has any."""
    return next((code for code in map(code_of, _chain(error)) if code), "")


def type_of(error: BaseException) -> str:
    """What rules call it: the name of its class, or what a refusal says of itself."""
    if isinstance(error, Refused | EffectUnknown):
        return clean_text(str(error.error_type), 200)
    return clean_text(type(error).__name__, 200)


def said_by(error: BaseException, chars_max: int) -> str:
    """The error's message. One that can't even say what it is, is answered all the same."""
    return clean_text(quietly(_message, error, "(its message can't be read)"), chars_max)


def _message(error: BaseException) -> str:
    return faults_of(error) if isinstance(error, ValidationError) else str(error)


def faults_of(error: ValidationError, name: str = "") -> str:
    """The first faults of a value, without the value: it may be secret, and the message travels."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)[:faults_max]
    places = (".".join([*([name] if name else []), *(str(part) for part in fault["loc"])]) for fault in faults)
    return "; ".join(f"{place}: {fault['msg']}" for place, fault in zip(places, faults, strict=True))


# --- what it was raised from ------------------------------------------------------------------------------------------


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from. A cancellation is how a timeout is carried out, never what went wrong."""
    return [each for each in _all_of(error) if each is error or not isinstance(each, asyncio.CancelledError)]


def _all_of(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < chain_max:
        seen.add(id(current))
        yield current
        current = quietly(_beneath, current, None)


def _beneath(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    if error.__cause__ is not None:
        return error.__cause__
    # Some libraries hand the error beneath on as an argument, and say that it was raised from None.
    for inner in (*error.args[:1], getattr(error, "reason", None)):
        if isinstance(inner, BaseException):
            return inner
    return None if error.__suppress_context__ else error.__context__


def _shortened(causes: list[BaseException]) -> list[BaseException]:
    """The nearest ones and, above all, the last ones: that is where it began."""
    if len(causes) <= causes_max:
        return causes
    half = causes_max // 2
    return causes[:half] + causes[-(causes_max - half) :]


# --- where it arose ---------------------------------------------------------------------------------------------------


def _frames(error: BaseException, package: str) -> tuple[str, ...]:
    """The innermost of the service's own functions, looked for first where the trouble began."""
    found: dict[str, None] = {}
    for each in reversed(list(_all_of(error))):
        for frame in reversed(list(_stack(each.__traceback__))):
            if len(found) < frames_max and _is_own(frame, package):
                function = frame.f_code.co_qualname.replace("<locals>.", "")
                found[clean_text(f"{frame.f_globals.get('__name__', '?')}:{function}", 200)] = None
    return tuple(found)


def _stack(traceback: TracebackType | None) -> Iterator[FrameType]:
    for _ in range(tracebacks_max):
        if traceback is None:
            return
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _is_own(frame: FrameType, package: str) -> bool:
    """Whether it is the service's own code, and not a library's."""
    place = frame.f_code.co_filename.replace("\\", "/")
    if place.startswith(("<", _sdk)):
        return False
    if any(folder in place for folder in _packages):
        return bool(package) and str(frame.f_globals.get("__name__", "")).partition(".")[0] == package
    return not place.startswith(_libraries)


# --- when to come again -----------------------------------------------------------------------------------------------


def _retry_after(error: BaseException) -> float | None:
    return quietly(_asked_to_wait, error, None)


def _asked_to_wait(error: BaseException) -> float | None:
    stated = _seconds(getattr(error, "retry_after", None), {})
    if stated is not None:
        return stated
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        response = response.get("ResponseMetadata", {}).get("HTTPHeaders")
    for headers in (getattr(response, "headers", response), getattr(error, "headers", None)):
        said = _header(headers, "Retry-After")
        if said is not None:
            return _seconds(said, headers)
    return None


def _header(headers: Any, name: str) -> Any:
    if not hasattr(headers, "get"):
        return None
    found = headers.get(name)
    return headers.get(name.lower()) if found is None else found


def _seconds(said: Any, headers: Any) -> float | None:
    """A number, a timedelta or an HTTP date, which is compared with the answer's own if it has one."""
    if isinstance(said, timedelta):
        said = said.total_seconds()
    if isinstance(said, str) and not said.strip().replace(".", "", 1).isdigit():
        date = _header(headers, "Date")
        now = parsedate_to_datetime(date) if isinstance(date, str) else datetime.now(UTC)
        said = max(0.0, (parsedate_to_datetime(said) - now).total_seconds())
    if said is None or isinstance(said, bool) or not isinstance(said, int | float | str):
        return None
    seconds = float(said)
    return min(seconds, retry_after_seconds_max) if math.isfinite(seconds) and seconds >= 0 else None
