"""TensorBoard events, written at once: a disk that refuses is an error here, and nothing waits in a queue.

tensorboardX makes the records.  Its own writer has a thread that dies of a full disk, and then a caller waits for it
for ever.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.runs import write_all

EVENTS = "events"
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by the colour type in a PNG's header


class Events:
    """One more file of events in a run's folder; steps are rounds.  Methods raise OSError if the disk refuses."""

    def __init__(self, run: Path, *, resumed_at: int) -> None:
        """Whatever earlier files hold of rounds after ``resumed_at`` is no longer shown."""
        from tensorboardX.proto import event_pb2

        self._messages = event_pb2
        folder = run / EVENTS
        folder.mkdir(exist_ok=True)
        earlier = any(folder.iterdir())
        # TensorBoard reads the files in the order of their names, and two may be opened within a second.
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}").open("xb", buffering=0)
        self._write(file_version="brain.Event:2")
        if earlier:
            started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._write(session_log=started, step=resumed_at + 1)

    def add_scalars(self, values: Mapping[str, float], number: int) -> None:
        """The figures of a round by name."""
        from tensorboardX import summary

        for name, value in values.items():
            self._write(summary=summary.scalar(name, value), step=number)

    def add_text(self, name: str, text: str, number: int) -> None:
        """A text of a round.  It is shown as it stands: the lines are code to TensorBoard, which renders Markdown."""
        from tensorboardX import summary

        code = "".join(f"    {line}\n" for line in text.split("\n"))
        self._write(summary=summary.text(name, code), step=number)

    def add_image(self, name: str, png: bytes, number: int) -> None:
        """An image of a round, as a PNG file."""
        from tensorboardX.proto.summary_pb2 import Summary

        width, height, _, colours = struct.unpack(">IIBB", png[16:26])
        image = Summary.Image(width=width, height=height, colorspace=CHANNELS[colours], encoded_image_string=png)
        self._write(summary=Summary(value=[Summary.Value(tag=name, image=image)]), step=number)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, **fields: Any) -> None:
        from tensorboardX.record_writer import masked_crc32c

        data = self._messages.Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(data))
        sums = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
        write_all(self._file, length + sums[0] + data + sums[1])
