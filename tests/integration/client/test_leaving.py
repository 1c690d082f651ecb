"""Clients that are closed, and tasks that are cancelled, leave no connection behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from client_server import DEADLINE_S, DIGEST_HEADER, NDJSON, Open, generated, line, streamed

from service.client import AsyncClient, AsyncStream, Client

ROW = line({"index": 0, "text": "anna"})
HEAD = (
    f"HTTP/1.1 200 OK\r\nContent-Type: {NDJSON}\r\n{DIGEST_HEADER}: {'a' * 64}\r\nContent-Length: 1000000\r\n\r\n"
).encode()


class Stalled:
    """A service that sends one string and no more.  begun, left: how often a client has come, and has gone."""

    def __init__(self) -> None:
        self.begun, self.left = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + ROW)
        await writer.drain()
        self.begun.release()
        while await reader.read(1000):
            pass
        self.left.release()
        writer.close()
        await writer.wait_closed()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncClient]:
        async with (
            await asyncio.start_server(self.answer, "127.0.0.1", 0) as server,
            AsyncClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client,
        ):
            yield client


async def read_on(client: AsyncClient) -> None:
    async with client.stream(9) as stream:
        async for _ in stream:
            pass


async def read_one(client: AsyncClient) -> None:
    """Cancelled where the reader has a string in hand, and asks for none."""
    async with client.stream(9) as stream:
        async for _ in stream:
            await asyncio.Event().wait()


async def whole(client: AsyncClient) -> None:
    await client.generate(9)


@pytest.mark.parametrize("work", [read_on, read_one, whole])
def test_a_task_that_is_cancelled_closes_its_connection(work: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async def cancelled() -> bool:
        stalled = Stalled()
        async with stalled.client() as client:
            task = asyncio.ensure_future(work(client))
            await stalled.begun.acquire()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.wait_for(stalled.left.acquire(), DEADLINE_S)

    assert asyncio.run(cancelled())


async def _rest(stream: AsyncStream) -> list[str]:
    return [text async for text in stream]


def test_a_closed_client_says_so_and_asks_nothing(service: Open) -> None:
    there = service(generated)
    client = Client(there.url)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.generate(1)
    with pytest.raises(RuntimeError, match="closed"):
        list(client.stream(1))

    async def asynchronously() -> None:
        client = AsyncClient(there.url)
        await client.aclose()
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await client.generate(1)
        with pytest.raises(RuntimeError, match="closed"):
            await _rest(client.stream(1))

    asyncio.run(asynchronously())
    assert there.asked == []


def test_a_stream_that_is_left_before_it_began_asks_nothing(service: Open) -> None:
    there = service(streamed)
    with Client(there.url) as client, client.stream(3) as stream:
        pass
    assert list(stream) == []
    assert there.asked == []
