"""Does a text talk to whoever explains failures, instead of saying what failed? Whoever can make a participant fail can
write such a text; what looks like one is kept from the model, and nothing is done automatically on account of it.

It is read as a person would see it: letters that look like Latin ones are folded, what is invisible is noted and taken
out, what is spelled apart or encoded is put together and decoded, and read again. This is a smoke detector. What makes
an attack harmless is elsewhere: words choose no verdict, and a model can't do anything.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from urllib.parse import unquote

from coordinator.diagnosis.cause import FaultClass
from coordinator.diagnosis.remedy import RemedyKind

text_chars_max = 8_192
encoded_chars_max = 4_096  # of one blob
blobs_max = 8

_invisible = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
# Joiners belong to other scripts and to emoji; between Latin letters nobody writes them.
_hidden = re.compile(
    "[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
    "|(?<=[A-Za-z ])[\u00ad\u200b-\u200f\u2060-\u2064\ufeff](?=[A-Za-z ])"
)
_look_alikes = str.maketrans("аеіорсухѕԁɡһјӏԛԝктмαεινορτυχ", "aeiopcyxsdghjlqwktmaeivoptux")
_mixed_word = re.compile(r"[A-Za-z]{1,20}[\u0370-\u03ff\u0400-\u04ff]|[\u0370-\u03ff\u0400-\u04ff][A-Za-z]{2,20}")
_latin_unit = re.compile(r"\b[kM]?[µμΩΔ][A-Za-z]{0,2}\b")
_digits_as_letters = str.maketrans("013457@$", "oieastas")
_apart = re.compile(r"(?<![A-Za-z])(?:[A-Za-z][ ._\-*]){5,}[A-Za-z](?![A-Za-z])")
_blob = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{24,}={0,2}(?![A-Za-z0-9+/_\-])")
_hexadecimal = re.compile(r"(?<![0-9a-fA-F])(?:[0-9a-fA-F]{2}){16,}(?![0-9a-fA-F])")
_escapes = re.compile(r"(?:\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|&#x?[0-9a-fA-F]{2,5};)")
_prose = re.compile(r"(?<![A-Za-z])[A-Za-z]{2,}+(?: [A-Za-z',.:]{2,}){2,}")

# What only this product says. Of the names of causes that others use too, one alone proves nothing.
_shared_names = frozenset(
    {
        *(FaultClass.RATE_LIMITED, FaultClass.DATA_CONFLICT, FaultClass.UNKNOWN, FaultClass.DOWNSTREAM_TIMEOUT),
        *(FaultClass.LOCK_CONTENTION, FaultClass.BUSINESS_REJECTION, FaultClass.RESOURCE_EXHAUSTION),
        *(FaultClass.DOWNSTREAM_UNAVAILABLE, FaultClass.MISCONFIGURATION, FaultClass.CREDENTIAL_FAILURE),
        *(RemedyKind.THROTTLE, RemedyKind.DRAIN, RemedyKind.WAIT, RemedyKind.REDRIVE, RemedyKind.ROLL_BACK),
        RemedyKind.RETRY_LATER,
    }
)
_names = frozenset(map(str, [*FaultClass, *RemedyKind]))
_own = re.compile(rf"\b(?:{'|'.join(sorted(_names - _shared_names))})\b")
_any_name = re.compile(rf"\b(?:{'|'.join(sorted(name for name in _names if '_' in name))})\b")
_cited = re.compile(
    r"\be[0-9]{2}-[a-z2-7]{3}\b|\b(?:hypothesis|verdict|evidence|choose|pick|select) [\"']?[hcae][0-9]{1,2}\b"
)

_orders = r"(?:instruction|prompt|guideline|direction|directive|evidence|analysis|rules?\b|context|message|constraint)"
_readers = (
    r"(?:ai|llm|language model|model|assistant|analyst|analyser|analyzer|chatbot|gpt|claude|copilot|diagnosis|agent"
    r"|investigator|reviewer|sre|on-?call|incident responder|diagnostic (?:system|engine))"
)
_verdicts = r"(?:root cause|verdict|culprit|diagnosis|conclusion|hypothesis|confidence|remedy|classification)"
_patterns = tuple(
    re.compile(pattern)
    for pattern in (
        # put aside what you were told
        rf"\b(?:ignore|disregard|forget|override|bypass|discard|drop)\b(?: \S{{1,20}}){{0,5}} {_orders}",
        (
            r"\b(?:ignore|disregard|forget) (?:everything|all (?:of )?(?:the )?(?:above|previous|prior)|what "
            r"(?:you|came))"
        ),
        (
            r"\b(?:new|updated|real|actual|following|secret|hidden|additional|revised) (?:instructions?"
            r"|system prompt|orders)\b"
        ),
        r"\b(?:follow|obey|comply with) (?:these|this|my|the following|the new)\b",
        r"\b(?:system|developer) (?:prompt|message|override|instruction|notice|note)\b",
        r"\b(?:prompt|instructions?) (?:above|below|override|injection)\b",
        r"\bjailbreak",
        r"\bdeveloper mode\b",
        r"\bdo anything now\b",
        # you are somebody else
        rf"\byou are (?:now |a |an |the |no longer )(?:\S{{1,20}} ){{0,4}}{_readers}\b",
        (
            rf"\b(?:act|behave|respond|answer|pose) as (?:a |an |the |if )?(?:\S{{1,20}} ){{0,3}}(?:{_readers}"
            rf"|administrator|root)\b"
        ),
        r"\bpretend (?:to be|that|you)",
        r"\broleplay\b",
        r"\bas an ai\b",
        r"\byour (?:task|role|job|goal|instructions?|answer|output|report) (?:is|are|must|should|has)\b",
        # a seat in the conversation
        r"<\|?/?(?:im_start|im_end|system|user|assistant|tool|endoftext|begin_of_text|eot_id)\b[^>]{0,20}\|?>",
        r"\[/?inst\]",
        r"<<sys>>",
        (
            r"(?:^|\n|[.;!#*\]] ?)[#*\[ ]{0,4}(?:system|assistant|human|developer)[\]*]{0,3} ?: ?(?:you|the"
            r"|please|ignore|i |this|all|do|set|mark|report|conclude|from|now|always|never|override|understood"
            r"|sure)"
        ),
        r"\"role\" ?: ?\"(?:system|assistant|user|developer|tool)\"",
        r"(?:^|\n)#{2,} ?(?:system|instruction|response|assistant|task)",
        # to whom it may concern
        (
            rf"\b(?:note|attention|message|hint|memo|dear|hey|hello|important|notice|instructions?)(?: (?:to"
            rf"|for))?:?(?: the| any| all)?(?: \S{{1,20}})? {_readers}s?\b"
        ),
        (
            rf"\b(?:to|for) (?:the|any|whichever) {_readers}s? (?:reading|reviewing|analy[sz]ing|processing|that"
            rf"|who)\b"
        ),
        rf"\b(?:if you are|since you are|when you are) (?:an? |the )?(?:{_readers}|reading|analy[sz]ing)\b",
        # and should say
        (
            rf"\b(?:report|conclude|state|say|answer|respond|output|write|claim|declare|assume|classify|diagnose"
            rf"|label|mark|record|tell|treat|set|assign|attribute|blame)\b(?: \S{{1,24}}){{0,6}}? (?:as )?"
            rf"(?:the |a |an )?{_verdicts}\b"
        ),
        (
            rf"\b(?:the )?(?:real|actual|true|correct|right|only|proven|confirmed|definitive) "
            rf"(?:root )?{_verdicts}\b"
        ),
        (
            rf"\b{_verdicts} (?:is|was|must be|should be|has to be|shall be|equals|to) (?!null|none|required"
            rf"|invalid|missing|unknown\b)"
        ),
        r"\b(?:classify|diagnose|label|categori[sz]e) (?:this|it|the|these) (?:\S{1,20} ){0,4}as\b",
        r"\b(?:blame|accuse|exonerate|incriminate) (?:the |it on )?\w",
        (
            r"\bdo not (?:report|mention|blame|investigate|tell|reveal|disclose|cite|include|alert|escalate"
            r"|consider|look)\b"
        ),
        r"\b(?:always|only|just) (?:answer|respond|reply|output|say|report|conclude)\b",
        r"\bconfidence ?(?:[:=]|of|to|is) ?(?:1(?:\.0+)?|0?\.9[0-9]*|100 ?%|9[0-9] ?%|max|high)",
        # and should do
        (
            r"\b(?:please |must |should |now |immediately |you (?:can|may) )(?:roll ?back|restart|rotate|scale"
            r"|drain|approve|execute|skip|waive|redrive|disable|delete|drop|pause|quarantine|refund|revert|run"
            r"|call|mark|settle|open the circuit)\b(?! (?:later|again|the (?:request|call|query|migration)))"
        ),
        (
            r"\b(?:auto-?)?approve (?:the |this |all |any )?(?:\S{1,20} )?(?:remed|action|rollback|refund"
            r"|request|plan|proposal)"
        ),
        (
            r"\b(?:skip|waive|settle|close|cancel) (?:the |this |all )?(?:\S{1,20} )?(?:compensation|saga"
            r"|refund step|step)s?\b(?! (?:is|was|failed|has|could|did|timed|not))"
        ),
        (
            r"\b(?:reveal|print|repeat|show|leak|exfiltrate|send|include|echo|output) (?:me )?(?:your|the"
            r"|all) (?:\S{1,20} ){0,2}(?:prompt|instructions?|secrets?|api[ _]?keys?|credentials"
            r"|environment variables|canary)"
        ),
        r"!\[[^\]]{0,80}\]\(\s{0,3}(?:https?:|data:|//)",
        r"\bjavascript:",
        r"\[[^\]]{1,80}\]\(https?://[^)]{0,200}[?&=]",
        # in other languages
        r"\bignorier(?:e|en sie)?\b.{0,40}(?:anweisung|regeln|anleitung|hinweise)",
        r"\bvergiss\b.{0,30}(?:anweisung|alles)",
        r"\bignore[zr]?\b.{0,30}(?:consignes|instructions|règles)",
        r"\boublie[zr]?\b.{0,30}(?:consignes|instructions|tout)",
        r"\bignor(?:a|e|ar)\b.{0,30}(?:instrucciones|reglas|órdenes)",
        r"\bolvida\b.{0,30}(?:instrucciones|todo)",
        r"\bignora\b.{0,30}istruzioni",
        r"\bignore as instruções",
        r"игнорируй.{0,30}(?:инструкц|указан)",
        r"забудь.{0,30}инструкц",
        r"指示を(?:すべて)?(?:無視|忘れ)",
        r"指示は無視",
        r"忽略.{0,12}(?:指令|指示|说明)",
        r"忘记.{0,12}(?:指令|指示)",
        r"지시.{0,8}무시",
    )
)


def suspicious(text: str) -> bool:
    """Whether the text reads as if it were meant to steer whoever explains the failure."""
    text = text[:text_chars_max]
    if _hidden.search(text):
        return True
    plain = unicodedata.normalize("NFKC", text)
    plain = _invisible.sub("", _unescaped(plain))
    if _mixed_word.search(_latin_unit.sub("", plain)) and _talks(plain.casefold().translate(_look_alikes)):
        return True
    readings = [plain, _apart.sub(_together, plain), plain.translate(_digits_as_letters)]
    if "%" in plain or "+" in plain:
        readings.append(unquote(plain).replace("+", " "))
    readings += _decoded(plain)
    return any(_talks(reading) for reading in dict.fromkeys(readings))


def _talks(text: str) -> bool:
    small = re.sub(r"[ \t]+", " ", text.casefold())
    if _own.search(small) or _cited.search(small):
        return True
    if len(set(_any_name.findall(small))) > 1:
        return True
    spaced = small.replace("_", " ").replace("\n", " \n")
    return any(pattern.search(small) or pattern.search(spaced) for pattern in _patterns)


def _together(found: re.Match[str]) -> str:
    return re.sub(r"[ ._\-*]", "", found[0])


def _unescaped(text: str) -> str:
    """Characters written as escapes, if there are enough of them to hide words."""
    if len(_escapes.findall(text)) < 4:
        return text
    return _escapes.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    digits = found[0].strip("\\&#;").lstrip("ux")
    decimal = found[0].startswith("&#") and not found[0].startswith("&#x")
    number = int(digits, 10 if decimal and digits.isdigit() else 16)
    return chr(number) if number < 0xD800 else " "


def _decoded(text: str) -> list[str]:
    """What base64 and hexadecimal blobs hold, where it is prose."""
    found = []
    for blob in _blob.findall(text)[:blobs_max]:
        whole = blob[:encoded_chars_max].replace("-", "+").replace("_", "/").rstrip("=")
        try:
            raw = base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True)
        except binascii.Error:  # a length that no base64 has
            continue
        found.append(raw)
    found += [bytes.fromhex(blob[:encoded_chars_max]) for blob in _hexadecimal.findall(text)[:blobs_max]]
    texts = [raw.decode("utf-8", "replace") for raw in found]
    return [text for text in texts if text.isprintable() and _prose.search(text)]
