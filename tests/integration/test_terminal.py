"""The command line at its edges: full disks, encodings, signals, control characters, variables that set nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

import charwgan
from model import terminal
from training.catalogue import CATALOGUE
from training.layering import keys

ROOT = Path(charwgan.__file__).parent
DEADLINE_S = 120


def start(*arguments: str | Path, cwd: Path, **options: object) -> subprocess.Popen[bytes]:
    told = options.pop("environment", {})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARWGAN_CACHE": str(cwd / "cache"), **told}  # type: ignore[dict-item]
    command = [sys.executable, "-m", "charwgan", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, cwd=cwd, env=environment, **streams)  # type: ignore[call-overload,no-any-return]


def call(*arguments: str | Path, cwd: Path, given: bytes = b"", **options: object) -> tuple[int, bytes, str]:
    with start(*arguments, cwd=cwd, stdin=subprocess.PIPE, **options) as child:
        out, err = child.communicate(given, timeout=DEADLINE_S)
    return child.returncode, out or b"", err.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["completion", "bash"],
        ["inspect", "MODEL"],
        ["score", "--model", "MODEL"],
        ["generate", "--model", "MODEL", "--seed", "1", "-n", "2000"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_standard_output_on_a_full_disk_is_one_line(arguments: list[str], tiny_model: Path, tmp_path: Path) -> None:
    arguments = [str(tiny_model) if argument == "MODEL" else argument for argument in arguments]
    with open("/dev/full", "wb") as full:
        code, _, err = call(*arguments, cwd=tmp_path, given=b"anna\n", stdout=full)
    assert (code, err) == (1, "charwgan: cannot write the output: No space left on device\n")


def test_strings_come_in_utf_8_whatever_the_locale_says(tiny_model: Path, tmp_path: Path) -> None:
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        text = "é日👩"
        code, out, err = call(
            "score", "--model", tiny_model, cwd=tmp_path, given=text.encode() + b"\n", environment=environment
        )
        assert (code, err) == (0, "")
        assert out.decode().rstrip("\n").partition("\t")[2] == text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--threads", "100000"], "--threads must be at most"),
        (["--first", str(2**53)], "--first"),
        (["--first", str(2**53 - 1), "-n", "2"], f"at most {2**53} (2^53), got {2**53 + 1}"),
    ],
)
def test_numbers_beyond_what_there_is_are_wrong_use(
    arguments: list[str], named: str, tiny_model: Path, tmp_path: Path
) -> None:
    code, out, err = call("generate", "--model", tiny_model, "--seed", "1", *arguments, cwd=tmp_path)
    assert (code, out, err.count("\n")) == (2, b"", 1)
    assert named in err


def test_the_last_string_of_a_seed_can_be_had(tiny_model: Path, tmp_path: Path) -> None:
    last = ("--first", str(2**53 - 1), "-n", "1")
    code, out, err = call("generate", "--model", tiny_model, "--seed", "1", *last, cwd=tmp_path)
    assert (code, out.count(b"\n"), err) == (0, 1, "")


def test_no_seed_is_told_for_a_model_that_is_not_there(tmp_path: Path) -> None:
    code, out, err = call("generate", "--model", "missing", cwd=tmp_path)
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert err.startswith("charwgan: no model at ")


def test_sigterm_removes_the_half_written_file(tiny_model: Path, tmp_path: Path) -> None:
    arguments = ("generate", "--model", tiny_model, "-n", "100000000", "--seed", "1", "--out", "big.txt")
    with start(*arguments, cwd=tmp_path) as generating:
        deadline = time.monotonic() + DEADLINE_S
        while not any(path.stat().st_size for path in tmp_path.glob(".big.txt.*.partial")):
            assert time.monotonic() < deadline
            assert generating.poll() is None
        generating.terminate()
        assert generating.wait(DEADLINE_S) == 128 + signal.SIGTERM
        assert generating.stderr is not None
        assert generating.stderr.read() == b""
    assert list(tmp_path.iterdir()) == []


IMPORTING = """
import os, signal
from model.terminal import importing
with importing("train", "this verb"):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        print("went on")
    except BaseException as error:
        print("swallowed", error)
"""


def test_ctrl_c_while_packages_are_imported_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "charwgan: interrupted\n")


def test_ctrl_c_in_a_verb_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_model: Path
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("model.artifact.Model.load", interrupted)
    monkeypatch.setattr(sys, "argv", ["charwgan", "inspect", str(tiny_model)])
    with pytest.raises(SystemExit) as stopped:
        charwgan.main()
    assert (stopped.value.code, capsys.readouterr().err) == (130, "charwgan: interrupted\n")


def test_a_text_is_shown_to_a_person_without_what_a_terminal_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    for person, shown in ((True, "\ufffd[2Ja\ufffd"), (False, "\x1b[2Ja\x9b")):
        monkeypatch.setattr(sys.stdout, "isatty", lambda person=person: person, raising=False)
        assert terminal.as_shown(["\x1b[2Ja\x9b", "é"]) == [shown, "é"]


@pytest.mark.parametrize("verb", [["train", "x.txt"], ["batch", "x.toml"], ["serve", "--model", "x"]])
@pytest.mark.parametrize(
    ("name", "advice"),
    [("CHARWGAN_LR_CRITC", "did you mean CHARWGAN_LR_CRITIC?"), ("CHARWGAN_MAXN", "did you mean CHARWGAN_MAX_N?")],
)
def test_a_variable_that_sets_nothing_is_refused_with_the_one_that_it_resembles(
    verb: list[str], name: str, advice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(sys, "argv", ["charwgan", *verb])
    with pytest.raises(SystemExit) as stopped:
        charwgan.main()
    told = f"charwgan: the environment variable {name} sets nothing: {advice}\n"
    assert (stopped.value.code, capsys.readouterr().err) == (2, told)


@pytest.mark.parametrize(
    "name",
    ["CHARWGAN_CACHE", "CHARWGAN_KEY", "CHARWGAN_N_CRITIC", "CHARWGAN_PRESET", "CHARWGAN_PORT", "CHARWGAN_CONFIG",
     "CHARWGAN_SERVICE_HOST", "CHARWGAN_SERVICE_PORT_HTTP", "CHARWGAN_PORT_8000_TCP_ADDR", "PATH"],
)  # fmt: skip
def test_a_variable_of_training_of_the_service_or_of_an_orchestrator_is_let_pass(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    charwgan.check_environment()


@pytest.mark.parametrize("verb", ["train", "sweep", "batch", "serve"])
def test_help_is_given_whatever_variables_there_are(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHARWGAN_PROT", "1")
    monkeypatch.setattr(sys, "argv", ["charwgan", verb, "--help"])
    with pytest.raises(SystemExit) as stopped:
        charwgan.main()
    assert (stopped.value.code, capsys.readouterr().out.startswith("Usage: charwgan")) == (0, True)


def completed(*arguments: str) -> list[str]:
    *before, incomplete = arguments
    found = ShellComplete(charwgan.cli, {}, "charwgan", "_CHARWGAN_COMPLETE").get_completions(before, incomplete)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in found]


def test_variants_keys_and_built_in_data_are_completed_and_files_too() -> None:
    assert completed("train", "--variant", "w") == ["wgan-gp", "wgan"]
    assert completed("train", "--set", "mo") == [f"{key}=" for key in keys() if key.startswith("mo")]
    assert completed("train", "builtin:d") == ["builtin:docs", "builtin:digits"]
    assert completed("train", "na") == ["<file>"]
    assert completed("train", "") == [*completed("train", "builtin:"), "<file>"]
    # As bash has it, to which the colon is a word.
    assert completed("train", "builtin", ":", "d") == ["docs", "digits"]
    assert completed("train", "builtin", ":") == [
        name.removeprefix("builtin:") for name in completed("train", "builtin:")
    ]


def test_the_completed_variants_are_those_of_the_catalogue() -> None:
    assert completed("train", "--variant", "") == list(CATALOGUE)
