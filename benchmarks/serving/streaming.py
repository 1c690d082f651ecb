"""One long answer from our service: 1,000,000 strings as NDJSON, read by a process of its own.

    python -m benchmarks.serving.streaming PORT N

reads and counts, and prints what it saw as JSON.  ``measure`` starts that and watches the server's memory meanwhile.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from time import monotonic, sleep
from typing import Any

from benchmarks.serving.load import Truth
from benchmarks.serving.servers import Server, resident_mb
from benchmarks.serving.sides import ROOT, SideError

SEED = 7
KEEP_EVERY = 9973
SAMPLE_S = 0.05  # between two looks at the server's memory


def read(port: int, n: int) -> dict[str, Any]:
    """Ask for n strings and read them as they come; keeps a few of them, and the last line."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    started = monotonic()
    headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
    connection.request("POST", "/v1/generate", json.dumps({"n": n, "seed": SEED}), headers)
    response = connection.getresponse()
    if response.status != 200:
        return {"problem": f"status {response.status}: {response.read(300).decode(errors='replace')}"}
    count, kept, rest, first_s, line = 0, [], b"", 0.0, b""
    while data := response.read1(1 << 16):
        first_s = first_s or monotonic() - started
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            text = json.loads(line).get("text")
            if text is None:
                continue
            if count % KEEP_EVERY == 0:
                kept.append((count, text))
            count += 1
    last = line.decode()
    return {"strings": count, "seconds": monotonic() - started, "first_byte_s": first_s, "kept": kept, "last": last}


def measure(server: Server, truth: Truth, n: int) -> dict[str, Any]:
    """Strings a second and memory of one stream of n strings.  Raises SideError if strings are missing or wrong.

    resident_mb: before it, the most during it, and the most in its first tenth; growth_mb: most minus before.
    """
    command = [sys.executable, "-m", "benchmarks.serving.streaming", str(server.port), str(n)]
    before, samples = resident_mb(server.process.pid), []
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    while reader.poll() is None:
        samples.append(resident_mb(server.process.pid))
        sleep(SAMPLE_S)
    output, _ = reader.communicate()
    if reader.returncode:
        raise SideError("the reader of the stream broke: its error stands above")
    seen = json.loads(output)
    if "problem" in seen:
        raise SideError(f"the stream was refused: {seen['problem']}")
    sampler = truth.sampler
    wrong = [i for i, text in seen["kept"] if sampler.texts(sampler.latents(SEED, i, 1)) != [text]]
    if seen["strings"] != n or wrong:
        raise SideError(f"the stream held {seen['strings']} of {n} strings, {len(wrong)} of {len(seen['kept'])} wrong")
    early = max(samples[: len(samples) // 10 + 1])
    return {
        "strings": n,
        "strings_per_s": n / seen["seconds"],
        "seconds": seen["seconds"],
        "first_byte_s": seen["first_byte_s"],
        "last_line": seen["last"],
        "resident_mb": {"before": before, "early": early, "most": max(samples)},
        "growth_mb": max(samples) - before,
    }


if __name__ == "__main__":
    print(json.dumps(read(int(sys.argv[1]), int(sys.argv[2]))))
