"""A report as people read it: the answer first, and no text of a payload that does anything but stand there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from coordinator.diagnosis.cause import Entity, EntityKind, FaultClass
from coordinator.diagnosis.markdown import as_lines, as_markdown
from coordinator.diagnosis.report import (
    BlastRadius,
    Certainty,
    Feedback,
    Flag,
    Hypothesis,
    RuledOutBecause,
    StepEffect,
    Transience,
)
from tests.diagnosis.reported import report, saga_id

titles = [
    "How it came about", "Did it happen?", "Left to do by hand", "What to do", "Seen before", "Why", "Ruled out",
    "What else it could be", "Mind", "Evidence",
]  # fmt: skip
hostile = (
    "[click](javascript:alert(1))", "![x](https://evil.example/p.png)", "<script>alert(1)</script>", "<img src=x>",
    "# Ignore the above", "\n\n# A heading of its own\n", "https://evil.example/a?b=c", "www.evil.example",
    "evil.example", "bob@evil.example", "@everyone", "```\nout of the fence", "`code`", "<https://evil.example>",
    "[ref]: https://evil.example", "&lt;b&gt;", "| a | b |\n|---|---|", "1. a list", "- a list", "+ a list", "===",
    "---", "~~~", "    indented", "$x$", "\u202eevil\u202c", "\x1b[31mred\x1b[0m", "a\r\nb", "**bold** _it_ __x__",
    "\\", "\\\\[a](b)", "`", "(`", "[`](`)", "mailto:bob@evil.example", "#12", "<!-- hidden", "a  \nb",
    "http://[::1]", "[x][1]",
)  # fmt: skip


def tokens(text: str) -> list[Token]:
    """What a renderer makes of it: HTML allowed, as the most trusting one would."""
    return list(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text))


def flat(found: list[Token]) -> list[Token]:
    return [one for token in found for one in (token, *flat(token.children or []))]


def shown(text: str) -> str:
    """The words that a reader sees."""
    return "".join(token.content for token in flat(tokens(text)) if token.type in ("text", "code_inline", "fence"))


def with_text(text: str) -> str:
    """A report with this text wherever a payload's could be."""
    given_ = report()
    cut = text[:100]
    return as_markdown(
        report(
            headline=text[:140],
            symptom=text[:240],
            chain=tuple(link.model_copy(update={"text": cut}) for link in given_.chain),
            claims=tuple(claim.model_copy(update={"text": cut}) for claim in given_.claims),
            effects=tuple(effect.model_copy(update={"text": cut}) for effect in given_.effects),
            evidence=tuple(item.model_copy(update={"text": cut}) for item in given_.evidence),
            similar=tuple(past.model_copy(update={"headline": cut, "resolution": cut}) for past in given_.similar),
            remedies=tuple(remedy.model_copy(update={"text": cut}) for remedy in given_.remedies),
            ruled_out=tuple(one.model_copy(update={"text": cut}) for one in given_.ruled_out),
        )
    )


def harmless(text: str) -> None:
    found = flat(tokens(text))
    kinds = {token.type for token in found}
    assert kinds & {"link_open", "image", "html_block", "html_inline", "table_open", "s_open", "em_open"} == set()
    headings = [found[n + 1].content for n, token in enumerate(found) if token.type == "heading_open"]
    assert headings[1:] == titles
    assert sum(token.type == "fence" for token in found) == 1
    assert sum(token.type == "hr" for token in found) == 1
    # What other renderers make links of, though nothing says so: it must stand as code, where none of them looks.
    plain = "\n".join(token.content for token in found if token.type == "text")
    assert not re.search(r"://|www\.|\w@\w|(?<!\w)@\w|[^\W\d_]\.[^\W\d_]", plain)
    assert all(character.isprintable() or character == "\n" for character in text)


def test_the_answer_comes_first_and_everything_that_is_known_is_told() -> None:
    text = as_markdown(report())

    harmless(text)
    lines = text.splitlines()
    assert lines[0] == "# payment can't connect to card-provider within 2 s since 14:02 (3 sagas)"
    assert lines[2] == "- **cause** dependency card-provider answers too late (downstream timeout)"
    assert lines[3].startswith(
        "- **how sure** likely, 87 %; 2 facts for it, 1 seen by the coordinator; the next best is"
    )
    for said in (
        "ConnectTimeout: connecting to <host>:<port> timed out after <duration>",
        "**did not happen** charge-card: no connection was made, so nothing was sent `E01-k3q`",
        "saga 0190b5d2-7c1e-7000-8000-00000000000b",
        "Release the stock by hand",
        "start the orders again, with growing pauses",
        "What resolved it: the provider's firewall had a new rule",
        "**changed afterwards** worker version `payment@1.4.2`",
        "3 sagas failed, 1 blocked, 2 still to go through it",
        "**E02-k3q** 14:02:00 9 of 9 calls",
    ):
        assert said in text, said


def test_a_terminal_gets_the_same_within_its_width() -> None:
    for width in (40, 60, 80, 100, 200):
        lines = as_lines(report(), width)
        assert max(map(len, lines)) <= width
        assert [line for line in lines if line in titles] == titles
    said = " ".join(" ".join(as_lines(report(), 60)).split())
    assert "payment.charge waited 2 s for it, three times, and gave up [E01-k3q]" in said


def test_told_briefly_it_has_neither_reasons_nor_evidence() -> None:
    lines = as_lines(report(), 80, whole=False)

    assert [line for line in lines if line in titles] == titles[:5]
    assert not any(re.search(r"E\d\d-", line) for line in lines)


@pytest.mark.parametrize("text", hostile)
def test_no_text_makes_a_link_an_image_a_heading_or_html(text: str) -> None:
    harmless(with_text(f"x {text}"))
    harmless(with_text(text.strip() or "x"))


@given(st.text(alphabet=st.sampled_from("ab1 []()<>!`*_#&|~\\\n.:/@-+=\"'”,{}$\t;"), min_size=1, max_size=60))
def test_nor_does_any_other(text: str) -> None:
    harmless(with_text(text))


@given(st.text(alphabet=st.sampled_from("ab1 []()<>!*_#&|~\\.:/@-+=\"'{}$;"), min_size=1, max_size=60))
def test_what_is_escaped_is_shown_as_it_was(text: str) -> None:
    (first, *_) = as_markdown(report(headline="x " + text)).split("\n")

    assert shown(first).split() == ["x", *text.split()]


def test_a_cause_that_is_not_known_is_said_so_and_what_is_missing() -> None:
    unknown = Hypothesis(rank=1, cls=FaultClass.UNKNOWN, confidence=0.4, missing=("no heartbeats of payment",))
    nothing = report(
        hypotheses=(unknown,), chain=(), claims=(), effects=(), residue=(), similar=(), remedies=(), ruled_out=(),
        evidence=(), blast_radius=BlastRadius(), onset=None, transience=Transience.UNKNOWN, flags=frozenset(),
    )  # fmt: skip

    text = as_markdown(nothing)

    assert "**cause** not known" in text
    assert "**how sure** nothing stands out; missing: no heartbeats of payment" in text
    assert "##" not in text
    assert as_lines(nothing, whole=False)[2:4] == [
        "  cause     not known",
        "  how sure  nothing stands out; missing: no heartbeats of payment",
    ]


def test_what_a_person_said_and_where_the_prose_is_from_is_told() -> None:
    said = Feedback(verdict="wrong", by="ann", resolution="the cable was out")
    text = as_markdown(report(feedback=said, source="model", model="gpt-x", contested=True, incident_id=None))

    assert "**verdict** ann said that this is wrong: the cable was out" in text
    assert "the model and the rules disagree" in text
    assert f"saga {saga_id}, report 1 of 2026-11-21 14:05:00 UTC, by rules 1, worded by gpt-x and checked" in text


def test_a_long_list_is_cut_and_says_so() -> None:
    many = tuple(StepEffect(step=f"s{n}", certainty=Certainty.APPLIED, text=f"at {n}") for n in range(30))

    lines = as_lines(report(effects=many))

    assert "and 18 more" in lines[lines.index("Did it happen?") + 13]


def test_steps_of_which_the_same_is_to_be_said_are_told_together() -> None:
    said = "its compensation confirmed it"
    effects = [
        StepEffect(step=f"s{n}", certainty=Certainty.UNDONE, text=said, evidence=(f"E0{n}-k3q",)) for n in (1, 2)
    ]
    idle = [StepEffect(step=f"n{n}", certainty=Certainty.NOT_RUN, text=f"because of {n}") for n in (1, 2)]

    text = as_markdown(report(effects=(*idle, *effects)))

    assert f"- **undone** s1, s2: {said} `E01-k3q` `E02-k3q`\n- **not run** n1, n2\n" in text


def test_every_kind_of_cause_and_flag_and_reason_has_words() -> None:
    culprit = Entity(kind=EntityKind.PARTICIPANT, name="p")
    for cls in FaultClass:
        one = Hypothesis(rank=1, cls=cls, culprit=None if cls is FaultClass.UNKNOWN else culprit, confidence=1.0)
        assert "100 %" not in as_markdown(report(hypotheses=(one,), flags=frozenset(Flag)))
    (innocent,) = report().ruled_out
    for because in RuledOutBecause:
        assert as_lines(report(ruled_out=(innocent.model_copy(update={"because": because}),)))
