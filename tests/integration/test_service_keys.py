"""Keys before a real server: who may ask, and what is never told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from running import Running, assert_problem, running, until
from service_process import ROOT, process

from service.security import OPEN_PATHS, issue

KEYS = {name: issue(name) for name in ("laptop", "phone", "new")}


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name][0]}"}


def lines(*names: str) -> str:
    return "".join(f"{KEYS[name][1]}\n" for name in names)


@pytest.fixture(scope="module")
def locked() -> Iterator[Running]:
    with running(keys=lines("laptop", "phone")) as service:
        yield service


WRONG = {
    "none": None,
    "empty": "",
    "another": f"Bearer {KEYS['new'][0]}",
    "its hash": f"Bearer {KEYS['laptop'][1].partition(':')[2]}",
    "its line": f"Bearer {KEYS['laptop'][1]}",
    "its name": "Bearer laptop",
    "no scheme": KEYS["laptop"][0],
    "basic": f"Basic {KEYS['laptop'][0]}",
    "one character less": f"Bearer {KEYS['laptop'][0][:-1]}",
    "one character more": f"Bearer {KEYS['laptop'][0]}x",
    "upper case": f"Bearer {KEYS['laptop'][0].upper()}",
    "twice": f"Bearer {KEYS['laptop'][0]} {KEYS['laptop'][0]}",
    "very long": "Bearer " + "x" * 10_000,
}


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG)
def test_without_a_key_that_fits_nothing_is_answered(locked: Running, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    for method, path in (("POST", "/v1/generate"), ("POST", "/v1/score"), ("GET", "/v1/models"), ("GET", "/nowhere")):
        refused = locked.client.request(method, path, headers=headers)
        assert_problem(refused, 401, "unauthorized")
        assert refused.headers["www-authenticate"] == 'Bearer realm="charwgan"'
        assert refused.headers["x-request-id"]
    assert not locked.engine.runs


def test_a_body_is_not_read_before_the_key_is_known(locked: Running) -> None:
    refused = locked.client.post("/v1/generate", content=b"{" * 30_000, headers={"content-type": "application/json"})
    assert_problem(refused, 401, "unauthorized")


def test_each_key_opens(locked: Running) -> None:
    for name in ("laptop", "phone"):
        assert locked.ask("/v1/generate", {"seed": 1}, **bearer(name)).json()["texts"] == ["1:0"]
        assert locked.client.get("/v1/models", headers=bearer(name)).status_code == 200
    locked.engine.runs.clear()


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_who_watches_the_service_needs_no_key(locked: Running, path: str) -> None:
    assert locked.client.get(path).status_code == 200


def test_a_path_is_not_open_for_looking_like_one_that_is(locked: Running) -> None:
    for path in ("/livez/", "/livez/../v1/models", "/static/..%2f..%2fv1%2fmodels", "/LIVEZ"):
        assert locked.client.get(path).status_code in (401, 404)


def test_keys_are_exchanged_while_the_service_runs(tmp_path: Path) -> None:
    """What SIGHUP does, on the server's own loop: the new key beside the old, then the old one taken out."""
    file = tmp_path / "keys"
    file.write_text(lines("laptop"), encoding="utf-8")
    with running(keys_file=file) as service:

        def opens() -> set[str]:
            return {name for name in KEYS if service.client.get("/v1/models", headers=bearer(name)).status_code == 200}

        assert opens() == {"laptop"}
        file.write_text(lines("laptop", "new"), encoding="utf-8")
        assert opens() == {"laptop"}
        for content, expected in (
            (lines("laptop", "new"), {"laptop", "new"}),
            (lines("new"), {"new"}),
            ("", {"new"}),  # emptied by mistake: the service must not open
            (f"laptop:{KEYS['laptop'][0]}\n", {"new"}),  # a key instead of its hash
            (lines("phone"), {"phone"}),
        ):
            file.write_text(content, encoding="utf-8")
            service.on_loop(service.server.handle_reload, 1, None)
            until(lambda expected=expected: opens() == expected)  # type: ignore[misc]
        assert service.client.get("/v1/models").status_code == 401


def test_no_key_is_ever_logged(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(lines("laptop"), encoding="utf-8")
    settings = ("--set=log_level=debug", "--set=access_log=true", "--set=log_format=json")
    command = ("--model", tiny_model, "--keys-file", tmp_path / "keys", *settings)
    with process(*command) as service:
        for name in ("laptop", "new"):
            httpx.post(f"{service.url}/v1/generate", json={}, headers=bearer(name))
            httpx.post(f"{service.url}/v1/generate?key={KEYS[name][0]}", content=b"{", headers=bearer(name))
            httpx.get(f"{service.url}/{KEYS[name][0]}", headers=bearer(name))
        assert service.end() == 0
    said = "\n".join(service.lines)
    assert sum(json.loads(line)["event"] == "request" for line in service.lines) >= 6
    for key, line in KEYS.values():
        assert key not in said
        assert line.partition(":")[2] not in said


# The command line.


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("CHARWGAN_")}
    line = [sys.executable, "-m", "charwgan", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, env=own, capture_output=True, text=True, timeout=60)


def test_nobody_listens_to_the_world_without_keys(tiny_model: Path) -> None:
    refused = command("serve", "--model", tiny_model, "--port=0", "--host", "0.0.0.0")
    assert refused.returncode == 2
    assert refused.stdout == ""
    (line,) = refused.stderr.splitlines()
    assert line.startswith("charwgan serve: ") or line.startswith("charwgan: ")
    assert "got 0.0.0.0" in line
    assert "--insecure" in line
    assert "--keys-file" in line


def test_who_insists_is_warned(tiny_model: Path) -> None:
    with process("--model", tiny_model, "--host", "0.0.0.0", "--insecure") as service:
        assert service.lines[0].startswith("warning: 0.0.0.0 can be reached from other machines")
        assert service.end() == 0


def test_with_keys_the_world_may_ask(tiny_model: Path, tmp_path: Path) -> None:
    drawn = command("keys", "new", "laptop")
    assert drawn.returncode == 0
    key = drawn.stderr.removeprefix("key ").strip()
    assert drawn.stdout.startswith("laptop:")
    assert key not in drawn.stdout
    (tmp_path / "keys").write_text(drawn.stdout, encoding="utf-8")
    with process("--model", tiny_model, "--host", "0.0.0.0", "--keys-file", tmp_path / "keys") as service:
        assert not any(line.startswith("warning") for line in service.lines)
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
        assert service.end() == 0


def test_a_name_that_cannot_stand_in_a_line_is_refused() -> None:
    refused = command("keys", "new", "a:b")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
