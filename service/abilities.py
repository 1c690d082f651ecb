"""What a model can be asked for, and another cannot: labels of a conditional model, scores of one with a critic."""

from __future__ import annotations

from service.body import invalid
from service.version import Version


def check_label(version: Version, label: str | None, *, needed: bool = False) -> None:
    """Refuse a label that the model does not have.  needed: a conditional model must be told one.

    Raises ProblemError: 422.
    """
    labels = version.artifact.labels
    if label in labels or (label is None and not (needed and labels)):
        return
    if not labels:
        detail, bound = "label needs a conditional model, and this one is not", "absent for this model"
    else:
        bound = f"one of the {len(labels)} labels that GET /v1/models/{version.name} lists"
        detail = f"label {'is missing: it ' if label is None else ''}must be {bound}"
    raise invalid([{"field": "label", "detail": detail, "bound": bound}])


def check_scores(version: Version, field: str) -> None:
    """Refuse to score strings by a model without a critic.  field: of the request, that asks for it.

    Raises ProblemError: 422.
    """
    if not version.artifact.judges:
        bound = "a model for which GET /v1/models says critic: true"
        detail = f"{field} asks for scores, and model {version.name} has no critic: ask {bound}"
        raise invalid([{"field": field, "detail": detail, "bound": bound}])
