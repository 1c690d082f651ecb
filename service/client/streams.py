"""What has come of a stream, and how it is taken up again where it breaks."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from service.client.asking import NDJSON, Ask, Options, given
from service.client.errors import AnswerError, ClientError, CutOffError, ModelChangedError
from service.client.reading import address_of, bytes_of, problem_of, response_of, understanding
from service.client.results import Row, Summary
from service.client.retries import PASSING, Patience, Policy
from service.client.scripts import Read, Script

DIGEST_HEADER = "Charwgan-Model-Digest"  # of a stream, whose body tells the digest only at its end
OVERLAP = 32  # strings that a resumed stream repeats, to see that they are still the same
SLICE = 256  # as the strings of a model folder come, so that files of both are equal


class Reception:
    """What has come of a stream, and the request for what has not.

    String i depends on (digest, seed, i) alone, so a stream that broke goes on from the place that it had reached,
    less an overlap that must come out the same.  Only a ``unique`` one is made again from its start, for what it may
    hold depends on all that came before.
    """

    def __init__(self, n: int, seed: int | None, options: Options) -> None:
        # Drawn here, since the service would tell the seed only at the end, and no stream could go on without it.
        self.seed = secrets.randbelow(2**53) if seed is None else seed
        self._body = given({**options, "n": n, "seed": self.seed})
        self._n, self._first = n, self._body.get("first", 0)
        self.delivered = 0
        self._recent: deque[Row] = deque(maxlen=OVERLAP)
        self._digest: str | None = None

    def ask(self) -> Ask:
        """The request for what is missing, and for the overlap before it."""
        start = self._first
        self._expected, self._skip = list(self._recent), self.delivered
        if self._expected and not self._body.get("unique"):
            start, self._skip = self._expected[0].place, len(self._expected)
        self._start, self._last, self._received = start, start - 1, 0
        body = self._body | {"n": self._n - self.delivered + self._skip}
        if start != self._first:
            body["first"] = start
        if "max_attempts" in body:
            body["max_attempts"] = max(1, body["max_attempts"] - (start - self._first))
        return Ask("POST", "/v1/generate", body, streamed=True)

    def identify(self, digest: str | None) -> None:
        """Take note of the model's digest.  Raises ModelChangedError if it was another before."""
        if digest is not None and digest != (self._digest or digest):
            raise ModelChangedError(f"{self._where()}: the digest was {self._digest} and now is {digest}")
        self._digest = digest or self._digest

    def take(self, entries: Iterable[Mapping[str, Any]]) -> list[Row]:
        """The rows among some lines that have not been delivered yet.

        Raises ModelChangedError if a repeated one differs, AnswerError if they are out of order.
        """
        rows = []
        for entry in entries:
            row = Row(entry["index"], entry["text"], entry.get("score"), entry.get("latent"), entry.get("label"))
            if row.place <= self._last:
                raise AnswerError(f"the stream has string {row.place} after string {self._last}")
            self._last = row.place
            self._received += 1
            if self._received > self._skip:
                rows.append(row)
            elif (back := self._skip - self._received + 1) <= len(self._expected):
                self._compare(row, self._expected[-back])
        self.delivered += len(rows)
        self._recent.extend(rows[-OVERLAP:])
        return rows

    def _compare(self, row: Row, before: Row) -> None:
        if (row.place, row.text) != (before.place, before.text):
            raise ModelChangedError(f"{self._where()}: string {before.place} is no longer what it was")

    def _where(self) -> str:
        return f"the stream broke after {self.delivered} strings, and the model has changed meanwhile"

    def end(self, content: Mapping[str, Any]) -> Summary:
        """What the last line says.  Raises ProblemError if that is an error."""
        if "error" in content:
            raise problem_of(content["error"], int(content["error"]["status"]))
        summary = content["summary"]
        model, attempted = summary["model"], self._start - self._first + summary["attempted"]
        self.identify(model["digest"])
        if summary["accepted"] != self._received:
            raise AnswerError(f"the stream says it had {summary['accepted']} strings, and {self._received} came")
        if self._received < self._skip:
            raise ModelChangedError(f"{self._where()}: strings that had come no longer do")
        identity = self.seed, self._first, model["name"], model["digest"]
        return Summary(*identity, attempted, self.delivered, summary.get("refused"))


def receiving(reception: Reception, policy: Policy) -> Script[Summary]:
    """The rows of a stream, taken up again where it breaks; patience starts anew whenever strings have come."""
    patience = Patience(policy)
    while True:
        before = reception.delivered
        try:
            return (yield from _receive(reception))
        except ClientError as error:
            if reception.delivered > before:
                patience = Patience(policy)
            yield patience.wait(error, (*PASSING, CutOffError))


def _receive(reception: Reception) -> Script[Summary]:
    response = response_of((yield reception.ask()))
    if not response.headers.get("Content-Type", "").startswith(NDJSON):
        raise AnswerError(f"{address_of(response.request)} does not stream {NDJSON}: is the address right?")
    reception.identify(response.headers.get(DIGEST_HEADER))
    rest = b""
    while chunk := bytes_of((yield Read())):
        # At line feeds alone: a string may hold what else Unicode calls the end of a line.
        *lines, rest = (rest + chunk).split(b"\n")
        with understanding():
            entries = json.loads(b"[" + b",".join(filter(None, lines)) + b"]")
            last = entries.pop() if entries and "index" not in entries[-1] else None
            rows = reception.take(entries)
        if rows:
            yield rows
        if last is not None:
            with understanding():
                return reception.end(last)
    raise CutOffError(f"the stream of {address_of(response.request)} ended without its summary")
