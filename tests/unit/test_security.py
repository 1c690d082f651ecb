"""Keys: which lines are keys, which key opens, what is never told, and who may listen without any."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConfigurationError
from service.security import (
    CHALLENGE,
    MAX_CREDENTIALS_BYTES,
    OPEN_PATHS,
    PAGES,
    Gate,
    Keys,
    check_exposure,
    is_loopback,
    issue,
    new_key,
)
from service.settings import Settings

KEY = "cwg_" + "k" * 43
LINE = f"laptop:{sha256(KEY.encode()).hexdigest()}"
ADMIN_KEY = "correct horse battery staple"


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


def settings(**given: Any) -> Settings:
    return Settings(model=Path("m"), **given)


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        Keys.parse(text)
    return str(refused.value)


def test_a_key_is_known_by_its_name() -> None:
    assert Keys.parse(LINE).identify(bearer(KEY)) == "laptop"


def test_the_scheme_may_be_written_in_any_case_and_followed_by_more_spaces() -> None:
    keys = Keys.parse(LINE)
    assert keys.identify(b"bearer " + KEY.encode()) == "laptop"
    assert keys.identify(b"BEARER   " + KEY.encode()) == "laptop"


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        KEY.encode(),
        b"Basic " + KEY.encode(),
        b"Token " + KEY.encode(),
        b"Bearer" + KEY.encode(),
        bearer(KEY[:-1]),
        bearer(KEY + "k"),
        bearer(KEY.upper()),
        bearer(KEY) + b" " + KEY.encode(),
        b"Bearer \xff\x00" + KEY.encode(),
        bearer(LINE.partition(":")[2]),  # the hash is no key
        bearer(KEY) + b" " * MAX_CREDENTIALS_BYTES,
    ],
)
def test_what_is_not_a_key_opens_nothing(header: bytes | None) -> None:
    assert Keys.parse(LINE).identify(header) is None


@given(st.binary(max_size=100))
def test_no_header_is_an_error(header: bytes) -> None:
    assert Keys.parse(LINE).identify(header) is None


def test_comments_blank_lines_and_line_ends_of_any_kind_are_accepted() -> None:
    key, line = issue("phone")
    keys = Keys.parse(
        f"\ufeff# who may ask\r\n\r\n  {LINE}  \r\n\t# the phone\n{line.upper().replace('PHONE', 'phone')}"
    )
    assert len(keys) == 2
    assert keys.identify(bearer(key)) == "phone"


def test_a_key_is_rotated_by_two_lines_of_one_name() -> None:
    key, line = issue("laptop")
    keys = Keys.parse(f"{LINE}\n{line}")
    assert keys.identify(bearer(KEY)) == keys.identify(bearer(key)) == "laptop"
    assert Keys.parse(line).identify(bearer(KEY)) is None


SECRET = "cwg_pasted-by-mistake-instead-of-its-hash-000000"


@pytest.mark.parametrize(
    "line",
    [
        SECRET,
        f"laptop:{SECRET}",
        f"laptop: {'0' * 64}",
        f"laptop:{'0' * 63}",
        f"laptop:{'0' * 65}",
        f"laptop:{'g' * 64}",
        f":{'0' * 64}",
        f"{'n' * 65}:{'0' * 64}",
        f"lap top:{'0' * 64}",
        f"läptop:{'0' * 64}",
        f"laptop:{'0' * 64}:admin",
        f"laptop:{'0' * 64} # the laptop",
        f"laptop:{'٠' * 64}",
        "0" * 64,
    ],
)
def test_a_wrong_line_is_told_by_its_number_and_form_and_not_by_what_it_holds(line: str) -> None:
    complaint = refusal(f"# keys\n{LINE}\n{line}\n")
    assert complaint.startswith("line 3 of the keys must be NAME:SHA256")
    assert "charwgan keys new" in complaint
    assert "laptop" not in complaint
    assert "mistake" not in complaint
    assert "0000" not in complaint


def test_two_names_may_not_have_one_key() -> None:
    complaint = refusal(f"{LINE}\n{LINE.replace('laptop', 'phone')}")
    assert complaint.startswith("line 2 of the keys has a key that another name has")
    assert "phone" not in complaint
    assert len(Keys.parse(f"{LINE}\n{LINE}")) == 1


@pytest.mark.parametrize("text", ["", "\n\n", "# laptop:...\n"])
def test_keys_without_a_key_are_an_error_and_not_an_open_service(text: str) -> None:
    assert "at least one line" in refusal(text)


def test_keys_come_from_a_file_or_from_the_setting_itself(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# keys\n{LINE}\n", encoding="utf-8")
    for keys in (Keys.load(settings(keys_file=path)), Keys.load(settings(keys=LINE))):
        assert keys.identify(bearer(KEY)) == "laptop"


def test_without_keys_the_service_is_open() -> None:
    assert not Keys.load(settings())
    assert not Gate(settings()).needed("/v1/generate")


def test_what_is_shown_of_keys_holds_no_hash() -> None:
    assert LINE.partition(":")[2] not in repr(Keys.parse(LINE))
    assert repr(sha256(KEY.encode()).digest()) not in repr(Keys.parse(LINE))


def test_a_revoked_key_is_refused_after_a_reload(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(LINE, encoding="utf-8")
    gate = Gate(settings(keys_file=path))
    assert gate.identify(bearer(KEY)) == "laptop"
    key, line = issue("phone")
    path.write_text(line, encoding="utf-8")
    assert gate.identify(bearer(key)) is None
    gate.reload()
    assert gate.identify(bearer(KEY)) is None
    assert gate.identify(bearer(key)) == "phone"


@pytest.mark.parametrize("text", ["", "nonsense", "# all gone"])
def test_a_reload_that_fails_keeps_the_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(LINE, encoding="utf-8")
    gate = Gate(settings(keys_file=path))
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        gate.reload()
    assert gate.identify(bearer(KEY)) == "laptop"
    assert gate.needed("/v1/generate")


def test_what_watches_the_service_needs_no_key_and_what_uses_it_does() -> None:
    gate = Gate(settings(keys=LINE))
    assert {"/livez", "/readyz", "/startupz", "/metrics", "/version"} <= OPEN_PATHS
    assert not any(gate.needed(path) for path in (*OPEN_PATHS, "/static/docs.js"))
    for path in ("/v1/generate", "/v1/models", "/livez/", "/LIVEZ", "//livez", "/static", "/x/static/y", ""):
        assert gate.needed(path), path


def test_the_admin_gate_knows_one_key_and_lets_only_the_pages_by() -> None:
    gate = Gate.of_admin(settings(admin_port=0, admin_key=ADMIN_KEY, keys=LINE))
    assert gate.identify(bearer(ADMIN_KEY)) == "admin"
    assert gate.identify(bearer(KEY)) is None
    assert {path for path in (*OPEN_PATHS, "/admin/models", "/static/docs.js") if not gate.needed(path)} == {
        *PAGES,
        "/static/docs.js",
    }


def test_an_admin_gate_without_a_key_is_never_made() -> None:
    with pytest.raises(ConfigurationError, match="CHARWGAN_ADMIN_KEY"):
        Gate.of_admin(settings())


def test_a_new_key_has_256_bits_and_opens_by_its_line() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) == 47 and key.startswith("cwg_") for key in keys)
    key, line = issue("ci.nightly_2-b")
    assert key not in line
    assert Keys.parse(line).identify(bearer(key)) == "ci.nightly_2-b"


@pytest.mark.parametrize("name", ["", "a:b", "a b", "ä", "n" * 65, "a\n", "#"])
def test_a_name_that_no_line_can_hold_gets_no_key(name: str) -> None:
    with pytest.raises(ConfigurationError, match="at most 64 letters"):
        issue(name)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    check_exposure(host, Keys(), insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "example.org", "localhost.example.org"])
def test_the_world_needs_keys_or_a_word(host: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_exposure(host, Keys(), insecure=False)
    assert all(word in str(refused.value) for word in (host, "--keys-file", "--insecure", "127.0.0.1"))
    check_exposure(host, Keys.parse(LINE), insecure=False)
    check_exposure(host, Keys(), insecure=True)


def test_a_challenge_names_the_scheme() -> None:
    assert CHALLENGE["WWW-Authenticate"].startswith("Bearer ")


def test_drawing_a_key_loads_neither_the_framework_nor_the_settings() -> None:
    code = "import sys, service.security; print({'fastapi', 'pydantic', 'torch'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout.strip() == "set()"
