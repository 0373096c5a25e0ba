"""What a failure says: what it was raised from, where it arose, when to come again, and all that of any error."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

import httpx2
import pytest
from pydantic import BaseModel

from amends import Answer, Refused
from amends.failure import failure_of, retry_after_seconds_max
from amends.message import causes_max, frames_max
from tests.sdk.shop import Shop, action, raising


def caught(deed: Any) -> BaseException:
    """The error a function raises, with its traceback."""
    try:
        deed()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def refuse_after(cause: BaseException, *, explicitly: bool = True) -> None:
    try:
        raise cause
    except BaseException as error:
        if explicitly:
            raise Refused("no seat", error_type="NoSeat") from error
        raise Refused("no seat", error_type="NoSeat")  # noqa: B904 - what this is about


@pytest.mark.parametrize("explicitly", [True, False])
def test_a_failure_says_what_it_was_raised_from_and_takes_the_nearest_code(explicitly: bool) -> None:
    failure = failure_of(caught(lambda: refuse_after(ConnectionResetError(104, "reset"), explicitly=explicitly)))
    assert (failure.type, failure.message, failure.code) == ("NoSeat", "no seat", "errno ECONNRESET")
    assert [(cause.type, cause.code) for cause in failure.causes] == [("ConnectionResetError", "errno ECONNRESET")]


def test_what_was_raised_from_none_has_no_causes() -> None:
    def deed() -> None:
        try:
            raise KeyError("secret")
        except KeyError:
            raise Refused("no seat") from None

    assert failure_of(caught(deed)).causes == ()


@pytest.mark.parametrize("hidden", [RuntimeError(OSError(28, "disk full")), URLError(OSError(28, "disk full"))])
def test_an_error_that_another_one_carries_lies_beneath_it(hidden: Exception) -> None:
    failure = failure_of(hidden)
    assert failure.code == "errno ENOSPC"
    assert [cause.type for cause in failure.causes] == ["OSError"]


def test_of_a_group_the_first_is_the_cause() -> None:
    async def deed() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(OSError(28, "disk full")))
            group.create_task(asyncio.Event().wait())

    async def fail(error: Exception) -> None:
        raise error

    failure = failure_of(caught(lambda: asyncio.run(deed())))
    assert (failure.type, failure.code) == ("ExceptionGroup", "errno ENOSPC")
    assert [cause.message for cause in failure.causes] == ["[Errno 28] disk full"]


def test_a_long_chain_keeps_its_beginning_and_where_the_trouble_began() -> None:
    error: Exception = RuntimeError("0")
    for number in range(1, 500):
        outer = RuntimeError(str(number))
        outer.__cause__ = error
        error = outer
    messages = [cause.message for cause in failure_of(error).causes]
    assert len(messages) == causes_max
    assert messages[:2] == ["498", "497"]


def test_causes_that_go_in_a_circle_are_told_once() -> None:
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert [cause.message for cause in failure_of(first).causes] == ["second"]


def test_frames_are_the_services_own_and_begin_where_the_trouble_did() -> None:
    failure = failure_of(caught(lambda: order_seats("{")))
    here = __name__
    assert failure.frames[:2] == (f"{here}:read_seats", f"{here}:order_seats")
    assert len(failure.frames) == frames_max
    assert not [frame for frame in failure.frames if frame.startswith(("json", "amends"))]


def order_seats(text: str) -> None:
    try:
        read_seats(text)
    except ValueError as error:
        raise Refused("unreadable") from error


def read_seats(text: str) -> Any:
    return json.loads(text)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[ModuleType]:
    """A service that was installed with pip, as in most images."""
    home = tmp_path / "site-packages" / "theatre"
    home.mkdir(parents=True)
    (home / "__init__.py").write_text("def book():\n    raise RuntimeError('no')\n")
    sys.path.insert(0, str(home.parent))
    try:
        import theatre  # type: ignore[import-not-found]

        yield theatre
    finally:
        sys.path.remove(str(home.parent))
        sys.modules.pop("theatre", None)


def test_a_service_that_is_installed_like_a_library_has_frames_of_its_own(installed: ModuleType) -> None:
    error = caught(installed.book)
    assert "theatre:book" not in failure_of(error, package="shop").frames
    assert failure_of(error, package="theatre").frames[0] == "theatre:book"


class Waits(Exception):
    """An error that says when to come again."""

    def __init__(self, retry_after: Any = None, headers: Any = None) -> None:
        super().__init__("later")
        self.retry_after = retry_after
        self.response = httpx2.Response(429, headers=headers)


def at(seconds: float) -> str:
    return format_datetime(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Waits(2), 2.0),
        (Waits("2.5"), 2.5),
        (Waits(timedelta(minutes=1)), 60.0),
        (Waits(headers={"Retry-After": "30"}), 30.0),
        (Waits(headers={"Retry-After": at(90), "Date": at(0)}), 90.0),
        (Waits(headers={"Retry-After": at(0), "Date": at(90)}), 0.0),
        (Waits(1e12), retry_after_seconds_max),
        (Waits(headers={"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}), 0.0),
        (Waits(headers={"Retry-After": "when it suits you"}), None),
        (Waits(-1), None),
        (Waits(float("nan")), None),
        (Waits(True), None),
        (Waits(object()), None),
        (Waits(), None),
        (ValueError(), None),
    ],
)
def test_when_to_come_again_is_read_as_it_is_written(error: Exception, seconds: float | None) -> None:
    assert failure_of(error).retry_after_seconds == seconds


def test_when_to_come_again_may_be_said_by_a_cause() -> None:
    throttled = {"ResponseMetadata": {"HTTPHeaders": {"retry-after": "7"}}}
    cause = type("ClientError", (Exception,), {"response": throttled})()
    assert failure_of(caught(lambda: refuse_after(cause))).retry_after_seconds == 7.0


class Guests(BaseModel):
    guests: int


def test_a_value_that_does_not_fit_is_not_quoted() -> None:
    failure = failure_of(caught(lambda: Guests.model_validate({"guests": "secret"})))
    assert "guests: Input should be a valid integer" in failure.message
    assert "secret" not in failure.message


class Hostile(Exception):
    """It raises whatever it is asked."""

    def __str__(self) -> str:
        raise RuntimeError("asked")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"asked for {name}")


@pytest.mark.parametrize("effects", ["transactional", "external"])
async def test_an_error_that_cannot_be_asked_anything_is_answered_all_the_same(shop: Shop, effects: Any) -> None:
    @shop.participant.action("hostile", effects=effects)
    async def handle() -> None:
        raise Hostile

    reply = await shop.participant.answer(action(handler="hostile"))
    assert reply.answer is Answer.FAILED
    assert reply.error is not None
    assert (reply.error.type, reply.error.message) == ("Hostile", "(its message can't be read)")


async def test_what_an_error_says_is_bounded_and_may_travel(shop: Shop) -> None:
    error = RuntimeError("\x00\ud800" + "x" * 100_000)
    error.__cause__ = ValueError("y" * 100_000)
    shop.charges.append(raising(error))
    reply = await shop.participant.answer(action())
    assert reply.error is not None
    assert reply.error.message.startswith("\ufffd?xxx")
    assert len(reply.error.causes[0].message) == 1000
