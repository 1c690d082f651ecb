"""Runs the applications: the sockets, the signals, and the one line that says the service is ready."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from model.errors import ConfigurationError
from service import logs
from service.app import create_admin_app, create_app, ending_s
from service.folders import first_models
from service.metrics import OTHER, Metrics
from service.protocol import make_protocol
from service.registry import OpenEngine
from service.security import Gate, check_exposure, is_loopback
from service.serving import Serving
from service.settings import Settings

logger = logs.get_logger()

ENDING = (signal.SIGINT, signal.SIGTERM)
LOOPBACK = "127.0.0.1"
# Longer than the 60 s after which load balancers drop an idle connection, so that they never reuse a closed one.
KEEP_ALIVE_S = 75
SPARE_FILES = 128  # beyond one for each connection: libraries, models, logs
SWITCH_S = 0.0005  # a thread whose run has ended waits no longer for the interpreter; Python's 5 ms cost a tenth


def serve(settings: Settings, *, open_engine: OpenEngine | None = None) -> None:
    """Serve models until SIGTERM or SIGINT; returns when every accepted request has its answer.

    Raises ArtifactError if a model cannot be read or opened, ConfigurationError if keys or addresses cannot be used.
    """
    logs.configure(settings)
    sys.setswitchinterval(SWITCH_S)
    _allow_files(settings.max_connections + SPARE_FILES)
    gate = Gate(settings)
    check_exposure(settings.host, gate.keys, settings.insecure)
    first = first_models(settings)
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(listen(settings.host, settings.port))
        if not (gate.keys or is_loopback(settings.host)):
            logs.warn(f"{settings.host} can be reached from other machines, and anyone who does is answered")
        app = create_app(settings, first=first, open_engine=open_engine, gate=gate)
        server = Server(app, settings)
        if settings.admin_port is not None:
            server.admit_operator(sockets.enter_context(listen(LOOPBACK, settings.admin_port)))
        server.run(sockets=[listener])
    if server.failure is not None:
        raise server.failure


def uvicorn_config(app: FastAPI, settings: Settings, *, lifespan: bool = True) -> uvicorn.Config:
    """How uvicorn runs an application of ours."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=make_protocol(settings, counting(app.state.metrics)),
        ws="none",
        lifespan="on" if lifespan else "off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        # Before this, requests are told that they are given up; after it, they are cut off.
        timeout_graceful_shutdown=settings.drain_grace_s - 4 * ending_s(settings) / 5,  # type: ignore[arg-type]
    )


def counting(metrics: Metrics) -> Callable[[str, int], None]:
    """What counts the problems that the wire finds.  They have no route, and their method may not be known."""

    def refused(kind: str, status: int) -> None:
        metrics.reject(kind)
        if status:
            metrics.observe_request(OTHER, OTHER, status, 0.0)

    return refused


class DrainedServer(uvicorn.Server):
    """uvicorn that leaves no connection behind."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was sent, and cut off what did not end within the grace."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # in which they are closed


class Console(DrainedServer):
    """Answers /admin on a socket of its own, beside the server that gets the signals."""

    def __init__(self, app: FastAPI, settings: Settings, listener: socket.socket) -> None:
        super().__init__(uvicorn_config(app, settings, lifespan=False))
        self.app, self.listener = app, listener

    async def answer(self, serving: Serving) -> None:
        """Steer what is served, until should_exit."""
        self.app.state.serving = serving
        await self.serve([self.listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        port = self.listener.getsockname()[1]
        logs.tell(f"admin on http://{LOOPBACK}:{port}", event="admin", port=port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None are."""
        yield


class Server(DrainedServer):
    """uvicorn that tells when the models are warm, and turns readiness off before it refuses connections."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(uvicorn_config(app, settings))
        self.app, self.settings = app, settings
        self.failure: Exception | None = None
        self._console: Console | None = None
        self._answering: asyncio.Task[None] | None = None  # the console
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def serving(self) -> Serving:
        """What is served, once the application has started."""
        serving = self.app.state.serving
        assert isinstance(serving, Serving)
        return serving

    def admit_operator(self, listener: socket.socket) -> None:
        """Answer /admin on a socket of its own."""
        self._console = Console(create_admin_app(self.settings, self.app.state.metrics), self.settings, listener)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, and watch the models warm up."""
        await super().startup(sockets)
        self._start(self._announce())
        if self._console is not None:
            self._answering = self._start(self._console.answer(self.serving))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was sent, give up shortly before the grace is over, and cut off whoever does not take that."""
        if self._console is not None:
            self._console.should_exit = True
        before_the_end_s = self.settings.drain_grace_s - ending_s(self.settings)
        giving_up = asyncio.get_running_loop().call_later(before_the_end_s, self._give_up)
        await self._close_door(sockets or [])
        await super().shutdown(sockets)
        giving_up.cancel()
        if self._answering is not None:
            await asyncio.wait([self._answering])

    def _give_up(self) -> None:
        if given_up := self.serving.batcher.give_up():
            logger.warning("the grace is nearly over: what has not ended is given up", requests=given_up)

    async def _close_door(self, sockets: list[socket.socket]) -> None:
        """Let in those who have connected, and nobody after them: a listener that closes cuts off who waits there."""
        loop, waiting = asyncio.get_running_loop(), [listener.dup() for listener in sockets]
        for server in self.servers:
            server.close()
        for listener in waiting:
            with listener, contextlib.suppress(BlockingIOError):
                listener.setblocking(False)
                while True:
                    connection, _ = listener.accept()
                    await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        made = self.config.http_protocol_class
        return made(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
        return task

    async def _announce(self) -> None:
        registry = self.serving.registry
        await registry.opened.wait()
        if registry.failure is not None:
            self.failure, self.should_exit = registry.failure, True
            return
        for name, slot in registry.slots.items():
            digest = slot.active.artifact.digest
            logs.tell(
                f"serving {name} ({digest[:12]}…) on {self.address()}",
                event="serving", model=name, digest=digest, address=self.address(),
            )  # fmt: skip

    def address(self) -> str:
        """The URL, with the port that was taken where 0 was asked for."""
        port = self.servers[0].sockets[0].getsockname()[1]
        host = self.settings.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while the server runs.  Unlike uvicorn's, not raised again: a drained process exits with 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def on_loop(number: int, frame: FrameType | None) -> None:
            handle = self.handle_reload if number == signal.SIGHUP else self.handle_exit
            loop.call_soon_threadsafe(handle, number, frame)

        before = {number: signal.signal(number, on_loop) for number in (*ENDING, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Readiness off at once, connections refused after the delay, or on SIGINT at once.

        A second signal ends the process as it stands (threads of the network would abort it where the interpreter ends
        under them), with the status that shells give to what a signal ended: what was accepted is lost.
        """
        if not self.started:
            self.should_exit = True
            return
        again, self.serving.draining = self.serving.draining, True
        if again:
            if threading.current_thread() is threading.main_thread():
                os._exit(128 + sig)
            self.should_exit = self.force_exit = True
        elif sig == signal.SIGINT:
            self.should_exit = True
        else:
            asyncio.get_running_loop().call_later(self.settings.drain_delay_s, self._refuse_connections)

    def _refuse_connections(self) -> None:
        self.should_exit = True

    def handle_reload(self, sig: int, frame: FrameType | None) -> None:
        """Read the keys again, and every model whose folder has changed; what cannot be read stays as it was."""
        if self.started:
            self._start(self._reload())

    async def _reload(self) -> None:
        gates = [self.app.state.gate] + ([self._console.app.state.gate] if self._console else [])
        for gate in gates:
            try:
                gate.reload()
            except ConfigurationError as error:
                logs.warn(f"the keys stay as they were: {error}")
        renewed = await self.serving.registry.refresh()
        logs.tell(f"reloaded: {', '.join(renewed) or 'no model has changed'}", event="reloaded", models=renewed)


def _allow_files(wanted: int) -> None:
    """Raise the number of open files, each connection being one, as far as this user may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        logs.warn(f"this user may open {hard} files, which is less than max_connections needs ({wanted})")


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address.  Raises ConfigurationError if that cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "another program uses it; stop that, or choose another port (0 takes a free one)"
        else:
            reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"cannot listen on port {port} of {host}: {reason}") from None
