"""The playground, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from chromium import Page
from conditional_model import LABELS
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


@pytest.fixture(scope="module")
def conditional(conditional_model: Path, tiny_model: Path) -> Iterator[Process]:
    """A conditional model, and one that is not."""
    with process("--model", conditional_model, "--models", tiny_model.parent) as service:
        service.said(r"\bserving\b", 2)
        yield service


def address(service: Running, query: str = "") -> str:
    return f"http://127.0.0.1:{service.port}/{query}"


def options(tab: Page, selector: str) -> list[str]:
    """What there is to choose from, as it is shown."""
    return list(tab.get(f"[...document.querySelector('{selector}').options].map(option => option.text)"))


def labelled(tab: Page) -> list[list[str]]:
    """Each string that is shown, with the label beside it."""
    texts(tab)
    return list(
        tab.get("[...document.querySelectorAll('#texts li')].map(li => [...li.childNodes].map(n => n.textContent))")
    )


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
    assert tab.text("#error") == "The service wants a key: put yours into the field."
    assert tab.get("document.activeElement.id") == "key"
    tab.fill("#key", "another")
    tab.click("[type=submit]")
    tab.until("document.querySelector('#error').textContent === 'The service does not know this key.'")
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
    assert options(tab, "#name") == ["a", "b", "c (not served)"]
    tab.fill("#name", "b")
    tab.until("document.querySelector('#model').textContent === 'b'")
    assert tab.complaints == []


def test_an_address_of_an_unknown_model_is_shown_as_it_is_where_nothing_can_be_asked(
    tab: Page, service: Running
) -> None:
    tab.open(address(service, "?n=99999&model=zzz"))
    assert texts(tab) == []
    assert (options(tab, "#name"), hidden(tab, "#name")) == (["names", "zzz (not served)"], False)
    assert '"model":"zzz"' in tab.text("#call")
    tab.fill("#n", "3")
    tab.fill("#name", "names")
    tab.until("document.querySelectorAll('#texts li').length === 3")
    assert (hidden(tab, "#label"), tab.complaints) == (True, [])


def test_a_label_is_chosen_and_stands_beside_each_string(tab: Page, conditional: Process) -> None:
    tab.open(f"{conditional.url}/?n=60&seed=4")
    assert {label for _, label in labelled(tab)} == set(LABELS.names)
    assert (options(tab, "#label"), hidden(tab, "#label")) == (["drawn for each", *LABELS.names], False)
    tab.fill("#label", "fr")
    tab.until("location.search.endsWith('label=fr')")
    shown = labelled(tab)
    answer = httpx.post(f"{conditional.url}/v1/generate", json={"n": 60, "seed": 4, "label": "fr"}).json()
    assert shown == [[text, "fr"] for text in answer["texts"]]
    assert '"label":"fr"' in tab.text("#call")
    tab.get("history.back()")
    tab.until("!location.search.includes('label')")
    assert {label for _, label in labelled(tab)} == set(LABELS.names)


def test_an_address_names_its_label_and_another_model_has_none_of_it(
    tab: Page, conditional: Process, tiny_model: Path
) -> None:
    tab.open(f"{conditional.url}/?n=3&seed=4&model=countries&label=it")
    assert [label for _, label in labelled(tab)] == ["it"] * 3
    tab.fill("#name", tiny_model.name)
    tab.until(f"document.querySelector('#model').textContent === '{tiny_model.name}'")
    assert (texts(tab), hidden(tab, "#label")) == (
        [text or "(empty)" for text in expected(tiny_model, 4, 3)],
        True,
    )
    tab.open(f"{conditional.url}/?n=3&seed=4&model=countries&label=xx")
    tab.until("!document.querySelector('#error').hidden")
    assert "label must be one of the 3 labels" in tab.text("#error")
    assert options(tab, "#label")[-1] == "xx (not known)"
    assert tab.complaints == []


def test_the_page_runs_nothing_that_is_not_its_own(tab: Page, service: Running) -> None:
    tab.open(address(service, "?n=3&seed=4"))
    assert len(texts(tab)) == 3
    tab.get("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    assert tab.get("window.ran") is None
    assert any("Content Security Policy" in complaint for complaint in tab.complaints)
    origins = {request["url"].split("/")[2] for request in tab.requests}
    assert origins == {f"127.0.0.1:{service.port}"}
