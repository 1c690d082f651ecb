"""The description of the service against the service: schemathesis sends what it allows and what it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from service_process import Process, process

KEY = "an operator's key of some length"
EXAMPLES = min(int(os.environ.get("TEST_EXAMPLES", "300")), 300) // 5

load_all_checks()
# Left out: that whatever the description allows is accepted, since it cannot say which constraints a string can meet
# or which models there are; the rest asks for what this service has not.
LEFT_OUT = {"positive_data_acceptance", "use_after_free", "ensure_resource_availability", "object_level_authorization"}
CHECKED = CHECKS.get_by_names([name for name in CHECKS.get_all_names() if name not in LEFT_OUT])

# Also 413, which schemathesis does not count among them.
ANY_REFUSAL = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}})


@pytest.fixture(scope="module")
def service(tiny_model: Path) -> Iterator[Process]:
    bounds = ("max_n=50", "max_stream_n=50", "max_attempts=500", "admin_port=0")
    with process("--model", tiny_model, *(f"--set={bound}" for bound in bounds), CHARWGAN_ADMIN_KEY=KEY) as service:
        yield service
        assert service.end() == 0
        assert not [line for line in service.lines if " error " in line]


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("whose", ["everybody", "the operator"])
def test_every_answer_is_as_described(service: Process, whose: str, mode: GenerationMode) -> None:
    url = service.url if whose == "everybody" else service.admin_url
    headers = {} if whose == "everybody" else {"Authorization": f"Bearer {KEY}"}  # in the case that schemathesis knows
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers, config=ANY_REFUSAL)
    met = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode == GenerationMode.NEGATIVE and not operation.body:
            continue  # any text is a name, and the others take nothing

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(mode))
        def claim(case: Case) -> None:
            case.call_and_validate(headers=headers, checks=CHECKED)

        claim()
        met += 1
    assert met >= (1 if whose == "everybody" or mode == GenerationMode.POSITIVE else 0)
