"""What starts two ranks elsewhere: Slurm's script, the pods of Kubernetes, and Ray play what torchrun plays."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch
import yaml

import charwgan
from training.checkpoint import load_checkpoint

ROOT = Path(charwgan.__file__).parent
SCRIPT = ROOT / "deploy" / "slurm" / "train.sbatch"
MANIFEST = ROOT / "deploy" / "kubernetes" / "training-job.yaml"
ROUNDS = 20
DEADLINE_S = 200
JOB = f"""
preset = "tiny"
device = "cpu"
batch_size = 8
max_rounds = {ROUNDS}
threads = 1
data.sources = "builtin:ring"
model.width = 8
model.depth = 1
"""
# Slurm's commands on one node: what srun is to start, after its own options, and the node's name.
SRUN = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'
SCONTROL = "#!/bin/sh\necho localhost\necho another-node\n"


def finish(command: list[str], folder: Path, **variables: str) -> tuple[str, str]:
    """Run a command that must succeed; returns what it wrote."""
    with started(command, folder, **variables) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, out + err
    return out, err


@contextmanager
def started(command: list[str], folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A process that finds this source and this environment's commands."""
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "CHARWGAN_CACHE": str(folder / "cache")}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env={**environment, **variables}, text=True, stdout=pipe, stderr=pipe
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(run / "checkpoints", torch.device("cpu"))
    assert state is not None
    assert state["round"] == ROUNDS
    return {f"{player}.{name}": value for player, of in state["players"].items() for name, value in of.items()}


def assert_same(run: Path, other: Path) -> None:
    assert weights(run).keys() == weights(other).keys()
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(run).items())


def free_port(first: int = 20000) -> int:
    for port in range(first, 30000):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port is free")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the job under torchrun, with two ranks."""
    folder = tmp_path_factory.mktemp("expected")
    (folder / "job.toml").write_text(JOB, encoding="utf-8")
    command = ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "--", "training", "job.toml"]
    _, err = finish([*command, "--run", "run"], folder)
    assert err.count("2 ranks, each with 4 samples of a batch") == 1
    return folder / "run"


@pytest.mark.timeout(300)
def test_the_script_for_slurm_plays_the_same_and_goes_on_where_it_was_stopped(tmp_path: Path, expected: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    allocation = {"SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "n[1-2]", "RANKS": "2"}
    for text, rounds in ((JOB.replace(f"= {ROUNDS}", "= 7"), 7), (JOB, ROUNDS)):
        (tmp_path / "job.toml").write_text(text, encoding="utf-8")
        allocation["SLURM_JOB_ID"] = str(free_port() - 20000)
        out, err = finish(["bash", str(SCRIPT), "job.toml", "run"], tmp_path, **allocation)
        assert f"run: {rounds} rounds" in out
    assert "continuing at round 7" in err
    assert_same(tmp_path / "run", expected)


def test_the_script_for_slurm_is_bash_and_asks_for_a_torchrun_on_each_node(tmp_path: Path) -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    asked = [line.split()[1] for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH ")]
    assert {"--ntasks-per-node=1", "--requeue", "--signal=TERM@120"} <= set(asked)
    without = subprocess.run(["bash", str(SCRIPT)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert without.returncode != 0
    assert "the job file" in without.stderr


def manifest() -> tuple[dict[str, Any], dict[str, Any]]:
    """The service and the job."""
    service, job = yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))
    return service, job


def variables_of(container: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def test_the_pods_find_each_other_by_the_name_of_the_service() -> None:
    service, job = manifest()
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    pod = job["spec"]["template"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    name, (port,) = service["metadata"]["name"], (port["port"] for port in service["spec"]["ports"])
    assert pod["spec"]["subdomain"] == name
    variables = variables_of(pod["spec"]["containers"][0])
    assert variables["RENDEZVOUS"] == f"{job['metadata']['name']}-0.{name}:{port}"
    assert int(variables["NODES"]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert job["spec"]["completionMode"] == "Indexed"


def test_the_pods_are_not_root_and_mount_what_there_is() -> None:
    _, job = manifest()
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {pod['securityContext']['runAsUser']} " in (ROOT / "Dockerfile").read_text()
    assert pod["restartPolicy"] in ("Never", "OnFailure")
    (container,) = pod["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    places = tuple(mount["mountPath"] for mount in container["volumeMounts"])
    variables = variables_of(container)
    assert all(variables[name].startswith(places) for name in ("JOB", "RUN", "CHARWGAN_CACHE"))


@pytest.mark.timeout(300)
def test_two_pods_play_the_same(tmp_path: Path, expected: Path) -> None:
    (tmp_path / "job.toml").write_text(JOB, encoding="utf-8")
    container = manifest()[1]["spec"]["template"]["spec"]["containers"][0]
    place = {"JOB": "job.toml", "RUN": "run", "CHARWGAN_CACHE": str(tmp_path / "cache"), "POD_IP": "127.0.0.1"}
    variables = {**variables_of(container), **place, "RENDEZVOUS": f"127.0.0.1:{free_port()}"}
    pods = [started(container["command"], tmp_path, **variables, JOB_COMPLETION_INDEX=index) for index in "01"]
    with pods[0] as first, pods[1] as second:
        told = [process.communicate(timeout=DEADLINE_S) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], told
    assert "".join(out for out, _ in told).count(f"run: {ROUNDS} rounds") == 1
    assert_same(tmp_path / "run", expected)


def left_of(place: str) -> list[int]:
    """The processes that were told to keep their files in a place."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            told = path.read_bytes()
        except OSError:  # it has ended, or is another's
            continue
        if f"RAY_TMPDIR={place}".encode() in told.split(b"\0"):
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def ray_place() -> Iterator[str]:
    """A folder for Ray's files with a short name, since sockets lie in it; whoever still uses it is killed."""
    place = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    yield place
    for process in left_of(place):
        os.kill(process, 9)
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.timeout(300)
def test_two_workers_of_ray_play_the_same_and_leave_no_process_behind(
    tmp_path: Path, expected: Path, ray_place: str
) -> None:
    (tmp_path / "job.toml").write_text(JOB, encoding="utf-8")
    # HOME: Ray leaves a key there.  The font cache of matplotlib, which is there too, would take long to make again.
    variables = {"HOME": ray_place, "RAY_TMPDIR": ray_place, "MPLCONFIGDIR": matplotlib.get_cachedir()}
    variables["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"
    command = [sys.executable, "-m", "training.on_ray", "job.toml", "--run", "run", "--workers", "2"]
    out, _ = finish(command, tmp_path, **variables)
    assert f"run: {ROUNDS} rounds" in out
    assert_same(tmp_path / "run", expected)
    assert not left_of(ray_place)
