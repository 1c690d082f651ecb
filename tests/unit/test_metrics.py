"""What is counted, how it is told to Prometheus, and that the dashboard shows it."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from service.metrics import MOST_VALUES, Metrics

ROOT = Path(__file__).parents[2]
GENERATE = "/v1/generate"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = metrics.render()[0].decode()
    found = [sample for family in plain(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def value(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return samples(metrics).get((f"charwgan_{name}", frozenset(labels.items())))


def values_of(metrics: Metrics, label: str) -> set[str]:
    return {dict(labels)[label] for _, labels in samples(metrics) if label in dict(labels)}


def serving(queued: int = 7, reason: str | None = None) -> Any:
    def version(digest: str) -> Any:
        return SimpleNamespace(artifact=SimpleNamespace(digest=digest))

    slot = SimpleNamespace(roles=lambda: [("active", version("ab")), ("previous", version("cd"))])
    return SimpleNamespace(
        batcher=SimpleNamespace(queued=queued, max_strings_queued=20_000),
        registry=SimpleNamespace(slots={"names": slot}),
        why_not_ready=lambda: reason,
    )


def busy() -> Metrics:
    """Metrics of which every family has a sample."""
    metrics = Metrics()
    metrics.follow(serving())
    metrics.observe_request(GENERATE, "POST", 200, 0.004, 0.003)
    metrics.observe_run(64, 0.02, [0.001, 0.004])
    metrics.count_strings("names", 64)
    metrics.count_attempts(100, 64)
    metrics.reject("queue-full")
    return metrics


def test_a_request_is_counted_by_route_method_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 429):
        metrics.observe_request(GENERATE, "POST", status, 0.004, 0.003)
    assert value(metrics, "requests_total", route=GENERATE, method="POST", status="200") == 2
    assert value(metrics, "requests_total", route=GENERATE, method="POST", status="429") == 1
    assert value(metrics, "request_seconds_count", route=GENERATE) == 3
    assert value(metrics, "request_seconds_sum", route=GENERATE) == pytest.approx(0.012)
    assert value(metrics, "time_to_first_byte_seconds_sum", route=GENERATE) == pytest.approx(0.009)


def test_a_figure_lies_in_the_buckets_whose_bound_it_does_not_exceed() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.0011, 1000.0):
        metrics.observe_request(GENERATE, "POST", 200, seconds)
    bounds = ("0.001", "0.0025", "300.0", "+Inf")
    counts = [value(metrics, "request_seconds_bucket", route=GENERATE, le=bound) for bound in bounds]
    assert counts == [1, 2, 2, 3]
    assert value(metrics, "time_to_first_byte_seconds_count", route=GENERATE) == 0  # no body was sent


def test_a_run_is_counted_with_its_strings_time_and_waits() -> None:
    metrics = Metrics()
    metrics.observe_run(64, 0.5, [0.001, 0.25])
    metrics.observe_run(1, 0.25, [])
    assert (value(metrics, "batch_strings_sum"), value(metrics, "batch_strings_count")) == (65, 2)
    assert (value(metrics, "batch_strings_bucket", le="1.0"), value(metrics, "batch_strings_bucket", le="64.0")) == (
        1,
        2,
    )
    assert (value(metrics, "inference_seconds_sum"), value(metrics, "inference_seconds_count")) == (0.75, 2)
    assert (value(metrics, "queue_wait_seconds_sum"), value(metrics, "queue_wait_seconds_count")) == (0.251, 2)


def test_strings_attempts_and_refusals_add_up() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.count_strings("names", 10)
        metrics.count_attempts(7, 3)
        metrics.reject("queue-full")
    assert value(metrics, "strings_total", model="names") == 20
    assert (value(metrics, "attempts_total"), value(metrics, "accepted_total")) == (14, 6)
    assert value(metrics, "rejected_total", reason="queue-full") == 2


def test_the_queue_the_models_and_readiness_are_asked_for_at_each_scrape() -> None:
    metrics = Metrics()
    assert (value(metrics, "ready"), value(metrics, "queue_strings")) == (0, 0)  # before the application started
    followed = serving()
    metrics.follow(followed)
    assert (value(metrics, "ready"), value(metrics, "queue_strings")) == (1, 7)
    assert value(metrics, "queue_bound_strings") == 20_000
    assert value(metrics, "model_info", name="names", digest="ab", role="active") == 1
    assert value(metrics, "model_info", name="names", digest="cd", role="previous") == 1
    followed.batcher.queued, followed.why_not_ready, followed.registry.slots = 3, lambda: "draining", {}
    assert (value(metrics, "ready"), value(metrics, "queue_strings")) == (0, 3)
    assert value(metrics, "model_info", name="names", digest="ab", role="active") is None


def test_methods_that_nobody_knows_make_no_new_series() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.observe_request("other", f"VERB{number}", 404, 0.001)
    metrics.observe_request(GENERATE, "POST", 200, 0.001)
    assert values_of(metrics, "route") == {GENERATE, "other"}
    assert values_of(metrics, "method") == {"POST", "other"}
    assert value(metrics, "requests_total", route="other", method="other", status="404") == 1000


def test_no_label_has_more_values_than_the_bound_whatever_callers_say() -> None:
    metrics = Metrics()
    for number in range(2 * MOST_VALUES):
        metrics.observe_request(f"/{number}", "GET", 200, 0.001)
        metrics.count_strings(f"model-{number}", 1)
        metrics.reject(f"reason-{number}")
    for label in ("route", "model", "reason"):
        assert len(values_of(metrics, label)) == MOST_VALUES + 1
        assert "other" in values_of(metrics, label)
    assert value(metrics, "strings_total", model="other") == MOST_VALUES


def test_nothing_is_lost_when_several_threads_count_at_once() -> None:
    metrics, threads = Metrics(), []
    for _ in range(4):
        threads.append(threading.Thread(target=lambda: [metrics.observe_run(1, 0.5, [0.5]) for _ in range(5000)]))
        threads.append(threading.Thread(target=lambda: [metrics.count_strings("names", 1) for _ in range(5000)]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (value(metrics, "inference_seconds_sum"), value(metrics, "strings_total", model="names")) == (10_000, 20_000)


def test_two_applications_count_apart() -> None:
    busy()
    assert value(Metrics(), "strings_total", model="names") is None


def test_the_form_follows_the_accept_header() -> None:
    metrics = busy()
    text, media_type = metrics.render()
    assert media_type.startswith("text/plain; version=0.0.4")
    body, open_type = metrics.render(OPENMETRICS)
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    names = {family.name for family in plain(text.decode())}
    assert {family.name for family in openmetrics(body.decode())} == names
    assert "process_resident_memory_bytes" in names


def test_every_name_has_the_prefix_and_a_sentence_and_base_units() -> None:
    families = [family for family in plain(busy().render()[0].decode()) if not family.name.startswith("process_")]
    assert all(family.name.startswith("charwgan_") and family.documentation.endswith(".") for family in families)
    assert not [family.name for family in families if re.search("_(ms|us|kb|mb|percent)$", family.name)]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "deploy/grafana/charwgan.json").read_text(encoding="utf-8"))
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]


def test_the_dashboard_shows_every_figure_and_none_that_is_not_there() -> None:
    exported = {name for name, _ in samples(busy())}
    shown = set(re.findall(r"\b(?:charwgan|process)_\w+", " ".join(expressions())))
    assert shown <= exported
    families = {family.name for family in plain(busy().render()[0].decode()) if family.name.startswith("charwgan_")}
    assert not {name for name in families if not any(one.startswith(name) for one in shown)}


def test_the_dashboard_groups_by_labels_that_there_are() -> None:
    labels = {label for _, found in samples(busy()) for label, _ in found} | {"instance", "job"}
    grouped = {name for by in re.findall(r" by \(([^)]*)\)", " ".join(expressions())) for name in by.split(", ")}
    chosen = set(re.findall(r"(\w+)=~?\"", " ".join(expressions())))
    assert grouped | chosen <= labels


def test_the_dashboard_can_be_imported_beside_any_data_source() -> None:
    board = dashboard()
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"] == variables["datasource"] | {"type": "datasource", "query": "prometheus"}
    sources = [panel["datasource"] for panel in board["panels"] if panel["type"] != "row"]
    assert sources
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    used = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(board["panels"])))
    assert used == set(variables)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells
        taken |= cells


def test_the_scrape_example_asks_for_the_path_there_is() -> None:
    text = (ROOT / "deploy/prometheus.yml").read_text(encoding="utf-8")
    assert "metrics_path: /metrics" in text
    assert "127.0.0.1:8000" in text
