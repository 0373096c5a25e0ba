"""What the model may answer: ids of the pack and short prose. Nothing in it is free in form but sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(max_length=16)]
# Longer than a claim may be, so that a long sentence costs itself and not the whole draft.
Sentence = Annotated[str, StringConstraints(max_length=2000)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Said(_Part):
    """A sentence, and the evidence it rests on."""

    text: Sentence
    evidence: Annotated[tuple[Id, ...], Field(max_length=40)]


class SaidClaim(Said):
    kind: Literal["observation", "inference", "impact"]


class Draft(_Part):
    """One answer. Every field is required and none is a free object: what strict JSON Schema of all servers can say."""

    verdict: Id  # "H1" …, or "none"
    headline: Said
    claims: Annotated[tuple[SaidClaim, ...], Field(max_length=12)]
    chain: Annotated[tuple[Said, ...], Field(max_length=8)]
    advice: Annotated[tuple[Said, ...], Field(max_length=6)]
    remedies: Annotated[tuple[Id, ...], Field(max_length=12)]  # "A1" …, the most useful first
    evidence_looks_tampered: bool


def schema() -> Mapping[str, Any]:
    """The draft's JSON Schema in the strict subset: no references, no defaults, no lengths, nothing further."""
    said = _object(text={"type": "string"}, evidence={"type": "array", "items": {"type": "string"}})
    claim = _object(
        kind={"type": "string", "enum": ["observation", "inference", "impact"]},
        text={"type": "string"},
        evidence={"type": "array", "items": {"type": "string"}},
    )
    return _object(
        verdict={"type": "string"},
        headline=said,
        claims={"type": "array", "items": claim},
        chain={"type": "array", "items": said},
        advice={"type": "array", "items": said},
        remedies={"type": "array", "items": {"type": "string"}},
        evidence_looks_tampered={"type": "boolean"},
    )


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
