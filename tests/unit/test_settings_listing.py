"""The settings as people read them: value and origin of each, and no secret."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from settings_files import ADMIN_KEY, MODEL, complaint, secret_file, toml

import charwgan
from model.artifact import SHIPPED_MODEL
from model.errors import ConfigurationError
from service.settings import Settings
from service.settings_listing import listing, passed_over, settings_table, to_text
from service.settings_sources import FLAGS, resolve


def test_the_value_of_a_secret_is_never_shown(tmp_path: Path) -> None:
    password = "hunter2hunter2hunter2"
    storage = f"redis://me:{password}@redis:6379/0?token={password}"
    flags = {"model": "m", "keys": password, "admin_key": password, "rate_limit_storage": storage}
    settings = resolve(flags, {})
    config = toml(tmp_path, f'keys = "{password}"')
    shown = [
        repr(settings),
        str(settings),
        to_text(listing(flags, {})),
        json.dumps(listing(flags, {})),
        json.dumps(listing({"config": config}, {"CHARWGAN_ADMIN_KEY_FILE": str(secret_file(tmp_path, password))})),
        complaint({"model": "m", "admin_key": password * 100}),
        complaint({"model": "m", "rate_limit_storage": f"amqp://{password}"}),
        complaint(MODEL, {"CHARWGAN_KEYS": password * 100_000}),
        complaint({"model": "m", "admin_key": [password]}),
    ]
    with pytest.raises(ValidationError) as refused:
        Settings(model=Path("m"), admin_key=[password])  # type: ignore[arg-type]
    assert not [text for text in [*shown, str(refused.value)] if password in text]


def test_a_folder_of_models_needs_no_model_in_the_listing() -> None:
    assert listing({}, {"CHARWGAN_MODELS": "models"})["model"] == {"value": None, "origin": "default"}


def test_training_s_variables_are_passed_over_and_can_be_listed() -> None:
    environment = {"CHARWGAN_DATA__MAX_LENGTH": "9", "CHARWGAN_SEED": "x", "CHARWGAN_CACHE": "/c", "CHARWGAN_PORT": "1"}
    assert resolve(MODEL, environment).port == 1
    assert passed_over(environment) == ["CHARWGAN_CACHE", "CHARWGAN_DATA__MAX_LENGTH", "CHARWGAN_SEED"]


def test_the_listing_has_the_value_and_origin_of_every_setting(tmp_path: Path) -> None:
    path = secret_file(tmp_path, ADMIN_KEY)
    rows = listing({}, {"CHARWGAN_PORT": "1", "CHARWGAN_KEYS_FILE": str(path)})
    assert list(rows) == list(Settings.model_fields)
    assert rows["port"] == {"value": 1, "origin": "CHARWGAN_PORT"}
    assert rows["host"] == {"value": "127.0.0.1", "origin": "default"}
    assert rows["keys"] == {"value": "********", "origin": str(path)}
    assert rows["keys_file"] == {"value": str(path), "origin": "CHARWGAN_KEYS_FILE"}
    assert rows["model"] == {"value": str(SHIPPED_MODEL), "origin": "the package, since none is named"}
    assert "port                1" in to_text(rows)


def test_a_model_that_is_missing_is_listed_with_how_to_give_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("service.settings_sources.SHIPPED_MODEL", tmp_path / "stripped")
    assert listing({}, {})["model"] == {"value": None, "origin": "not given: --model, or CHARWGAN_MODEL"}


def test_the_table_has_a_row_for_every_setting_with_default_bound_and_meaning() -> None:
    rows = settings_table().splitlines()[2:]
    assert len(rows) == len(Settings.model_fields)
    assert "| `port` | `8000` | between 0 and 65535 | TCP port; 0 takes a free one. |" in rows
    assert "| `insecure` | `false` | true or false | Listen beyond loopback although there are no keys. |" in rows
    assert all(row.count("|") == 5 for row in rows)


def test_config_show_prints_what_the_listing_says(tmp_path: Path) -> None:
    path = toml(tmp_path, "port = 9")
    environment = {"CHARWGAN_MODEL": "m", "CHARWGAN_SEED": "1", "CHARWGAN_CONFIG": None}
    shown = CliRunner().invoke(charwgan.cli, ["config", "show", "--config", str(path)], env=environment)
    assert (shown.exit_code, "port                9 " in shown.stdout) == (0, True)
    assert shown.stderr == "passed over, for they are no settings of the service: CHARWGAN_SEED\n"
    as_json = CliRunner().invoke(charwgan.cli, ["config", "show", "--json", "--config", str(path)], env=environment)
    assert json.loads(as_json.stdout) == listing({"config": path}, {"CHARWGAN_MODEL": "m"})


def shown(*arguments: str | Path, **environment: str | None) -> dict[str, dict[str, object]]:
    """What ``charwgan config show`` says of each setting."""
    line = ["config", "show", "--json", *map(str, arguments)]
    ran = CliRunner().invoke(charwgan.cli, line, env={"CHARWGAN_CONFIG": None, "CHARWGAN_MODEL": "m", **environment})
    assert ran.exit_code == 0, ran.stderr
    rows: dict[str, dict[str, object]] = json.loads(ran.stdout)
    return rows


def test_config_show_shows_what_serve_would_have_with_the_same_flags(tmp_path: Path) -> None:
    path = toml(tmp_path, "port = 9\nslice = 8\nmax_n = 7")
    rows = shown(
        "--config", path, "--port", "10", "--insecure", "--set", "max-n=11", "--set", "watch_s=5", "--models=x"
    )
    assert rows["port"] == {"value": 10, "origin": "--port"}
    assert rows["insecure"] == {"value": True, "origin": "--insecure"}
    assert rows["max_n"] == {"value": 11, "origin": "--set max_n"}
    assert rows["slice"] == {"value": 8, "origin": str(path)}
    assert rows["model"] == {"value": "m", "origin": "CHARWGAN_MODEL"}


def test_config_show_and_serve_take_the_same_flags() -> None:
    def flags(command: click.Command) -> set[str]:
        return {parameter.name or "" for parameter in command.params} - {"as_json"}

    config = charwgan.cli.commands["config"]
    assert isinstance(config, click.Group)
    assert flags(charwgan.cli.commands["serve"]) == flags(config.commands["show"]) == {*FLAGS, "assignments"}


def test_config_show_refuses_what_serve_refuses() -> None:
    ran = CliRunner().invoke(charwgan.cli, ["config", "show", "--set", "max_n=0"], env={"CHARWGAN_CONFIG": None})
    assert isinstance(ran.exception, ConfigurationError)
    assert str(ran.exception).startswith("max_n must be between 1 and 10000, got '0' (from --set max_n)")
