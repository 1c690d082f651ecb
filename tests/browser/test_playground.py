"""The playground, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Page
from model_versions import contents_of, put
from running import Running, running
from service_process import Process, expected, process

from service.security import issue

KEY, LINE = issue("laptop")


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(max_n=70) as service:
        yield service


@pytest.fixture(scope="module")
def locked() -> Iterator[Running]:
    with running(keys=LINE) as service:
        yield service


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Process]:
    """Two models, of which b is the default."""
    models = tmp_path_factory.mktemp("served")
    for name in ("a", "b"):
        put(models / name, contents_of(tiny_model))
    with process("--models", models, "--model", "b") as service:
        service.said(r"\bserving\b", 2)
        yield service


def address(service: Running, query: str = "") -> str:
    return f"http://127.0.0.1:{service.port}/{query}"


def texts(tab: Page) -> list[str]:
    tab.until("document.querySelector('#texts').ariaBusy === 'false'")
    return list(tab.get("[...document.querySelectorAll('#texts li')].map(item => item.textContent)"))


def hidden(tab: Page, selector: str) -> bool:
    return bool(tab.get(f"document.querySelector('{selector}').offsetParent === null"))


def test_an_address_reproduces_its_strings_without_a_complaint(tab: Page, service: Running) -> None:
    tab.open(address(service, "?n=5&seed=3"))
    assert texts(tab) == [f"3:{i}" for i in range(5)]
    assert (tab.text("#model"), tab.complaints) == ("names", [])
    assert [hidden(tab, "#key"), hidden(tab, "#name")] == [True, True]
    tab.click("#again")
    tab.until("location.search !== '?n=5&seed=3'")
    assert tab.get("location.search") == "?n=5&seed=" + tab.get("document.querySelector('#seed').value")


def test_the_bounds_are_those_of_the_settings(tab: Page, service: Running) -> None:
    tab.open(address(service, "?n=71&seed=3"))
    assert texts(tab) == []
    assert tab.get("document.querySelector('#n').validity.rangeOverflow")
    assert tab.get("['n', 'seed'].map(id => document.getElementById(id).max)") == ["70", str(2**53 - 1)]
    tab.fill("#n", "70")
    tab.click("[type=submit]")
    tab.until("document.querySelectorAll('#texts li').length === 70")
    with running(max_n=9) as few:
        tab.open(address(few))
        assert len(texts(tab)) == 9


def test_a_key_is_asked_for_and_kept_out_of_address_storage_and_call(tab: Page, locked: Running) -> None:
    tab.open(address(locked, "?n=3&seed=4"))
    tab.until("!document.querySelector('#error').hidden")
    assert "a key is needed" in tab.text("#error")
    assert tab.get("document.activeElement.id") == "key"
    tab.fill("#key", "another")
    tab.click("[type=submit]")
    tab.until("document.querySelector('#error').textContent.includes('not known')")
    tab.fill("#key", KEY)
    tab.click("[type=submit]")
    tab.until("document.querySelectorAll('#texts li').length === 3")
    assert (texts(tab), tab.get("document.querySelector('#error').hidden")) == (["4:0", "4:1", "4:2"], True)
    assert "$CHARWGAN_KEY" in tab.text("#call")
    kept = tab.get(
        "[location.href, document.cookie, document.body.innerHTML, localStorage.length, sessionStorage.length]"
    )
    assert KEY not in str(kept)
    assert kept[-2:] == [0, 0]
    assert not any(KEY in request["url"] for request in tab.requests)
    assert tab.complaints == []


def test_a_key_that_no_header_can_hold_is_refused_by_its_field(tab: Page, locked: Running) -> None:
    tab.open(address(locked))
    tab.until("!document.querySelector('#error').hidden")
    sent = len(tab.requests)
    tab.fill("#key", "schlüssel")
    tab.click("[type=submit]")
    assert tab.get("document.querySelector('#key').validity.patternMismatch")
    assert len(tab.requests) == sent


def test_several_models_can_be_chosen_from(tab: Page, several: Process, tiny_model: Path) -> None:
    tab.open(f"{several.url}/?n=3&seed=4")
    assert texts(tab) == [text or "(empty)" for text in expected(tiny_model, 4, 3)]
    assert (tab.text("#model"), tab.get("[...document.querySelector('#name').options].map(o => o.value)")) == (
        "b",
        ["a", "b"],
    )
    tab.fill("#name", "a")
    tab.until("document.querySelector('#model').textContent === 'a'")
    assert tab.get("location.search") == "?n=3&seed=4&model=a"
    assert '"model":"a"' in tab.text("#call")
    tab.get("history.back()")
    tab.until("document.querySelector('#model').textContent === 'b'")


def test_an_address_names_its_model_and_one_that_is_not_served_is_told(tab: Page, several: Process) -> None:
    tab.open(f"{several.url}/?n=3&seed=4&model=a")
    assert len(texts(tab)) == 3
    assert tab.text("#model") == "a"
    tab.open(f"{several.url}/?n=3&seed=4&model=c")
    tab.until("!document.querySelector('#error').hidden")
    assert "no model of that name is served" in tab.text("#error")
    tab.fill("#name", "b")
    tab.until("document.querySelector('#model').textContent === 'b'")
    assert tab.complaints == []


def test_the_page_runs_nothing_that_is_not_its_own(tab: Page, service: Running) -> None:
    tab.open(address(service, "?n=3&seed=4"))
    assert len(texts(tab)) == 3
    tab.get("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    assert tab.get("window.ran") is None
    assert any("Content Security Policy" in complaint for complaint in tab.complaints)
    origins = {request["url"].split("/")[2] for request in tab.requests}
    assert origins == {f"127.0.0.1:{service.port}"}
