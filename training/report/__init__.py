"""A run as one page: ``report.html``, self-contained, from what the run's folder holds.

``read`` takes whatever part of a run is there, ``figures`` draws, ``page`` writes the HTML.
"""

from training.report.page import write_report

__all__ = ["write_report"]
