"""Where the settings of a service come from, and what a wrong one is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import ConfigurationError
from service.settings import Settings, environment_name, resolve

ROOT = Path(__file__).parents[2]


def test_a_flag_beats_the_environment_which_beats_the_default() -> None:
    environment = {"CHARWGAN_MODEL": "from-environment", "CHARWGAN_PORT": "9000", "CHARWGAN_THREADS": "2", "PORT": "1"}
    settings = resolve({"model": Path("from-flag"), "port": None}, environment)
    assert (settings.model, settings.port, settings.threads) == (Path("from-flag"), 9000, 2)
    assert settings.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ({}, {}, "model is missing: give --model or set CHARWGAN_MODEL"),
        ({"model": "m", "port": 70000}, {}, "port must be between 0 and 65535, got 70000"),
        ({"model": "m"}, {"CHARWGAN_PORT": "x"}, "port must be between 0 and 65535, got 'x' (from CHARWGAN_PORT)"),
        ({"model": "m", "max_n": 0}, {}, "max_n must be between 1 and 10000, got 0"),
        ({"model": "m", "body_timeout_s": 0}, {}, "body_timeout_s must be more than 0 and at most 3600, got 0"),
        ({"model": "m", "prot": 1}, {}, "prot is not a setting of the service: they are model, host, port"),
        ({"model": "m", "max_strings_queued": 9}, {}, "max_strings_queued must be at least max_n (10000), got 9"),
    ],
)
def test_a_wrong_setting_is_named_with_its_bound_and_value(
    flags: dict[str, object], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        resolve(flags, environment)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_every_setting_says_what_it_is_and_has_a_variable_of_its_own() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert len({environment_name(field) for field in Settings.model_fields}) == len(Settings.model_fields)


def test_importing_the_service_needs_neither_torch_nor_training() -> None:
    program = "import sys, service.server; print(sorted({'torch', 'training', 'onnx'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
