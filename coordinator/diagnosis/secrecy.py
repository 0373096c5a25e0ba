"""What makes a word a secret: the names of keys that hold one, check digits of cards and accounts, and what a random
token looks like beside an ordinary word. Redaction asks here, once a pattern has found a candidate."""

from __future__ import annotations

import re
from itertools import pairwise


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Parts of a key ("stripeSecretKey" has three) that say a secret follows, and whole keys that do.
_secret_parts = _words(
    "password passwd passwort pwd pass secret secrets passphrase apikey auth authorization authentication cookie"
    " cookies credential credentials token bearer jwt otp totp cvv cvc ssn csrf xsrf signature sessionid privatekey"
)
_secret_wholes = _words(
    "password passwd secret apikey privatekey accesskey secretkey mysqlpwd pgpassword clientsecret authtoken"
    " accesstoken refreshtoken idtoken sessionid sessionkey connectionstring signingkey encryptionkey accountkey"
    " setcookie authorization motdepasse contrasena kennwort"
)
# … unless the last part says that it is about the secret: "token_count", "auth_method".
_about = _words(
    "type method mode count counts limit max min size length len ttl expiry expires expired expiration seconds ms name"
    " status error errors failed failure failures required enabled disabled scheme provider policy version endpoint"
    " state result service server host port"
)
_personal_parts = _words("phone mobile msisdn telephone telefon fax phonenumber")
_part = re.compile(r"[A-Z]?[a-z]++|[A-Z]++(?![a-z])|[0-9]++|[^\W\d_a-zA-Z]++")

_account_chars = {
    country[:2]: int(country[2:])
    for country in _words(
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18"
        " FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20"
        " LU20 LV21 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SE24 SI19 SK24"
        " SM27 TN24 TR26 UA29 VA22 VG24 XK20"
    )
}
_uuid = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_hexadecimal = re.compile(r"[0-9a-fA-F]+")
_group = re.compile(r"[0-9]+")
card_digits_min, card_digits_max = 13, 19
card_group_digits_min = 3


def is_secret_key(key: str) -> bool:
    """Whether a key of this name holds a secret: "X-Api-Key", "db_password", "stripeSecretKey"."""
    parts = [part.lower() for part in _part.findall(key)]
    if not parts or parts[-1] in _about:
        return False
    joined = "".join(parts)
    return not _secret_parts.isdisjoint(parts) or any(whole in joined for whole in _secret_wholes)


def is_personal_key(key: str) -> bool:
    """Whether a key of this name holds a telephone number."""
    return not _personal_parts.isdisjoint(part.lower() for part in _part.findall(key))


def card_in(run: str) -> tuple[int, int] | None:
    """Where a card number stands in a run of digits, blanks and dashes: in groups as people write it, or in one."""
    groups = [found.span() for found in _group.finditer(run)]
    for first, (start, _) in enumerate(groups):
        digits = ""
        for begin, end in groups[first : first + card_digits_max // card_group_digits_min]:
            if end - begin > card_digits_max or (end - begin < card_group_digits_min):
                break
            digits += run[begin:end]
            if len(digits) > card_digits_max:
                break
            if len(digits) >= card_digits_min and digits[0] in "23456" and _luhn(digits):
                return start, end
    return None


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - ord("0")
        if place % 2:
            value = value * 2 - 9 * (value > 4)
        total += value
    return total % 10 == 0 and len(set(digits)) > 1


def iban_chars(text: str) -> int:
    """How many characters at the beginning of the text are an IBAN with right check digits; 0: none."""
    wanted = _account_chars.get(text[:2], 0)
    taken, chars = "", 0
    for chars, char in enumerate(text, 1):  # noqa: B007 - where it stopped is the answer
        taken += "" if char == " " else char
        if len(taken) == wanted:
            break
    if not wanted or len(taken) != wanted:
        return 0
    number = "".join(str(int(char, 36)) for char in taken[4:] + taken[:4])
    return chars if int(number) % 97 == 1 else 0


def looks_like_a_credential(word: str) -> bool:
    """Whether what follows "Bearer" or "Basic" is one, not the next word of a sentence."""
    plain = word.isalpha() and (word.islower() or word.istitle() or word.isupper())
    return not plain


def looks_random(run: str) -> bool:
    """Whether a run of letters and digits was drawn, not written.

    In what was drawn capitals, small letters and digits take turns; in words, names of classes and paths they come in
    long stretches. A UUID stays: it is an id, and people look for it.
    """
    if _uuid.fullmatch(run):
        return False
    if _hexadecimal.fullmatch(run):
        return len(run) >= 32 and not run.isdigit() and not run.isalpha()
    kinds = [
        "d" if char.isdigit() else "u" if char.isupper() else "l" if char.islower() else "s" for char in run.rstrip("=")
    ]
    present = set(kinds)
    turns = sum(one != next_ for one, next_ in pairwise(kinds))
    if {"d", "u", "l"} <= present:
        return turns >= 0.35 * len(kinds) and kinds.count("s") <= 0.1 * len(kinds)
    if "d" in present and ("l" in present or "u" in present) and "s" not in present:
        return len(kinds) >= 24 and turns >= 0.25 * len(kinds)
    return False
