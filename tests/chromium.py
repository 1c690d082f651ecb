"""A headless Chromium, spoken to by its DevTools protocol over two pipes: no driver, no library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEADLINE_S = 60
FLAGS = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking"
ENABLED = ("Page", "Runtime", "Log", "Network")
BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """A tab.  complaints: what its console says of errors, but for answers that are errors."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers, self._rest, self._asked = requests, answers, b"", 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[dict[str, Any]] = []
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ENABLED:
            self.command(f"{domain}.enable")

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Have the browser do something; returns the result."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._requests, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + DEADLINE_S
        while (answer := self._read(deadline)).get("id") != self._asked:
            self._note(answer.get("method", ""), answer.get("params", {}))
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._answers], [], [], max(0, deadline - time.monotonic()))[0], "no answer in time"
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "the browser has gone"
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        content: dict[str, Any] = json.loads(message)
        return content

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["source"] != "network":
            self.complaints.append(params["entry"]["text"])

    def open(self, url: str) -> None:
        """Go to an address, and wait until its page and its scripts are loaded."""
        self.command("Page.navigate", url=url)
        self.until(f"document.readyState === 'complete' && location.href !== 'about:blank' /* {url} */")

    def get(self, expression: str) -> Any:
        """The value of an expression of JavaScript, awaited if it is a promise."""
        answer = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for a condition of JavaScript, looking at every turn of the browser's own clock."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.get(f"new Promise(done => setTimeout(() => done(Boolean({condition})), 10))"):
            assert time.monotonic() < deadline, (condition, self.get("document.body.innerText"), self.complaints)

    def text(self, selector: str) -> str:
        """What is to be read there."""
        return str(self.get(f"document.querySelector({json.dumps(selector)}).innerText"))

    def fill(self, selector: str, value: str) -> None:
        """Put a value into a field, as who has typed it or chosen it."""
        field = f"document.querySelector({json.dumps(selector)})"
        self.get(f"{field}.value = {json.dumps(value)}")
        for event in ("input", "change"):
            self.get(f"{field}.dispatchEvent(new Event('{event}', {{bubbles: true}})) && undefined")

    def click(self, selector: str) -> None:
        self.get(f"document.querySelector({json.dumps(selector)}).click()")

    def screenshot(self, path: Path, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """A picture of the page, for people."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.command("Emulation.setEmulatedMedia", features=features)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot")["data"]))


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A tab of a new browser.  profile: an empty folder for what the browser writes."""
    theirs, requests = os.pipe()
    answers, also_theirs = os.pipe()
    # The browser reads from 3 and writes to 4.
    redirected = f'exec "$0" {FLAGS} --remote-debugging-pipe --user-data-dir="$1" 3<&{theirs} 4>&{also_theirs}'
    with subprocess.Popen(
        ["bash", "-c", redirected, str(BINARY), str(profile)],
        pass_fds=(theirs, also_theirs),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile)},
    ) as browser:
        os.close(theirs)
        os.close(also_theirs)
        try:
            yield Page(requests, answers)
        finally:
            os.close(requests)  # the end of its input ends the browser
            os.close(answers)
            try:
                browser.wait(DEADLINE_S)
            finally:
                browser.kill()
