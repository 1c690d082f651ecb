"""The command line, with strings from a service elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from client_server import Answer, Asked, Open, expected, problem, streamed
from command import Run

from model.artifact import Artifact
from model.sampler import Sampler


def of_model(model: Path) -> Callable[[Asked], Answer]:
    """Streams of a real model, of which the first one breaks."""
    sampler, cuts = Sampler(Artifact.load(model), threads=1), iter([300])

    def answer(asked: Asked) -> Answer:
        seed, first, n = asked.body["seed"], asked.body["first"], asked.body["n"]
        texts = sampler.texts(sampler.latents(seed, first, n))
        return streamed(asked, rows=next(cuts, None), text=lambda seed, i: texts[i - first])

    return answer


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "parquet"])
def test_a_file_over_http_is_the_file_from_the_folder(
    run: Run, service: Open, tiny_model: Path, tmp_path: Path, suffix: str
) -> None:
    common = ("generate", "-n", "1000", "--seed", "7", "--first", "5", "--out")
    assert run(*common, f"here.{suffix}", "--model", tiny_model)[0] == 0
    assert run(*common, f"there.{suffix}", "--url", service(of_model(tiny_model)).url) == (0, "", "")
    assert (tmp_path / f"there.{suffix}").read_bytes() == (tmp_path / f"here.{suffix}").read_bytes()


def test_shards_over_http_together_are_the_unsharded_strings(run: Run, service: Open, tiny_model: Path) -> None:
    common = ("generate", "-n", "1001", "--seed", "3")
    whole = run(*common, "--model", tiny_model)[1]
    url = service(of_model(tiny_model)).url
    assert "".join(run(*common, "--url", url, "--shard", f"{i}/4")[1] for i in range(4)) == whole
    assert run("generate", "-n", "1", "--seed", "3", "--url", url, "--shard", "0/4") == (0, "", "")


def test_model_names_one_that_is_served_and_the_key_comes_from_the_environment(
    run: Run, service: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = service(streamed)
    (Path.cwd() / "names").write_text("a file of the same name is in nobody's way", encoding="utf-8")
    monkeypatch.setenv("CHARWGAN_KEY", "s3cret")
    code, out, err = run("generate", "--url", there.url, "--model", "names", "-n", "2")
    seed = int(err.removeprefix("seed "))
    assert (code, out) == (0, "".join(f"{text}\n" for text in expected(seed, 0, 2)))
    run("generate", "--url", there.url, "--key", "other")
    assert there.bodies[0] == {"n": 2, "seed": seed, "first": 0, "model": "names"}
    assert [asked.headers["Authorization"] for asked in there.asked] == ["Bearer s3cret", "Bearer other"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--url", "127.0.0.1:8000"], "http://HOST:PORT"),
        (["--url", "http://127.0.0.1:8000", "--threads", "2"], "--threads"),
    ],
)
def test_wrong_use_of_url_exits_with_2_and_one_line(run: Run, arguments: list[str], named: str) -> None:
    code, out, err = run("generate", "--seed", "1", *arguments)
    assert (code, out, err.count("\n"), named in err) == (2, "", 1, True)


def test_a_problem_of_the_service_is_one_line_and_leaves_no_file(run: Run, service: Open, tmp_path: Path) -> None:
    url = service(problem(401, "unauthorized")).url
    code, out, err = run("generate", "--url", url, "--seed", "1", "--out", "names.txt")
    assert (code, out, err) == (1, "", "charwgan: unauthorized it is (HTTP 401)\n")
    assert list(tmp_path.glob("*names*")) == []


def test_without_httpx_the_verb_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("service.client")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx", None)
    code, out, err = run("generate", "--url", "http://127.0.0.1:8000", "--seed", "1")
    assert (code, out) == (1, "")
    assert "pip install '.[client]'" in err
