"""What must not be kept, or leave the process, is taken out of text here, before either happens.

A secret is replaced by a pseudonym, `<email:1>`, the same one for the same value within one Redactor; so a reader still
sees that two lines speak of one customer. What counts as secret: the value of a key that is named like one, PEM blocks,
credentials and queries in URLs, tokens by their form (JWT, the prefixes that providers use, long random runs), e-mail
addresses, card numbers (Luhn), IBANs (mod 97), telephone numbers.

The text is hostile: every pattern is linear in it (each run of characters is entered once: a lookbehind keeps the
engine from starting inside one, possessive quantifiers from going back into it). A pass is repeated until it changes
nothing, so that redacting twice is redacting once; what never settles is withheld whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from coordinator.diagnosis.secrecy import (
    card_in,
    iban_chars,
    is_personal_key,
    is_secret_key,
    looks_like_a_credential,
    looks_random,
)

passes_max = 6
names_max = 10_000  # different values with a pseudonym of their own; the others share one
depth_max = 32

_pseudonym = re.compile(r"<(?:secret|pem|query|token|email|card|iban|phone|name):[0-9]{1,6}>")
_withheld = "<text withheld>"

_pem = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----.*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)", re.DOTALL)
_head = re.compile(
    r"(?<![\w.\-])(?P<key>[\w.\-]++)"
    r"(?:(?:\\{0,4}[\"'])?[ \t]{0,4}(?:=>|:=|[:=])[ \t]{0,4}|\\{0,4}[\"'],[ \t]{0,4}(?=b?\\{0,4}[\"']))(?:b(?=[\"']))?"
)
_quote = re.compile(r"\\{0,4}[\"']")
_inside = {quote: re.compile(rf"(?>(?:[^{quote}\\\r\n]|\\.)*)") for quote in "\"'"}
_bare = re.compile(
    r"(?:(?:bearer|basic|digest|token|apikey|negotiate|aws4-hmac-sha256)[ \t]++)?"
    r"(?>(?:[^\s,;&\"'()\]}]|[,;&](?!\s|[\w.\-]++[=:]|\Z))+)",
    re.IGNORECASE,
)
_cookies = re.compile(
    r"(?<![\w\-])((?:set-)?cookie[\"']?[ \t]{0,4}+[:=][ \t]{0,4}+[\"']?+)(?!<)([^\"'\r\n]++)", re.IGNORECASE
)
_element = re.compile(r"<(?P<key>[A-Za-z_][\w:.\-]*+)(?P<rest>[^<>]{0,200}+)>(?P<value>[^<>]++)(?=</)")
_option = re.compile(r"(?<![\w\-])--(?P<key>[\w\-]++)[ \t]++(?P<value>[^\s\-<][^\s]*+)")
_sql_password = re.compile(r"\b(password|identified by)([ \t]{1,4}')([^'\n]++)'", re.IGNORECASE)
_bearer = re.compile(r"\b(bearer|basic)([ \t]{1,4})([\w.~+/=\-]{8,}+)", re.IGNORECASE)
_url = re.compile(r"(?<![A-Za-z0-9+.\-])[A-Za-z][A-Za-z0-9+.\-]*+://[^\s\"'<>\\^`{|}]++")
_userinfo = re.compile(r"(?<![\w.%+\-@:/])(?P<user>[\w.%+\-]++):(?P<value>[^\s@/:\"'<>]++)@(?=[\w\[])")
_jwt = re.compile(r"(?<![\w\-])eyJ[\w\-]{5,}+\.[\w\-]{5,}+(?:\.[\w\-]*+)?")
_prefixed = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"[sprw]k_(?:live|test|prod)_\w{4,}+"
    r"|sk-[\w\-]{16,}+|gh[pousr]_\w{16,}+|github_pat_\w{16,}+|glpat-[\w\-]{16,}+|xox[abeoprs]-[\w\-]{8,}+"
    r"|A(?:KI|SI|RO|GP)A[0-9A-Z]{12,}+|AIza[\w\-]{30,}+|ya29\.[\w\-]{16,}+|SG\.[\w\-]{16,}+(?:\.[\w\-]++)?"
    r"|(?:npm|hf|whsec|shpat|dop_v1|rzp_live|rzp_test|pypi)[_\-][\w\-]{16,}+)"
)
_short_prefixed = re.compile(r"(?<![A-Za-z0-9_])(?:sk|pk|rk)_(\w{12,}+)")
_iban = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?>(?: ?[A-Z0-9]){11,30})")
_digits = re.compile(r"(?<![0-9])[0-9](?>(?:[ \-]?[0-9])*)")
email = re.compile(r"(?<![\w.%+\-])[\w.%+\-]++@(?=[\w.\-]*?[A-Za-z])[\w\-]++(?>(?:\.[\w\-]++)+)")
_phone = re.compile(
    r"(?<![\w+\-.:])(?:\+[1-9][0-9 ().\-]{6,20}(?<=[0-9])"
    r"|\([0-9]{3}\)[ \-]?[0-9]{3}[ \-][0-9]{4}|[0-9]{3}[\-.][0-9]{3}[\-.][0-9]{4})(?![\w\-:])"
)
_run = re.compile(r"(?<![\w+/=\-])[\w+/=\-]{20,}+", re.ASCII)


class Redactor:
    """Redacts, and remembers which pseudonym it gave to which value. `keys`: further names of secret keys."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = frozenset(re.sub(r"[^a-z0-9]", "", key.lower()) for key in keys)
        self._names: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}
        self._rules = tuple((frozenset(needs), pattern, replace) for needs, pattern, replace in self._all_rules())

    def redact(self, text: str) -> str:
        """The text without what is secret in it. Redacting it again changes nothing."""
        for _ in range(passes_max):
            before, text = text, self._pass(text)
            if text == before:
                return text
        return _withheld

    def redact_value(self, value: Any) -> Any:
        """A JSON value without what is secret in it, by its keys and in its texts; what is no JSON becomes its type."""
        return self._value(value, depth_max)

    def _value(self, value: Any, depth: int) -> Any:
        if depth == 0:
            return _withheld
        match value:
            case None | bool() | float():
                return value
            case str():
                return self.redact(value)
            case int():
                digits = str(value) if abs(value) < 10**20 else ""
                return value if self.redact(digits) == digits else self.redact(digits)
            case Mapping():
                return {self.redact(str(key)): self._under(str(key), each, depth) for key, each in value.items()}
            case list() | tuple():
                return [self._value(each, depth - 1) for each in value]
            case _:
                return f"<{type(value).__name__}>"

    def _under(self, key: str, value: Any, depth: int) -> Any:
        kind = self._kind(key)
        if kind is None or value is None or isinstance(value, bool) or value in ("", [], {}):
            return self._value(value, depth - 1)
        if isinstance(value, str) and _pseudonym.fullmatch(value):
            return value
        return self._name(kind, value if isinstance(value, str) else repr(value)[:1000])

    def _kind(self, key: str) -> str | None:
        """What sort of secret a key of this name holds."""
        if is_secret_key(key) or re.sub(r"[^a-z0-9]", "", key.lower()) in self._keys:
            return "secret"
        return "phone" if is_personal_key(key) else None

    def _name(self, kind: str, value: str) -> str:
        if _pseudonym.fullmatch(value):
            return value
        number = self._names.get((kind, value))
        if number is None:
            number = 0
            if len(self._names) < names_max:
                number = self._counts[kind] = self._counts.get(kind, 0) + 1
                self._names[kind, value] = number
        return f"<{kind}:{number}>"

    def _pass(self, text: str) -> str:
        # A rule is only tried on text with what it can't do without; most text has none of it. Keys go first: what
        # belongs to them is replaced whole, before a rule for parts of it makes it look harmless.
        chars = set(text)
        for needs, pattern, replace in self._rules:
            if not needs.isdisjoint(chars):
                text = pattern.sub(replace, text)
            if pattern is _cookies:
                text = self._pairs(text)
        return text

    def _pairs(self, text: str) -> str:
        """Values whose key says that they are secret: `key=value`, `"key": "value"`, `('key', 'value')`, headers.

        Only the key and its sign are searched for, and a value is read once its key is known to be secret: so a long
        chain of pairs is read once, and a pair that is another's value is found.
        """
        done, at = [], 0
        while found := _head.search(text, at):
            ours = _pseudonym.match(text, max(found.start() - 1, 0))  # "<token:1>" is no pair
            kind, start = None if ours else self._kind(found["key"]), found.end()
            start, end = _value_at(text, start) if kind else (start, start)
            value = text[start:end]
            done.append(text[at:start])
            done.append(self._name(kind, value) if kind and value else value)
            at = end
        return "".join(done) + text[at:]

    def _all_rules(self) -> tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]], ...]:
        digits = "0123456789"
        return (
            ("-", _pem, lambda found: self._name("pem", found[0])),
            ("kK", _cookies, self._cookie),
            ("<", _element, self._in_element),
            ("-", _option, self._in_option),
            ("'", _sql_password, lambda found: f"{found[1]}{found[2]}{self._name('secret', found[3])}'"),
            ("rRcC", _bearer, self._in_bearer),
            ("/", _url, self._in_url),
            ("@", _userinfo, lambda found: f"{found['user']}:{self._name('secret', found['value'])}@"),
            (".", _jwt, lambda found: self._name("token", found[0])),
            ("_-.AS", _prefixed, lambda found: self._name("token", found[0])),
            ("_", _short_prefixed, self._if_random(1)),
            (digits, _iban, self._in_iban),
            (digits, _digits, self._in_digits),
            ("@", email, lambda found: self._name("email", found[0].lower())),
            (digits, _phone, lambda found: self._name("phone", found[0])),
            (digits, _run, self._if_random(0)),
        )

    def _cookie(self, found: re.Match[str]) -> str:
        return found[1] + self._name("secret", found[2])

    def _in_element(self, found: re.Match[str]) -> str:
        kind = self._kind(found["key"])
        value = found["value"]
        if kind is None or not value.strip():
            return found[0]
        return f"<{found['key']}{found['rest']}>{self._name(kind, value)}"

    def _in_option(self, found: re.Match[str]) -> str:
        kind = self._kind(found["key"])
        return found[0] if kind is None else found[0][: -len(found["value"])] + self._name(kind, found["value"])

    def _in_bearer(self, found: re.Match[str]) -> str:
        if not looks_like_a_credential(found[3]):
            return found[0]
        return found[1] + found[2] + self._name("secret", found[3])

    def _in_url(self, found: re.Match[str]) -> str:
        scheme, _, rest = found[0].partition("://")
        end = min((at for at in (rest.find("?"), rest.find("#")) if at >= 0), default=len(rest))
        place, query = rest[:end], rest[end:]
        authority, slash, path = place.partition("/")
        if "@" in authority:
            user, _, host = authority.rpartition("@")
            authority = f"{self._name('secret', user)}@{host}"
        if len(query) > 1:
            query = query[0] + self._name("query", query[1:])
        return f"{scheme}://{authority}{slash}{path}{query}"

    def _in_iban(self, found: re.Match[str]) -> str:
        chars = iban_chars(found[0])
        return self._name("iban", found[0][:chars].replace(" ", "")) + found[0][chars:] if chars else found[0]

    def _in_digits(self, found: re.Match[str]) -> str:
        place = card_in(found[0])
        if place is None:
            return found[0]
        number = found[0][place[0] : place[1]]
        return found[0][: place[0]] + self._name("card", re.sub(r"[ \-]", "", number)) + found[0][place[1] :]

    def _if_random(self, group: int) -> Callable[[re.Match[str]], str]:
        def replace(found: re.Match[str]) -> str:
            return self._name("token", found[0]) if looks_random(found[group]) else found[0]

        return replace


def _value_at(text: str, start: int) -> tuple[int, int]:
    """Where the value that begins here has its first and its last character, without its quotation marks."""
    quote = _quote.match(text, start)
    if quote is None:
        bare = _bare.match(text, start)
        return start, bare.end() if bare else start
    start = quote.end()
    line_end = min((at for at in (text.find("\n", start), text.find("\r", start)) if at >= 0), default=len(text))
    if len(quote[0]) > 1:  # JSON within JSON: \"key\": \"value\"
        end = text.find(quote[0], start, line_end)
        return start, line_end if end < 0 else end  # never closed: the text was cut, and all of the line may be secret
    inside = _inside[quote[0]].match(text, start)
    return start, inside.end() if inside else start


def redact(text: str) -> str:
    """The text without what is secret in it, with pseudonyms of its own."""
    return Redactor().redact(text)


def redact_value(value: Any) -> Any:
    """A JSON value without what is secret in it, with pseudonyms of its own."""
    return Redactor().redact_value(value)
