"""What differs from one failure to the next is taken out of its words, so that the same error reads the same:
addresses, ids, times, amounts, paths, numbers, hosts and versions become what they are, in angle brackets.

What says which kind of error it is stays: statuses of HTTP, errno, SQLSTATE, reply codes of AMQP and SMTP, exit codes.
They are numbers too; so their digits are carried past the masks as characters that no mask knows.

A template is redacted first, bounded, and the template of a template is itself.
"""

from __future__ import annotations

import re
from functools import lru_cache

from coordinator.diagnosis.redaction import Redactor, email

template_chars_max = 500
text_chars_max = 4_000  # of a message; what comes after is seldom said for the first time
passes_max = 4

# --- numbers that stay ------------------------------------------------------------------------------------------------

_private_zero = 0xE000
_hide = {ord("0") + digit: _private_zero + digit for digit in range(10)}
_show = {_private_zero + digit: ord("0") + digit for digit in range(10)}
_private = re.compile("[\ue000-\ue009]")

_reasons = (
    "Bad Request|Unauthorized|Payment Required|Forbidden|Not Found|Method Not Allowed|Not Acceptable|Request Timeout"
    "|Conflict|Gone|Precondition Failed|Payload Too Large|Content Too Large|Unprocessable|Locked|Too Many Requests"
    "|Internal Server Error|Not Implemented|Bad Gateway|Service Unavailable|Gateway Time-?out|Insufficient Storage"
    "|Client Error|Server Error|Error Connecting|Service Not Available"
)
# status 503, HTTP 429, "HTTP/1.1 504", status_code=502, response code: 500, Statuscode 503, answered 404
_status = (
    r"\b(?:https?(?:/[0-9](?:\.[0-9])?)?|status(?:[ _-]?code)?|response(?:[ _-]code)?|reply[ _-]?code|returned|got"
    r"|answered|code)(?:[\"']?[ ]{0,2}[:=]?[ ]{0,2}|[_-])[\"'(\[]?(?P<kept>[1-5][0-9]{2})(?![0-9.,]?[0-9])"
)
_stays = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        _status,
        rf"(?<![0-9.])(?P<kept>[1-5][0-9]{{2}})[ :\-]{{1,3}}(?:{_reasons})\b",
        r"\b(?:errno|winerror|oserror)[ :=\]]{0,3}(?P<kept>[0-9]{1,5})\b",
        r"\bsqlstate[ :=(\[\"']{0,3}(?P<kept>[0-9A-Z]{5})\b",
        r"\b(?:ORA|TNS|PLS|SQL|DB2|TS|AADSTS)-?(?P<kept>[0-9]{4,6})\b",
        r"\b(?:amqp|smtp|grpc|ftp)(?:[ _-]?(?:status|code|reply))?[ :=]{0,3}(?P<kept>[0-9]{1,3})\b",
        r"(?<![0-9.])(?P<kept>[245][0-9]{2}[ -][245]\.[0-9]{1,3}\.[0-9]{1,3})\b",  # SMTP, with its enhanced code
        r"\b(?:exit(?:ed)?(?: with)?(?: status| code)?|signal)[ :=]{1,3}(?P<kept>[0-9]{1,3})\b",
        r"\bERROR (?P<kept>[0-9]{4} \([0-9A-Z]{5}\))",  # MySQL
        r"\((?P<kept>1[0-9]{3}), ?[\"']",  # PyMySQL: (1213, 'Deadlock …')
    )
)
_words_with_digits = re.compile(
    r"(?<![A-Za-z0-9])(?:utf-?(?:8|16|32)|sha-?(?:1|256|384|512)|md5|base(?:32|58|64)|ipv?[46]|https?/?[123](?:\.[01])?|h2c?"
    r"|oauth-?[12]|s3|ec2|k8s|i18n|l10n|x509|tls_?v?1|ssl_?v?[23]|psycopg-?[23]?|boto3|urllib3|python[23]|log4j2?"
    r"|u?int(?:8|16|32|64)|float(?:32|64)|p(?:50|90|95|99)|sqlite3|x86|amd64|arm64|aes-?(?:128|256)|web3|2fa|mp[34]|neo4j|win32"
    r"|3ds2?|iso8601|rfc[0-9]{3,4}|latin-?1|cp1252|iso-8859-1|b2b|b2c|http[1-5][0-9]{2})(?![A-Za-z0-9])",
    re.IGNORECASE,
)

# --- what is masked, in this order ------------------------------------------------------------------------------------
# A group that is not to be tried in another way is `(?>(…)*)`: Python before 3.11.5 reads `(…)*+` wrongly.

_unit = (
    r"(?:ns|µs|us|ms|msecs?|millis(?:econds?)?|secs?|seconds?|s|min(?:ute)?s?|m|hours?|hrs?|h|days?|d|sekunden?|secondes?"
    r"|segundos?|minuten?|stunden?)"
)
_number = r"[0-9]++(?>(?:[.,'][0-9]++){0,4})"
_currencies = "EUR|USD|GBP|CHF|JPY|CNY|SEK|NOK|DKK|PLN|CZK|HUF|CAD|AUD|NZD|INR|BRL|MXN|SGD|HKD|KRW|TRY|ZAR"
_tlds = (
    "com|net|org|io|dev|cloud|app|internal|local|localdomain|lan|intra|corp|svc|cluster|test|example|invalid|de|fr|uk|eu"
    "|us|ch|at|es|it|nl|jp|co"
)
_months = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_instant = (
    r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?: ?(?:Z|UTC|GMT|[+\-][0-9]{2}:?[0-9]{2}))?)?(?![0-9])"
)
_date = r"(?<![0-9.])[0-9]{1,2}([./])[0-9]{1,2}\1(?:[0-9]{2}){1,2}(?![0-9.])(?:,? [0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?"
_date_in_words = (
    r"(?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? )?\b[0-9]{1,2} "
    rf"(?:{_months})[a-z]{{0,6}} [0-9]{{4}}(?: [0-9:]{{5,8}}(?: (?:GMT|UTC))?)?"
)
_version = r"(?<![\w.])v?[0-9]++\.[0-9]++\.[0-9]++(?:[\-+.][\w.\-+]++)?(?![\w])|\bv[0-9]++(?>(?:\.[0-9]++)*)\b"


_digit = "0123456789"


def _compiled(*masks: tuple[str, str, str]) -> tuple[tuple[str, re.Pattern[str], frozenset[str]], ...]:
    """What a mask is called, what it looks for, and the characters of which a text must have one for it to be tried."""
    return tuple((name, re.compile(pattern), frozenset(needs)) for name, pattern, needs in masks)


_places = _compiled(
    (r"<\1>", r"<(secret|pem|query|token|email|card|iban|phone|name):[0-9]{1,6}>", "<"),
    ("<url>", r"(?<![A-Za-z0-9+.\-])[A-Za-z][A-Za-z0-9+.\-]*+://(?>(?:[^\s\"'<>(){}|\\,]|<\w{1,10}>)*)", ":"),
    ("<url>", r"\bwww\.[\w.\-]++(?:/[^\s\"'<>]*+)?", "w"),
    ("<email>", email.pattern, "@"),
    ("<uuid>", r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}(?![0-9a-fA-F])", _digit),
    ("<host>", r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9]{1,2}|:[0-9]{1,5})?(?![\w.][0-9])", _digit),
    ("<host>", r"\[(?=[0-9a-fA-F]*:)[0-9a-fA-F:.]{2,45}\](?::[0-9]{1,5})?", ":"),
    ("<path>", r"(?<![\w:/.<>])~?(?>(?:/[\w.@+~%\-]++){2,})/?", "/"),
    ("<path>", r"\b[A-Za-z]:\\(?>(?:[\w.\-]++\\?)*)", "\\"),
    ("<time>", _instant, _digit),
    ("<time>", _date, _digit),
    ("<time>", _date_in_words, _digit),
    ("<time>", r"(?<![0-9:])[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?![0-9:])", _digit),
)
_values = _compiled(
    ("<hex>", r"\b0x[0-9a-fA-F]++", _digit),
    ("<duration>", r"\bP(?=[0-9T])(?:[0-9]{1,9}[YMWD]){0,4}(?:T(?:[0-9.]{1,12}[HMS]){1,3})?\b", "P"),
    (
        "<duration>",
        rf"(?i)(?<![\w.\-])(?>(?:[0-9]{{1,6}}[dhm](?=[0-9])){{0,3}}){_number}[ ]?{_unit}(?![\w/\-])",
        _digit,
    ),
    ("<duration>", rf"(?<![\w.]){_number}[ ]?(?:ミリ秒|秒|分)", _digit),
    ("<size>", rf"(?<![\w.]){_number}[ ]?(?:[KMGT]i?B|kB|[Bb]ytes?|octets)\b", _digit),
    ("<version>", _version, _digit),
    ("<host>", rf"(?<![\w.\-])(?>(?:[\w\-]++\.)+)(?:{_tlds})(?::[0-9]{{1,5}})?(?![\w.])", "."),
    ("<host>", r"(?<![\w.\-:])(?=[\w.\-]*?[A-Za-z])[\w\-]++(?>(?:\.[\w\-]++)*):[0-9]{2,5}(?![\w.:])", _digit),
    (r"\1<value>\2", r"(=[ ]?[\"'])[^\"'\s]*+(?: [^\"'\s]++){0,2}([\"'])", "="),
    (r"\1(<value>)", r"(\([\w, ]{1,80}\)=)\((?>(?:[^()\n]|\([^()\n]{0,80}\)){0,300})\)", "="),
    (
        "<amount>",
        rf"(?:\b(?:{_currencies})[ ]?|[€$£¥])-?{_number}|-?{_number}[ ]?(?:(?:{_currencies})\b|[€$£¥])",
        _digit,
    ),
)
_word = re.compile(r"(?<![\w\-])(?=[\w\-]*?[0-9])[\w\-]++")
_run_of_digits = re.compile(r"[0-9]+")
_plain_number = re.compile(r"[+\-]?[0-9]+(?:-[0-9]+)*")
_numbers = re.compile(r"[0-9]++(?>(?:[.,'][0-9]++)*)(?:[eE][+\-]?[0-9]++)?%?")
_repeated = re.compile(r"([\"'(]?<[a-z]{2,10}>[\"')]?)(?>(?:[,;: ]{1,3}\1)+)")
_blank = re.compile(r"[\s\x00-\x1f\x7f]++")
_cut_mask = re.compile(r"<[a-z]{0,10}$")


def masked(text: str, chars_max: int = template_chars_max) -> str:
    """The text with its variable parts named. Not redacted: for what is already, or has no secrets."""
    text = _private.sub("\ufffd", text)
    if not _without_digits(text):
        for stays in _stays:
            text = stays.sub(_hidden, text)
    text = _mask(text, _places)
    text = _words_with_digits.sub(lambda found: found[0].translate(_hide), text)
    text = _mask(text, _values)
    if not _without_digits(text):
        text = _numbers.sub("<num>", _word.sub(_without_its_id, text))
    text = _repeated.sub(r"\1", text)
    text = _blank.sub(" ", text).strip()
    if len(text) > chars_max:
        text = _cut_mask.sub("", text[:chars_max]).rstrip()
    return text.translate(_show)


def _mask(text: str, masks: tuple[tuple[str, re.Pattern[str], frozenset[str]], ...]) -> str:
    chars = set(text)
    for mask, pattern, needs in masks:
        if not needs.isdisjoint(chars):
            text = pattern.sub(mask, text)
    return text


def _without_digits(text: str) -> bool:
    return set(_digit).isdisjoint(text)


def _hidden(found: re.Match[str]) -> str:
    start, end = found.span("kept")
    return found[0][: start - found.start()] + found["kept"].translate(_hide) + found[0][end - found.start() :]


def _without_its_id(found: re.Match[str]) -> str:
    """A word with digits in it: "req_8aF3x2", "payments-7d9f-x2", "worker3". The last keeps its letters."""
    word = found[0]
    if _plain_number.fullmatch(word):
        return word
    runs = _run_of_digits.findall(word)
    return "<id>" if len(runs) > 1 or len(runs[0]) > 2 else word


@lru_cache(maxsize=4096)
def template_of(text: str) -> str:
    """What the text says, without what it says it of: masked, redacted, at most `template_chars_max` characters."""
    text = Redactor().redact(text)[:text_chars_max]
    for _ in range(passes_max):
        before, text = text, masked(text)
        if text == before:
            break
    return text
