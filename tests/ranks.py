"""Ranks on this machine, joined over 127.0.0.1 as torchrun's are."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

DEADLINE_S = 60.0


def in_ranks(count: int, function: Callable[..., Any], *arguments: Any, **environment: str) -> list[Any]:
    """What the function returns in each of ``count`` processes; the exit code where it leaves by SystemExit.

    An exception is returned as it is.
    """
    # Children of a fork server have torch imported already, so that a start is quick.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.job", "training.catalogue"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchruns = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **environment}
    ends, processes = [], []
    for rank in range(count):
        mine, its = context.Pipe(duplex=False)
        variables = {**torchruns, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(context.Process(target=_rank, args=(its, variables, function, arguments)))
        processes[-1].start()
        its.close()
        ends.append(mine)
    try:
        return [pickle.loads(end.recv_bytes()) if end.poll(DEADLINE_S) else None for end in ends]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _rank(end: Connection, variables: dict[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ.update(variables)
    torch.set_num_threads(1)
    try:
        result = function(*arguments)
    except SystemExit as left:
        result = left.code
    except Exception as error:
        result = error
    # Pickled here: torch would hand over its tensors by descriptors, which are gone when this process is.
    end.send_bytes(pickle.dumps(result))
