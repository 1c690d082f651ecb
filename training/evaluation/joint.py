"""One number for how good generated text is, where runs must be put in an order: the joint score."""

from __future__ import annotations

from collections.abc import Mapping

Scores = Mapping[str, float | None]


def joint_score(model: Scores, real: Scores) -> float | None:
    """How far a row of the table of scores is from real text: 0 where it is as good, at most 3.

        max(0, js4_padded - real's) + max(0, copied - real's) + max(0, real's unique - unique)

    JS-4 says whether the strings are like held-out text, but not at what price: it falls for a model that repeats
    its training text, and hardly rises for one that repeats itself.  The shares say so, each held against real text's,
    for which some repetition is right.  All three lie between 0 and 1, so that 0.1 bits count as much as a tenth of
    the strings.  To be nearer than real text is chance, or copying, and earns nothing.
    model, real: scores by column.  None where T < 4, since there is no JS-4.
    """
    js4, floor = model["js4_padded"], real["js4_padded"]
    if js4 is None or floor is None:
        return None
    copied, unique = (float(model[key] or 0) - float(real[key] or 0) for key in ("copied", "unique"))
    return max(0.0, js4 - floor) + max(0.0, copied) + max(0.0, -unique)
