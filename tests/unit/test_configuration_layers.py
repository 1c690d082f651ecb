"""Where configuration is written: assignments, the environment, job files."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import ConfigurationError
from training.layering import flatten, keys, parse_assignment, parse_value, read_environment, read_job, resolve
from training.plan import plan


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1e-3", 1e-3),
        ("true", True),
        ('"3"', "3"),
        ('["a", "b"]', ["a", "b"]),
        ("wgan-gp", "wgan-gp"),
        ("names.txt", "names.txt"),
        ("", ""),
        ("a = b", "a = b"),
        ("[broken", "[broken"),
    ],
)
def test_a_value_is_a_toml_literal_where_it_is_one_and_else_itself(text: str, value: object) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_an_assignment_is_cut_at_its_first_equals_sign() -> None:
    assert parse_assignment("lr_critic=1e-3") == ("lr_critic", 1e-3)
    assert parse_assignment(" data.column = a=b ") == ("data.column", "a=b")
    assert parse_assignment("data.column=") == ("data.column", "")


@pytest.mark.parametrize("text", ["lr_critic", "", "=3", " = 3"])
def test_an_assignment_without_key_or_equals_sign_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--set takes key=value, got '"):
        parse_assignment(text)


def test_every_key_can_be_set_by_the_environment() -> None:
    names = {"CHARWGAN_" + key.replace(".", "__").upper(): key for key in keys()}
    texts = ("variant", "data.column", "data.label", "data.sources")
    expected = dict.fromkeys(keys(), 7) | dict.fromkeys(texts, "7")
    assert read_environment(dict.fromkeys(names, "7")) == expected
    assert read_environment({"CHARWGAN_PRESET": "tiny"}) == {"preset": "tiny"}
    assert {"CHARWGAN_DATA__MAX_LENGTH", "CHARWGAN_N_CRITIC", "CHARWGAN_SEED"} <= names.keys()


def test_values_of_the_environment_are_read_as_literals_and_foreign_names_passed_over() -> None:
    environment = {
        "CHARWGAN_LR_CRITIC": "2e-4",
        "CHARWGAN_UPDATE": "consensus",
        "CHARWGAN_PORT": "8000",
        "charwgan_seed": "1",
        "SEED": "2",
        "PATH": "/bin",
    }
    assert read_environment(environment) == {"lr_critic": 2e-4, "update": "consensus"}


def test_a_job_file_is_toml_with_tables_for_data_and_model(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_text(
        'preset = "tiny"\nseed = 3\n[data]\nsources = ["ñames.txt"]\n[model]\nwidth = 16\n', encoding="utf-8"
    )
    values = read_job(path)
    assert values == {"preset": "tiny", "seed": 3, "data.sources": ["ñames.txt"], "model.width": 16}
    config, origins = plan({"file": values})
    assert (config.data.sources, config.model.width, config.seed) == (("ñames.txt",), 16, 3)
    assert origins["model.width"] == "file"


@pytest.mark.parametrize("content", [b"seed 3", b"seed = ", b"[data", b"\xff\xfe", b"seed = 1\nseed = 2\n"])
def test_a_job_file_that_is_no_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "job.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"job\.toml is not TOML: "):
        read_job(path)


def test_a_job_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read the job file .*missing\.toml: No such file"):
        read_job(tmp_path / "missing.toml")
    with pytest.raises(ConfigurationError, match=r"cannot read the job file .*: Is a directory"):
        read_job(tmp_path)


def test_an_unknown_key_of_a_job_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text("[model]\nwitdh = 3\n")
    with pytest.raises(ConfigurationError, match=r"'model\.witdh' \(from the job file\): did you mean 'model\.width'"):
        resolve({"file": read_job(path)})


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("flag", "the command line"),
        ("environment", "CHARWGAN_DATA__HELD_OUT"),
        ("file", "the job file"),
        ("data builtin:ring", "data builtin:ring"),
    ],
)
def test_a_refusal_says_where_the_value_came_from(layer: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"data\.held_out: .*, got 2 \(from {told}\)$"):
        resolve({layer: {"data.held_out": 2}, "later": {"seed": 1}})


@pytest.mark.parametrize("text", ["2", "2024", "1.10", "true", "2024-01-01", "1e3"])
@pytest.mark.parametrize("key", ["data.column", "data.label"])
def test_a_column_may_be_called_like_a_number_or_given_by_one(key: str, text: str) -> None:
    assert parse_assignment(f"{key}={text}") == (key, text)
    assert parse_assignment(f'{key}="{text}"') == (key, text)
    variable = f"CHARWGAN_{key.replace('.', '__').upper()}"
    assert read_environment({variable: text}) == {key: text}
    config, _ = resolve({"flag": dict([parse_assignment(f"{key}={text}")])})
    assert dict(flatten(config.model_dump()))[key] == text


def test_a_job_file_may_give_a_column_as_a_number() -> None:
    config, _ = resolve({"file": {"data.column": 2, "data.label": 2024}})
    assert (config.data.column, config.data.label) == ("2", "2024")


def test_a_source_may_be_called_like_a_number() -> None:
    assert parse_assignment("data.sources=2024") == ("data.sources", "2024")
    assert parse_assignment('data.sources=["a.txt", "b.txt"]') == ("data.sources", ["a.txt", "b.txt"])
