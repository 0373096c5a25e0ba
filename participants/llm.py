"""The built-in participant `llm`: a step that asks a language model, without code.

    {"name": "classify", "participant": "llm", "action": "ask", "kind": "readonly", "input": {
        "system": "You sort complaints.", "prompt": "${input.text}",
        "json_schema": {"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}}}}

gives `{"text", "json", "model", "mock", "usage"}`. Any server that speaks OpenAI's chat completions will do:
AMENDS_LLM_BASE_URL, AMENDS_LLM_API_KEY, AMENDS_LLM_MODEL. With neither an address nor a key nobody is asked: the answer
is made up, always the same for the same question, and says `"mock": true`.

Asking leaves nothing behind, so the step is `readonly`. The inbox keeps the answer: a repeated command costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncEngine

from amends import Participant, Refused, calling
from amends.inbox import SqlInbox
from participants.knobs import Knobs
from participants.run import Service, main

timeout_seconds_max = 90.0
lease_seconds = 120.0  # of which a handler gets four fifths
tokens_max = 16_384
text_bytes_max = 128 * 1024
retryable = frozenset({408, 409, 425, 429})
sample_depth_max = 8


class UnusableAnswer(Exception):
    """The model answered something else than was asked for. Asked again, it may do better."""


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=200_000)


class Ask(BaseModel):
    """A question: a prompt or a whole conversation, and the form its answer must have."""

    model_config = ConfigDict(extra="forbid")

    prompt: str | None = Field(None, min_length=1, max_length=200_000)
    messages: list[Message] = Field(default_factory=list, max_length=100)
    system: str | None = Field(None, max_length=200_000)
    model: str | None = Field(None, max_length=200)
    json_schema: dict[str, Any] | None = None
    tokens_max: int = Field(1024, gt=0, le=tokens_max)
    timeout_seconds: float = Field(30.0, gt=0, le=timeout_seconds_max)

    @model_validator(mode="after")
    def _one_of_both(self) -> Ask:
        if (self.prompt is None) == (not self.messages):
            raise ValueError("give a prompt or messages, one of both")
        return self

    def conversation(self) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        asked = [message.model_dump() for message in self.messages]
        return [*system, *(asked or [{"role": "user", "content": self.prompt or ""}])]


@dataclass(frozen=True)
class Model:
    """Where the model is. Without an address and a key there is none."""

    base_url: str | None = None
    api_key: str | None = None
    name: str = "gpt-5-mini"

    @classmethod
    def of_environment(cls) -> Model:
        def value(name: str) -> str | None:
            return os.environ.get(f"AMENDS_LLM_{name}") or None

        return cls(value("BASE_URL"), value("API_KEY"), value("MODEL") or cls.name)

    @property
    def absent(self) -> bool:
        return self.base_url is None and self.api_key is None


def build(engine: AsyncEngine, _knobs: Knobs) -> Participant:
    llm = Participant("llm", inbox=SqlInbox(engine), version="1.0.0")
    model = Model.of_environment()

    @llm.action("ask", effects="external", lease_seconds=lease_seconds)
    async def ask(data: Ask) -> dict[str, Any]:
        return invented(data) if model.absent else await answered(data, model)

    return llm


async def answered(data: Ask, model: Model) -> dict[str, Any]:
    """Ask the model. Raises Refused where asking again won't help, UnusableAnswer and openai's errors where it may."""
    import openai  # takes most of a second to load, and most workers never ask

    options: dict[str, Any] = {}
    if data.json_schema is not None:
        form = {"name": "answer", "schema": data.json_schema}
        options["response_format"] = {"type": "json_schema", "json_schema": form}
    name = data.model or model.name
    # OpenAI's newer models know only the one word for this bound, many other servers only the older.
    options["max_completion_tokens" if model.base_url is None else "max_tokens"] = data.tokens_max
    messages: Any = data.conversation()
    async with openai.AsyncOpenAI(
        base_url=model.base_url, api_key=model.api_key or "none", timeout=data.timeout_seconds, max_retries=0
    ) as client:
        try:
            async with calling(client.base_url.netloc.decode("ascii")):
                completion = await client.chat.completions.create(model=name, messages=messages, **options)
        except openai.APIStatusError as error:
            status = error.status_code
            if status < 500 and status not in retryable:
                said = f"{name}: {error.message}"[:2000]
                raise Refused(said, error_type=f"Llm{status}", code=f"http {status}") from error
            raise
    text = _text_of(completion)
    usage = completion.usage
    tokens = {"input": usage.prompt_tokens, "output": usage.completion_tokens} if usage else None
    parsed = None if data.json_schema is None else _parsed(text, data.json_schema)
    return {"text": text, "json": parsed, "model": completion.model or name, "mock": False, "usage": tokens}


def _text_of(completion: Any) -> str:
    """What the model said. Raises Refused when it would not, or was cut off; asked the same, it would be again."""
    if not completion.choices:
        raise UnusableAnswer("the model gave no answer")
    choice = completion.choices[0]
    if choice.message.refusal:
        raise Refused(f"the model refused: {choice.message.refusal}"[:2000], error_type="ModelRefused")
    if choice.finish_reason == "length":
        raise Refused("the answer was cut off: raise tokens_max", error_type="AnswerCutOff")
    text = choice.message.content or ""
    if len(text.encode()) > text_bytes_max:
        raise Refused(f"an answer of more than {text_bytes_max} bytes", error_type="AnswerTooLong")
    return str(text)


def _parsed(text: str, schema: dict[str, Any]) -> Any:
    """The answer as JSON of that schema: not every server keeps to the schema it is given."""
    import jsonschema_rs

    try:
        value = json.loads(text)
    except ValueError as error:
        raise UnusableAnswer(f"not JSON: {text[:200]}") from error
    try:
        jsonschema_rs.validator_for(schema).validate(value)
    except jsonschema_rs.ValidationError as error:
        raise UnusableAnswer(f"not of the schema: {error.message}"[:500]) from error
    except ValueError as error:
        raise Refused(f"json_schema: {error}"[:500], error_type="BadSchema") from error
    return value


def invented(data: Ask) -> dict[str, Any]:
    """An answer made up from the question: the same for the same."""
    asked = data.conversation()
    digest = hashlib.sha256(json.dumps([asked, data.json_schema], sort_keys=True).encode()).hexdigest()[:12]
    parsed = None if data.json_schema is None else sample(data.json_schema)
    text = f"mock answer {digest}" if data.json_schema is None else json.dumps(parsed)
    return {"text": text, "json": parsed, "model": data.model or "mock", "mock": True, "usage": None}


def sample(schema: Any, depth: int = 0) -> Any:
    """A plain value of a plain schema: the first of an enum, the least number, every required property."""
    if not isinstance(schema, dict) or depth > sample_depth_max:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties") or {}
            return {name: sample(properties.get(name), depth + 1) for name in schema.get("required", list(properties))}
        case "array":
            return [sample(schema.get("items"), depth + 1)] * min(int(schema.get("minItems", 0)), 20)
        case "string":
            return "mock".ljust(min(int(schema.get("minLength", 0)), 1000), "-")
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case _:
            return None


llm = Service("llm", build)

if __name__ == "__main__":
    sys.exit(main(llm))
