"""A small real HTTP server that answers the client as the test says."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from service.client import DIGEST_HEADER
from service.client.asking import NDJSON

DEADLINE_S = 30
MODEL = {"name": "names", "digest": "a" * 64}


@dataclass
class Asked:
    """A request as the server read it."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Answer:
    """What the server sends.  cut: the connection is closed before the end is said.  reset: by RST."""

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] | None = None
    cut: bool = False
    reset: bool = False


def text_of(seed: int, i: int) -> str:
    """String i of a seed: with what is not ASCII, and with what str.splitlines takes for the end of a line."""
    return f"{seed}:{i} é\u2028\x85\x0b🐈"


def problem(status: int, kind: str, **more: Any) -> Answer:
    content = {"type": f"/docs#{kind}", "title": "A title", "status": status, "detail": f"{kind} it is", **more}
    return Answer(content, status)


def line(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def summary_line(asked: Asked, attempted: int, accepted: int, digest: str = MODEL["digest"]) -> bytes:
    place = {"seed": asked.body["seed"], "first": asked.body.get("first", 0)}
    model = {"name": "names", "digest": digest}
    return line({"summary": {**place, "model": model, "attempted": attempted, "accepted": accepted}})


def streamed(
    asked: Asked,
    *,
    rows: int | None = None,
    digest: str = MODEL["digest"],
    told: bool = True,
    keeps: Callable[[int], bool] = lambda i: True,
    text: Callable[[int, int], str] = text_of,
) -> Answer:
    """A stream as the service makes it; cut after some rows.  keeps: which strings meet the constraints."""
    seed, first, n = asked.body["seed"], asked.body.get("first", 0), asked.body["n"]
    most = asked.body.get("max_attempts", 10 * n)
    places = [i for i in range(first, first + most) if keeps(i)][:n]
    pieces = [line({"index": i, "text": text(seed, i)}) for i in places[:rows]]
    attempted = places[-1] + 1 - first if len(places) == n else most
    if rows is None:
        pieces.append(summary_line(asked, attempted, n if len(places) == n else len(places), digest))
    headers = {DIGEST_HEADER: digest} if told else {}
    return Answer(pieces=pieces, headers=headers, cut=rows is not None)


def generated(asked: Asked) -> Answer:
    n, seed, first = asked.body["n"], asked.body.get("seed", 5), asked.body.get("first", 0)
    texts = [text_of(seed, i) for i in range(first, first + n)]
    content = {"texts": texts, "seed": seed, "first": first, "model": MODEL, "attempted": n, "accepted": n}
    if asked.body.get("scores"):
        content["scores"] = [0.5] * n
    if asked.body.get("latents"):
        content["latents"] = [[1.0, 2.0]] * n
    if asked.body.get("label"):
        content["labels"] = [asked.body["label"]] * n
    return Answer(content)


def expected(seed: int, first: int, n: int) -> list[str]:
    return [text_of(seed, i) for i in range(first, first + n)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = DEADLINE_S
    server: Service

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client has gone
            self.close_connection = True

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, dict(self.headers), json.loads(body or b"{}"))
        answer = self.server.answer(asked)
        if answer.pieces is None:
            self.send_whole(answer)
        else:
            self.send_pieces(answer, answer.pieces)
        self.close_connection = self.close_connection or answer.cut
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    do_POST = do_GET  # noqa: N815

    def send_whole(self, answer: Answer) -> None:
        body = answer.content if isinstance(answer.content, bytes) else json.dumps(answer.content).encode()
        self.send_head(answer, {"Content-Length": str(len(body) + answer.cut)})
        self.wfile.write(body)

    def send_pieces(self, answer: Answer, pieces: list[bytes]) -> None:
        self.send_head(answer, {"Content-Type": NDJSON, "Transfer-Encoding": "chunked"})
        for piece in pieces:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if not answer.cut:
            self.wfile.write(b"0\r\n\r\n")

    def send_head(self, answer: Answer, headers: dict[str, str]) -> None:
        self.send_response_only(answer.status)
        for name, value in ({"Date": self.date_time_string()} | headers | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


class Service(ThreadingHTTPServer):
    """A server on a port of its own: answers in their order, the last one for ever."""

    daemon_threads = False

    def __init__(self, *answers: Answer | Callable[[Asked], Answer], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.asked: list[Asked] = []
        self.answers = answers
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        return answer if isinstance(answer, Answer) else answer(asked)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [asked.body for asked in self.asked]

    def stop(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


Open = Callable[..., Service]
