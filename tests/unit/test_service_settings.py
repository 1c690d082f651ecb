"""Where the settings of a service come from, and what a wrong one is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from settings_files import ADMIN_KEY, MODEL, complaint, secret_file, toml

from model.errors import ConfigurationError
from service.settings import SECRETS, Settings, bound
from service.settings_sources import environment_name, flag_name, resolve, resolve_with_origins

ROOT = Path(__file__).parents[2]


def test_a_flag_beats_the_environment_which_beats_the_default() -> None:
    environment = {"CHARWGAN_MODEL": "from-environment", "CHARWGAN_PORT": "9000", "CHARWGAN_THREADS": "2", "PORT": "1"}
    settings = resolve({"model": Path("from-flag"), "port": None}, environment)
    assert (settings.model, settings.port, settings.threads) == (Path("from-flag"), 9000, 2)
    assert settings.host == "127.0.0.1"


def test_the_file_is_beaten_by_the_environment_and_beats_the_default(tmp_path: Path) -> None:
    path = toml(tmp_path, 'model = "m"\nport = 1\nslice = 2\nmax_n = 3\naccess_log = true\ndeadline_s = 5')
    environment = {"CHARWGAN_SLICE": "20", "CHARWGAN_MAX_N": "30", "CHARWGAN_CONFIG": str(path)}
    settings, origins = resolve_with_origins({"max_n": 300}, environment)
    assert (settings.port, settings.slice, settings.max_n, settings.access_log) == (1, 20, 300, True)
    assert (settings.deadline_s, settings.model) == (5.0, Path("m"))
    assert origins["port"] == origins["model"] == str(path)
    assert (origins["slice"], origins["max_n"], origins["host"]) == ("CHARWGAN_SLICE", "--set max_n", "default")
    assert set(origins) == set(Settings.model_fields)


def test_the_file_that_a_flag_names_beats_the_one_of_the_environment(tmp_path: Path) -> None:
    path = toml(tmp_path, "port = 1")
    environment = {"CHARWGAN_CONFIG": str(tmp_path / "none.toml")}
    assert resolve({**MODEL, "config": path}, environment).port == 1
    assert complaint(MODEL, environment) == (
        f"cannot read the settings file {tmp_path}/none.toml (from CHARWGAN_CONFIG): No such file or directory"
    )


def test_without_a_model_and_without_one_that_came_along_it_says_how_to_give_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("service.settings_sources.SHIPPED_MODEL", tmp_path / "stripped")
    assert complaint({}, {}) == "model is missing: give --model or set CHARWGAN_MODEL; or models, for several"


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ({"model": ""}, {}, "model must be a path, got '' (from --model)"),
        ({"model": "m", "port": 70000}, {}, "port must be between 0 and 65535, got 70000 (from --port): correct it"),
        ({"model": "m", "port": True}, {}, "port must be between 0 and 65535, got True (from --port)"),
        ({"model": "m", "port": 1.5}, {}, "port must be a whole number between 0 and 65535, got 1.5 (from --port)"),
        (
            MODEL,
            {"CHARWGAN_PORT": "x"},
            "port must be a whole number between 0 and 65535, got 'x' (from CHARWGAN_PORT)",
        ),
        (MODEL, {"CHARWGAN_PORT": ""}, "port must be between 0 and 65535, got '' (from CHARWGAN_PORT)"),
        ({"model": "m", "max_n": 0}, {}, "max_n must be between 1 and 10000, got 0"),
        ({"model": "m", "body_timeout_s": 0}, {}, "body_timeout_s must be more than 0 and at most 3600, got 0"),
        (MODEL, {"CHARWGAN_DEADLINE_S": "inf"}, "deadline_s must be between 0.1 and 3600, got 'inf'"),
        (MODEL, {"CHARWGAN_DEADLINE_S": "nan"}, "deadline_s must be between 0.1 and 3600, got 'nan'"),
        (MODEL, {"CHARWGAN_DEADLINE_S": "0.05"}, "deadline_s must be between 0.1 and 3600, got '0.05'"),
        (MODEL, {"CHARWGAN_RATE_LIMIT": "0"}, "rate_limit must be between 1 and 1000000000, got '0'"),
        (MODEL, {"CHARWGAN_INSECURE": "maybe"}, "insecure must be true or false, got 'maybe'"),
        (MODEL, {"CHARWGAN_LOG_LEVEL": "loud"}, "log_level must be one of debug, info, warning, error, got 'loud'"),
        (MODEL, {"CHARWGAN_ENGINE": "tf"}, "engine must be one of onnx, onnx-int8, torch, got 'tf'"),
        (MODEL, {"CHARWGAN_HOST": " "}, "host must be a text that is not empty, got ' ' (from CHARWGAN_HOST)"),
        ({"model": "m", "prot": 1}, {}, "prot is not a setting of the service (from --set prot): did you mean port?"),
        ({"model": "m", "zzz": 1}, {}, "zzz is not a setting of the service (from --set zzz): `charwgan config show`"),
    ],
)
def test_a_wrong_setting_is_named_with_its_bound_value_and_origin(
    flags: dict[str, object], environment: dict[str, str], message: str
) -> None:
    assert complaint(flags, environment).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_string_queued = 3",
            "max_string_queued is not a setting of the service (from {path}): did you mean max_s",
        ),
        ("port = true", "port must be between 0 and 65535, got True (from {path})"),
        ("[port]\nnumber = 1", "port must be a whole number between 0 and 65535, got {{'number': 1}} (from {path})"),
        ("port = [", "the settings file {path} (from --config) is not TOML: "),
        ("config = 'other.toml'", "config is not a setting of the service (from {path}): "),
    ],
)
def test_a_wrong_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = toml(tmp_path, text)
    assert complaint({**MODEL, "config": path}).startswith(message.format(path=path))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"max_strings_queued": "9"},
            "max_strings_queued must be at least max_n (10000), got 9 (from CHARWGAN_MAX_STRINGS_QUEUED): ",
        ),
        ({"admin_port": "0"}, "admin_port needs admin_key, got 0 and no key (from CHARWGAN_ADMIN_PORT): set CHARWGAN_"),
        (
            {"admin_port": "8000", "admin_key": ADMIN_KEY},
            "admin_port must differ from port (8000), got 8000 (from CHARWGAN_ADMIN_PORT): choose another",
        ),
        ({"watch_s": "2"}, "watch_s needs models, got 2 (from CHARWGAN_WATCH_S): name the folder"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, str], message: str) -> None:
    environment = {environment_name(field): value for field, value in given.items()}
    assert complaint(MODEL, environment).startswith(message)
    with pytest.raises(ValidationError):
        Settings.model_validate(MODEL | given)


def test_both_ports_may_be_left_to_the_system() -> None:
    settings = resolve({"model": "m", "port": 0, "admin_port": 0, "admin_key": ADMIN_KEY}, {})
    assert settings.port == settings.admin_port == 0


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_a_file_is_read_whenever_it_is_asked_for(name: str, tmp_path: Path) -> None:
    path = secret_file(tmp_path, f"{ADMIN_KEY}\n")
    settings = resolve(MODEL, {f"{environment_name(name)}_FILE": str(path)})
    assert settings.has_secret(name)
    assert settings.secret(name) == ADMIN_KEY
    secret_file(tmp_path, f"{ADMIN_KEY} rotated\n")
    assert settings.secret(name) == f"{ADMIN_KEY} rotated"
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"cannot read {name}_file: .*No such file"):
        settings.secret(name)


def test_a_secret_that_is_not_given_is_none() -> None:
    settings = resolve(MODEL, {})
    assert (settings.has_secret("keys"), settings.secret("keys")) == (False, None)


def test_of_a_secret_and_its_file_the_higher_layer_counts_and_then_the_secret(tmp_path: Path) -> None:
    path = secret_file(tmp_path, "from the file")
    both = {"CHARWGAN_KEYS": "from the variable", "CHARWGAN_KEYS_FILE": str(path)}
    settings, origins = resolve_with_origins(MODEL, both)
    assert settings.secret("keys") == "from the variable"
    assert origins["keys_file"] == "passed over for CHARWGAN_KEYS"
    assert (
        resolve({**MODEL, "keys_file": path}, {"CHARWGAN_KEYS": "from the variable"}).secret("keys") == "from the file"
    )
    config = toml(tmp_path, 'keys = "from toml"')
    from_file = {"CHARWGAN_KEYS_FILE": str(path), "CHARWGAN_CONFIG": str(config)}
    assert resolve(MODEL, from_file).secret("keys") == "from the file"
    assert resolve({**MODEL, "config": config}, {}).secret("keys") == "from toml"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read admin_key_file (from CHARWGAN_ADMIN_KEY_FILE): {path}: No such file or directory"),
        (b"\xff\xfe", "cannot read admin_key_file (from CHARWGAN_ADMIN_KEY_FILE): {path}: it is not UTF-8 text"),
        (b" \n", "admin_key must be 16 to 1024 characters, which the file is not that admin_key_file (from CHARWGAN_"),
        (
            b"short",
            "admin_key must be 16 to 1024 characters, which the file is not that admin_key_file (from CHARWGAN_",
        ),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_at_once(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    told = complaint(MODEL, {"CHARWGAN_ADMIN_KEY_FILE": str(path)})
    assert told.startswith(message.format(path=path))
    assert "short" not in told


def test_a_folder_of_models_needs_no_model_beside_it() -> None:
    assert resolve({}, {"CHARWGAN_MODELS": "models"}).model is None


def test_every_setting_says_what_it_is_and_has_a_bound_a_flag_and_a_variable_of_its_own() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert all(bound(field) for field in Settings.model_fields)
    assert len({environment_name(field) for field in Settings.model_fields}) == len(Settings.model_fields)
    assert flag_name("max_strings_queued") == "--set max_strings_queued"


def test_a_setting_named_by_its_unit_says_the_unit() -> None:
    descriptions = {name: field.description or "" for name, field in Settings.model_fields.items()}
    assert all(text.startswith("Seconds ") for name, text in descriptions.items() if name.endswith("_s"))


def test_importing_the_service_needs_neither_torch_nor_training() -> None:
    program = "import sys, service.server; print(sorted({'torch', 'training', 'onnx'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
