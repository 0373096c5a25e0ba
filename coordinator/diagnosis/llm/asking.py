"""One request to a model, bounded in time and size, over any server that speaks OpenAI's way.

The `openai` library carries it (addresses, keys, errors by status); the answer is read here, piece by piece up to a
bound, because servers send pages, floods and half sentences, and none of that may become an exception nobody expects.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from amends.errors import PayloadError
from amends.payload import parse

answer_bytes_max = 128 * 1024
retry_after_seconds_max = 600.0

Api = Literal["chat", "responses"]


class Rung(StrEnum):
    """How the model is told the form of its answer. Many servers refuse the better ways, or take no notice of them."""

    SCHEMA = "schema"
    OBJECT = "object"
    PLAIN = "plain"


class Trouble(StrEnum):
    """Why there is no answer."""

    FORM_REFUSED = "form_refused"  # the server doesn't know this way of asking: try the next
    NOT_ALLOWED = "not_allowed"  # key, permission, no such model: it won't be different soon
    TOO_MANY = "too_many"  # rate or quota
    FAILED = "failed"  # the server did
    UNREACHABLE = "unreachable"
    TOO_LATE = "too_late"
    TOO_LONG = "too_long"
    UNREADABLE = "unreadable"  # an answer, but not of this API
    REFUSED = "refused"  # the model would not
    CUT_OFF = "cut_off"


@dataclass(frozen=True)
class Endpoint:
    """Where the model is. `base_url` None: OpenAI's own. A server of one's own needs no key."""

    model: str
    base_url: str | None = None
    api_key: str | None = None
    api: Api = "chat"


@dataclass(frozen=True)
class Answer:
    """What came back: text, or the trouble. Tokens are 0 where the server doesn't count them."""

    text: str = ""
    trouble: Trouble | None = None
    detail: str = ""
    finish_reason: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    retry_after_seconds: float | None = None


async def ask(
    endpoint: Endpoint,
    *,
    instructions: str,
    messages: tuple[tuple[str, str], ...],
    schema: Mapping[str, Any],
    rung: Rung,
    tokens_max: int,
    seconds: float,
) -> Answer:
    """Ask once. `messages` are (role, text). Never raises but CancelledError; ends within `seconds`."""
    import openai  # most of a second to load, which only those pay who have a model

    told = instructions if rung is Rung.SCHEMA else f"{instructions}\nThe schema:\n{json.dumps(schema)}"
    body = _chat(endpoint, told, messages, schema, rung, tokens_max)
    if endpoint.api == "responses":
        body = _responses(endpoint, told, messages, schema, rung, tokens_max)
    try:
        # The library's own timeout is of each read: a server that drips would be listened to for ever.
        async with (
            asyncio.timeout(seconds),
            openai.AsyncOpenAI(
                base_url=endpoint.base_url, api_key=endpoint.api_key or "none", timeout=seconds, max_retries=0
            ) as client,
        ):
            create: Any = client.responses if endpoint.api == "responses" else client.chat.completions
            async with create.with_streaming_response.create(**body) as response:
                raw = bytearray()
                async for piece in response.iter_bytes():
                    raw += piece
                    if len(raw) > answer_bytes_max:
                        return Answer(trouble=Trouble.TOO_LONG, detail=f"more than {answer_bytes_max} bytes")
    except TimeoutError:
        return Answer(trouble=Trouble.TOO_LATE, detail=f"no whole answer within {seconds:g} s")
    except openai.APIStatusError as error:
        return _of_status(error, rung)
    except openai.APITimeoutError:
        return Answer(trouble=Trouble.TOO_LATE, detail=f"silent for {seconds:g} s")
    except Exception as error:
        # A connection that is refused, or cut in the middle of a body, reaches us as whatever the library, or the
        # transport below it, calls that. No such name is worth a report.
        return Answer(trouble=Trouble.UNREACHABLE, detail=f"{type(error).__name__}: {error}"[:300])
    return read(bytes(raw), endpoint.api)


def _of_status(error: Any, rung: Rung) -> Answer:
    status = int(error.status_code)
    detail = f"{status}: {error.message}"[:300]
    if status in (400, 415, 422) and rung is not Rung.PLAIN:
        return Answer(trouble=Trouble.FORM_REFUSED, detail=detail)
    if status == 429:
        return Answer(trouble=Trouble.TOO_MANY, detail=detail, retry_after_seconds=_retry_after(error.response.headers))
    if status >= 500 or status == 408:
        return Answer(trouble=Trouble.FAILED, detail=detail)
    return Answer(trouble=Trouble.NOT_ALLOWED, detail=detail)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return min(max(0.0, float(headers.get("retry-after", ""))), retry_after_seconds_max)
    except ValueError:  # absent, or a date: then our own pause serves
        return None


def _chat(
    endpoint: Endpoint,
    told: str,
    messages: tuple[tuple[str, str], ...],
    schema: Mapping[str, Any],
    rung: Rung,
    tokens_max: int,
) -> dict[str, Any]:
    said = [{"role": role, "content": text} for role, text in (("system", told), *messages)]
    body: dict[str, Any] = {"model": endpoint.model, "messages": said}
    # OpenAI's newer models know only the one word for this bound, many other servers only the older.
    body["max_completion_tokens" if endpoint.base_url is None else "max_tokens"] = tokens_max
    if rung is Rung.SCHEMA:
        form = {"name": "diagnosis", "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    elif rung is Rung.OBJECT:
        body["response_format"] = {"type": "json_object"}
    return body


def _responses(
    endpoint: Endpoint,
    told: str,
    messages: tuple[tuple[str, str], ...],
    schema: Mapping[str, Any],
    rung: Rung,
    tokens_max: int,
) -> dict[str, Any]:
    said = [{"role": role, "content": text} for role, text in messages]
    body: dict[str, Any] = {"model": endpoint.model, "instructions": told, "input": said, "store": False}
    body["max_output_tokens"] = tokens_max
    if rung is Rung.SCHEMA:
        form = {"type": "json_schema", "name": "diagnosis", "strict": True, "schema": schema}
        body["text"] = {"format": form}
    elif rung is Rung.OBJECT:
        body["text"] = {"format": {"type": "json_object"}}
    return body


def read(raw: bytes, api: Api) -> Answer:
    """The text of an answer, however oddly it is wrapped. Shapes that no server should send are UNREADABLE."""
    try:
        value = parse(raw)
        return (_read_responses if api == "responses" else _read_chat)(value)
    except PayloadError as error:
        return Answer(trouble=Trouble.UNREADABLE, detail=str(error)[:300])
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        return Answer(trouble=Trouble.UNREADABLE, detail=f"not an answer of this API ({type(error).__name__})")


def _read_chat(value: Any) -> Answer:
    choice, usage = value["choices"][0], value.get("usage") or {}
    message, finish = choice["message"], str(choice.get("finish_reason") or "")[:40]
    counted = Answer(
        finish_reason=finish,
        tokens_in=_count(usage, "prompt_tokens"),
        tokens_out=_count(usage, "completion_tokens"),
    )
    if message.get("refusal") or finish == "content_filter":
        return replace(counted, trouble=Trouble.REFUSED)
    if finish == "length":
        return replace(counted, trouble=Trouble.CUT_OFF)
    return _text(message["content"], counted)


def _read_responses(value: Any) -> Answer:
    usage = value.get("usage") or {}
    status = str(value.get("status") or "completed")[:40]
    counted = Answer(
        finish_reason=status,
        tokens_in=_count(usage, "input_tokens"),
        tokens_out=_count(usage, "output_tokens"),
    )
    parts = [part for item in value["output"] if item.get("type") == "message" for part in item["content"]]
    if any(part.get("type") == "refusal" for part in parts):
        return replace(counted, trouble=Trouble.REFUSED)
    if status == "incomplete":
        return replace(counted, trouble=Trouble.CUT_OFF)
    return _text("".join(part["text"] for part in parts if part.get("type") == "output_text"), counted)


def _text(content: Any, counted: Answer) -> Answer:
    if not isinstance(content, str) or not content.strip():
        return replace(counted, trouble=Trouble.UNREADABLE, detail="no text in it")
    return replace(counted, text=content)


def _count(usage: Any, name: str) -> int:
    found = usage.get(name) if isinstance(usage, dict) else None
    return found if isinstance(found, int) and 0 <= found < 10_000_000 else 0


def json_of(text: str) -> str:
    """The JSON in an answer: all of it, or what stands in its fence, or from its first brace to its last."""
    fenced = re.search(r"```(?:json)?\s*\n?(.*?)```", text, re.DOTALL)
    inner = (fenced[1] if fenced else text).strip()
    first, last = inner.find("{"), inner.rfind("}")
    return inner[first : last + 1] if 0 <= first < last else inner
