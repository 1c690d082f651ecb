"""Runs the application: the socket, the signals, and the one line that says it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from model.artifact import Artifact
from model.errors import ConfigurationError
from model.sampler import Sampler
from service.app import create_app
from service.registry import OpenEngine, Serving
from service.settings import Settings

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Longer than the 60 s after which load balancers drop an idle connection, so that they never reuse a closed one.
KEEP_ALIVE_S = 75


def serve(settings: Settings, *, open_engine: OpenEngine = Sampler) -> None:
    """Serve a model until SIGTERM or SIGINT; returns when every accepted request has its answer.

    Raises ArtifactError if the model cannot be read or opened, ConfigurationError if the address cannot be used.
    """
    artifact = Artifact.load(settings.model)
    with contextlib.closing(listen(settings.host, settings.port)) as listener:
        if not is_loopback(settings.host):
            tell(f"warning: {settings.host} can be reached from other machines, and anyone who does is answered")
        server = Server(create_app(settings, artifact=artifact, open_engine=open_engine), settings)
        server.run(sockets=[listener])
    if server.failure is not None:
        raise server.failure


class Server(uvicorn.Server):
    """uvicorn that tells when the model is warm, and turns readiness off before it refuses connections."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=settings.drain_grace_s,
            )
        )
        self.app, self.settings = app, settings
        self.failure: Exception | None = None

    @property
    def serving(self) -> Serving:
        """What is served, once the application has started."""
        serving = self.app.state.serving
        assert isinstance(serving, Serving)
        return serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, and watch the model warm up."""
        await super().startup(sockets)
        self._watcher = asyncio.create_task(self._announce())

    async def _announce(self) -> None:
        try:
            await asyncio.shield(self.serving.batcher.warm)
        except Exception as error:
            self.failure, self.should_exit = error, True
        else:
            tell(f"serving {self.serving.artifact.name} ({self.serving.artifact.digest[:12]}…) on {self.address()}")

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
            loop.call_soon_threadsafe(self.handle_exit, number, frame)

        before = {number: signal.signal(number, on_loop) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Readiness off at once; connections refused after the delay, or at once on SIGINT or a second signal."""
        if not self.started:
            self.should_exit = True
            return
        again, self.serving.draining = self.serving.draining, True
        if self.should_exit:
            self.force_exit = True
        elif again or sig == signal.SIGINT:
            self.should_exit = True
        else:
            asyncio.get_running_loop().call_later(self.settings.drain_delay_s, self._refuse_connections)

    def _refuse_connections(self) -> None:
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address.  Raises ConfigurationError if that cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "another program uses it; stop that, or choose another port (0 takes a free one)"
        else:
            reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"cannot listen on port {port} of {host}: {reason}") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tell(line: str) -> None:
    """Say one line to whoever started the service."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
