"""What makes two failures the same: by their fingerprint (F1) they are alike in step, error and wording; by their
family (F2) in participant and kind of error, so that what has one cause comes together however it is worded.

Where a failure brings the functions that it came from, its message says nothing more than its code: people reword
messages, and put data into them. Without frames the template of the deepest cause has to do.
"""

from __future__ import annotations

import hashlib
import re

from coordinator.diagnosis.masking import masked, template_chars_max, template_of
from coordinator.diagnosis.signals import SignalFamily, signal_of
from coordinator.saga.event import Failure

__all__ = ["family", "family_chars_max", "fingerprint", "template_chars_max", "template_of"]

family_chars_max = 200
part_chars_max = 60
frames_max = 3
_place_in_file = re.compile(r"(?::[0-9]+|, line [0-9]+|@0x[0-9a-fA-F]+)+$")
_instance = re.compile(r"[0-9]+")


def fingerprint(*, definition: str, step: str, kind: str, failure: Failure | None, cause: str) -> str:
    """F1: this step, this error, this wording. 40 hexadecimal digits, the same for every saga, worker and version.

    `cause` says how the step ended where no failure does.
    """
    parts = [definition, step, kind]
    if failure is None:
        parts.append(cause)
    else:
        signal = signal_of(failure)
        parts += [_name(failure.type), *(_name(link.type) for link in failure.causes), signal.code]
        frames = [_frame(frame) for frame in failure.frames[:frames_max]]
        parts += frames or [signal.leaf_template.casefold()]
    return hashlib.sha1("\n".join(parts).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def family(*, participant: str, failure: Failure | None, cause: str) -> str:
    """F2: what failures of one cause have in common, to be read: "payment:timeout:http 504:gateway:charge".

    An error that nothing is known of is told from the next by its type and its words.
    """
    if failure is None:
        return f"{participant}:{SignalFamily.NO_REPLY}:{_short(cause)}"[:family_chars_max]
    signal = signal_of(failure)
    parts = [participant, str(signal.family)]
    if signal.code:
        parts.append(_short(signal.code))
    elif signal.family is not SignalFamily.NO_REPLY:
        parts.append(_name(signal.leaf_type))
    if failure.frames:
        parts.append(_frame(failure.frames[0]))
    elif signal.family is SignalFamily.OTHER and not signal.code:
        parts.append(_short(signal.leaf_template))
    return ":".join(part for part in parts if part)[:family_chars_max]


def _name(name: str) -> str:
    """The name of an error without its module, and without numbers that some put into it."""
    plain = re.split(r"[.:/$\\\s]+", name.strip()[:200])[-1]
    return (
        plain
        if re.fullmatch(r"(?i)http[1-5][0-9]{2}", plain)
        else _instance.sub("<num>", masked(plain, part_chars_max))
    )


def _frame(frame: str) -> str:
    """ "module:function" without the line it stood on."""
    return _instance.sub("<num>", _place_in_file.sub("", frame.strip()))[: part_chars_max * 2]


def _short(text: str) -> str:
    return text[:part_chars_max].rstrip()
