"""Who is measured: our service, and the peers, each a small server in ``peers/`` in an environment of its own.

All answer {"n": k, "seed": s} with {"texts": [k strings]}, the same strings.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# What each peer needs besides itself, in the versions that this interpreter has: the same engine, loop and parser.
COMMON = ("onnxruntime", "numpy", "safetensors", "tokenizers", "uvloop", "httptools")


class SideError(Exception):
    """A side could not be installed, did not start, or broke."""


@dataclass(frozen=True)
class Side:
    """A way to serve the model.

    command: from model folder and port, after the interpreter.  requirement: what pip installs; None: nothing, the
    side runs in this interpreter's environment.  body: of a request, with STRINGS and SEED where the numbers come.
    own_port: it takes a free port itself and says which.
    """

    name: str
    title: str
    command: Callable[[Path, int], list[str]]
    path: str = "/generate"
    body: str = '{"n": STRINGS, "seed": SEED}'
    requirement: str | None = None
    own_port: bool = False


def _ours(model: Path, port: int) -> list[str]:
    return [str(ROOT / "charwgan.py"), "serve", "--model", str(model), "--port", str(port)]


def _peer(name: str, *arguments: str) -> Callable[[Path, int], list[str]]:
    return lambda model, port: ["-m", f"benchmarks.serving.peers.{name}", *arguments]


SIDES = {
    side.name: side
    for side in (
        Side("ours", "charwgan serve", _ours, "/v1/generate", own_port=True),
        Side("fastapi", "plain FastAPI", _peer("fastapi")),
        Side("fastapi-async", "FastAPI, async def", _peer("fastapi", "async")),
        Side("litserve", "LitServe", _peer("litserve"), requirement="litserve==0.2.19"),
        Side(
            "bentoml",
            "BentoML",
            _peer("bentoml"),
            # An endpoint that batches takes a list, and nothing but a list.
            body='{"requests": [{"n": STRINGS, "seed": SEED}]}',
            requirement="bentoml==1.4.39",
        ),
        Side("mosec", "mosec", _peer("mosec"), requirement="mosec==0.9.8"),
    )
}


def interpreter(side: Side, environments: Path) -> Path:
    """The Python that runs a side; its environment is made where it is missing.  Raises SideError."""
    if side.requirement is None:
        return Path(sys.executable)
    folder = environments / side.name
    python, done = folder / "bin" / "python", folder / "installed.txt"
    wanted = [*(f"{name}=={version(name)}" for name in COMMON), side.requirement]
    if not (done.is_file() and done.read_text(encoding="utf-8").split() == wanted):
        print(f"installing {side.requirement} into {folder}", file=sys.stderr)
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], side)
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], side)
        done.write_text("\n".join(wanted), encoding="utf-8")
    return python


def _run(command: list[str], side: Side) -> None:
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        lines = [line for line in (ended.stdout + ended.stderr).splitlines() if not line.startswith("WARNING")]
        raise SideError(f"{side.requirement} could not be installed: {lines[-1] if lines else ended.returncode}")
