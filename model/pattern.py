r"""Regular expressions from strangers: RE2 matches them in linear time, and within bounds of time and memory.

What RE2 has: https://github.com/google/re2/wiki/Syntax.  Lookarounds and backreferences are what it lacks, since
these are what cannot be had in linear time.  Unlike in Python, \d, \w and \b are of ASCII; \pL is a letter.
"""

from __future__ import annotations

import re
from typing import Any

import re2

from model.errors import InvalidConstraintError

MAX_CHARACTERS = 1000
MEMORY_BYTES = 1 << 18  # of one expression: its program, and the states that RE2 remembers
MAX_STEPS = 1 << 18  # instructions times characters of a string: at worst 2 ms a string, where states do not fit
STEPS_A_RUN = 1 << 22  # of all strings that are judged in one go: at worst 30 ms
MAX_PROPERTIES = 16  # of Unicode, as \pL: each is 0.1 ms of RE2's compilation, which holds the interpreter

PROPERTY = re.compile(r"\\[pP]")
BOUND = "a regular expression of RE2, without lookarounds and backreferences"
# RE2's message, without the part of the expression that it repeats: text that came in is not to be echoed.
REASONS = {
    "missing )": "a parenthesis is not closed",
    "unexpected )": "a parenthesis is closed that was not opened",
    "missing ]": "a bracket is not closed",
    "trailing \\": "it ends in a backslash",
    "no argument for repetition operator": "a repetition has nothing to repeat",
    "bad repetition operator": "a repetition follows another: put the first into parentheses",
    "invalid repetition size": "a repetition is of more than 1000 times, or its bounds are in the wrong order",
    "invalid character class range": "a range or class of characters does not exist",
    "invalid escape sequence": "an escape is not known; backreferences are not supported",
    "invalid perl operator": "lookarounds, backreferences and atomic groups are not supported",
    "invalid named capture group": "the name of a group is malformed or used twice",
    "pattern too large - compile failed": "it is too large once its repetitions are written out",
}


def compile_expression(source: str) -> Any:
    """RE2's object for an expression.  Raises re2.error."""
    options = re2.Options()
    options.max_mem = MEMORY_BYTES
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(source, options)
    finally:
        re2.purge()  # its cache would keep the memory of the last 128 expressions


class Pattern:
    """A regular expression that must match the whole of a string.

    length: T, the most characters that a string has.  steps: what matching a string of that length takes at worst.
    Raises InvalidConstraintError, which says what is wrong without repeating the expression.
    """

    def __init__(self, source: str, length: int) -> None:
        if len(source) > MAX_CHARACTERS:
            raise InvalidConstraintError(
                "pattern",
                f"pattern must have at most {MAX_CHARACTERS} characters, got {len(source)}",
                bound=f"at most {MAX_CHARACTERS} characters",
                given=source,
            )
        # An escaped backslash before a p counts as well, which costs nobody anything.
        if (properties := len(PROPERTY.findall(source))) > MAX_PROPERTIES:
            raise InvalidConstraintError(
                "pattern",
                f"pattern must name at most {MAX_PROPERTIES} properties of Unicode, got {properties}",
                bound=f"at most {MAX_PROPERTIES} properties of Unicode",
                given=source,
            )
        try:
            self._expression = compile_expression(source)
        except UnicodeEncodeError:
            raise _refusal(source, "it holds half of a surrogate pair") from None
        except re2.error as error:
            message = error.args[0]
            told = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
            raise _refusal(source, REASONS.get(told.partition(": ")[0], "it cannot be read")) from None
        self.steps: int = self._expression.programsize * length  # at most, for one string
        if self.steps > MAX_STEPS:
            raise _refusal(source, REASONS["pattern too large - compile failed"])

    def matches(self, text: str) -> bool:
        """Whether the whole of a text is matched."""
        return self._expression.fullmatch(text.encode()) is not None


def _refusal(source: str, reason: str) -> InvalidConstraintError:
    return InvalidConstraintError("pattern", f"pattern must be {BOUND}: {reason}", bound=BOUND, given=source)
