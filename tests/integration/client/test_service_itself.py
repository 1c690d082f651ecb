"""The client against the service, a process of its own."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from client_server import DEADLINE_S

import charwgan
from model.artifact import Artifact
from model.sampler import Sampler
from service.client import AsyncClient, Client, ProblemError, Row, Summary

ROOT = Path(charwgan.__file__).parent


PROGRAM = """
import sys
from pathlib import Path
from model.sampler import Sampler
from service.server import serve
from service.settings import Settings
serve(Settings(model=Path(sys.argv[1]), port=0, threads=1), open_engine=Sampler)
"""


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """The URL of a service of this model, a process of its own."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(model)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr is not None
            said = child.stderr.readline()
            address = re.search(r"http://\S+", said)
            assert address is not None, said + child.stderr.read()
            yield address.group()
            child.send_signal(signal.SIGINT)
            assert child.wait(DEADLINE_S) == 0
        finally:
            child.kill()


def test_the_service_gives_the_strings_of_its_model(tiny_model: Path) -> None:
    artifact = Artifact.load(tiny_model)
    sampler = Sampler(artifact, threads=1)
    texts = sampler.texts(sampler.latents(7, 0, 500))
    with serving(tiny_model) as url, Client(url) as client:
        client.wait_until_ready(DEADLINE_S)
        assert client.ready()
        names = client.generate(500, seed=7)
        assert list(names) == texts
        assert (names.seed, names.model_name, names.digest) == (7, "tiny", artifact.digest)
        with client.stream(450, seed=7, first=50) as stream:
            assert list(stream.rows()) == [Row(i, texts[i]) for i in range(50, 500)]
        assert stream.summary == Summary(7, 50, "tiny", artifact.digest, 450, 450)
        with pytest.raises(ProblemError, match="n must be an integer between 1 and 10000, got 20000") as refused:
            client.generate(20000)
        assert (refused.value.status, refused.value.kind) == (422, "invalid-field")
        assert refused.value.errors[0]["field"] == "n"

        async def asynchronously() -> list[str]:
            async with AsyncClient(url) as client:
                return list(await client.generate(500, seed=7))

        assert asyncio.run(asynchronously()) == texts
