"""The figures of one application for Prometheus, in base units, each named ``charwgan_...``.

What a busy request is counted by is kept here in plain numbers under one lock, and handed to prometheus_client when
somebody scrapes: its own take a lock for each figure, twice the time for a request and five times for a run.
What is known elsewhere (the queue, the models, readiness) is asked for at that time and costs nothing before.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from service.serving import Serving

REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
RUN_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
RUN_STRINGS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 65536.0)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
MOST_VALUES = 256  # of one label; whatever callers say, what comes after counts as OTHER
OTHER = "other"


class Distribution:
    """How often a figure lay in each bucket, and its sum.  Its owner holds the lock."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.total = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, figure: float) -> None:
        """Count one figure."""
        self.counts[bisect_left(self.bounds, figure)] += 1
        self.total += figure

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound of each bucket, and how many figures lay below."""
        return list(zip([*map(str, self.bounds), "+Inf"], accumulate(self.counts), strict=True))


class Route:
    """What is counted of the requests for one route; answers by method and status."""

    __slots__ = ("answers", "first_byte", "seconds")

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.seconds, self.first_byte = Distribution(REQUEST_SECONDS), Distribution(REQUEST_SECONDS)


class Metrics(Collector):
    """Counts what happens, on the event loop and on the inference threads alike."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes = {OTHER: Route()}
        self._strings: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._attempted = self._accepted = 0
        self._waits, self._runs = Distribution(RUN_SECONDS), Distribution(RUN_SECONDS)
        self._run_strings = Distribution(RUN_STRINGS)
        self._serving: Serving | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def observe_request(
        self, route: str, method: str, status: int, seconds: float, first_byte_seconds: float | None = None
    ) -> None:
        """Count an answer, once it has been sent.

        route: the pattern of the path and never the path itself.  status: 0 where nothing was sent.
        """
        answer = (method if method in METHODS else OTHER, status)
        with self._lock:
            counted = self._routes.get(route) or self._new_route(route)
            counted.answers[answer] += 1
            counted.seconds.add(seconds)
            if first_byte_seconds is not None:
                counted.first_byte.add(first_byte_seconds)

    def observe_run(self, strings: int, seconds: float, waits_s: Sequence[float]) -> None:
        """Count a run of the network.  waits_s: how long the requests that it began to answer had been in the queue."""
        with self._lock:
            self._run_strings.add(strings)
            self._runs.add(seconds)
            for wait_s in waits_s:
                self._waits.add(wait_s)

    def count_strings(self, model: str, n: int) -> None:
        """Count n strings that a served model of that name made for answers."""
        self._count(self._strings, model, n)

    def count_attempts(self, attempted: int, accepted: int) -> None:
        """Count the strings that were tried for a request with constraints, and those that met them."""
        with self._lock:
            self._attempted += attempted
            self._accepted += accepted

    def reject(self, reason: str) -> None:
        """Count a request that was not answered as it wished; reason: a kind of ``service.errors``."""
        self._count(self._rejected, reason, 1)

    def follow(self, serving: Serving) -> None:
        """Tell of this application's queue, models and readiness from now on."""
        self._serving = serving

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All figures and their media type: OpenMetrics where an Accept header asks for it, else Prometheus' text."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def collect(self) -> Iterator[Metric]:
        """The families, for prometheus_client."""
        with self._lock:
            families = [*self._of_requests(), *self._of_runs(), *self._of_strings()]
        yield from families
        yield from self._of_serving()

    def _new_route(self, route: str) -> Route:
        if len(self._routes) > MOST_VALUES:
            return self._routes[OTHER]
        return self._routes.setdefault(route, Route())

    def _count(self, counter: Counter[str], label: str, n: int) -> None:
        with self._lock:
            counter[label if label in counter or len(counter) < MOST_VALUES else OTHER] += n

    def _of_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "charwgan_requests", "Answers, by route, method and status.", labels=("route", "method", "status")
        )
        seconds = HistogramMetricFamily(
            "charwgan_request_seconds", "From the head of a request to the end of its answer.", labels=("route",)
        )
        first_byte = HistogramMetricFamily(
            "charwgan_time_to_first_byte_seconds",
            "From the head of a request to the first bytes of its answer's body.",
            labels=("route",),
        )
        for route, counted in self._routes.items():
            for (method, status), n in counted.answers.items():
                requests.add_metric((route, method, str(status)), n)
            for family, figures in ((seconds, counted.seconds), (first_byte, counted.first_byte)):
                family.add_metric((route,), figures.buckets(), figures.total)
        yield from (requests, seconds, first_byte)

    def _of_runs(self) -> Iterator[Metric]:
        for name, documentation, figures in (
            ("charwgan_queue_wait_seconds", "From the queue to the first run of a request.", self._waits),
            ("charwgan_inference_seconds", "Of each run of the network.", self._runs),
            ("charwgan_batch_strings", "Strings in each run of the network.", self._run_strings),
        ):
            yield HistogramMetricFamily(name, documentation, figures.buckets(), figures.total)

    def _of_strings(self) -> Iterator[Metric]:
        for name, documentation, label, counter in (
            ("charwgan_strings", "Strings answered with, by model.", "model", self._strings),
            ("charwgan_rejected", "Requests that were refused or failed, by reason.", "reason", self._rejected),
        ):
            family = CounterMetricFamily(name, documentation, labels=(label,))
            for value, n in counter.items():
                family.add_metric((value,), n)
            yield family
        yield CounterMetricFamily("charwgan_attempts", "Strings tried for requests with constraints.", self._attempted)
        yield CounterMetricFamily("charwgan_accepted", "Strings of those that met the constraints.", self._accepted)

    def _of_serving(self) -> Iterator[Metric]:
        serving = self._serving
        batcher = serving.batcher if serving else None
        for name, documentation, value in (
            ("charwgan_queue_strings", "Strings waiting.", batcher.queued if batcher else 0),
            ("charwgan_queue_bound_strings", "Strings waiting, at most.", batcher.max_strings_queued if batcher else 0),
            ("charwgan_ready", "1 if requests are taken.", bool(serving and serving.why_not_ready() is None)),
        ):
            yield GaugeMetricFamily(name, documentation, value)
        models = GaugeMetricFamily(
            "charwgan_model_info", "1 for each version of a model that is held.", labels=("name", "digest", "role")
        )
        for name, slot in list(serving.registry.slots.items()) if serving else ():
            for role, version in slot.roles():
                models.add_metric((name, version.artifact.digest, role), 1)
        yield models
