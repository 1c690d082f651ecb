"""A client of the service, blocking and asynchronous, on httpx and the standard library alone.

    with Client("http://127.0.0.1:8000") as client:
        names = client.generate(5, seed=42)

What can go wrong, as one tree:

ClientError              the base, itself a CharwganError
  UnreachableError       no connection came about, so that nothing was sent
  CutOffError            the connection ended before the answer did
  ModelChangedError      a stream cannot go on, since another model makes the strings now
  AnswerError            the answer is none that this service gives
  ProblemError           the service says what is wrong: status, kind, detail, errors
    RateLimitedError     429: the key's rate is used up, or the queue is full
    NotReadyError        503: the service takes no requests now, or had no time; 502, 504: a proxy says that of it

What is asked, how an answer is read and when to ask again stands once, in generators that do no input or output: a
``Script`` yields steps (ask, read on, wait) and is sent what came of each.  The two clients only perform the steps.
"""

from service.client.asking import Common, Options, Point
from service.client.asynchronous import AsyncClient, AsyncStream
from service.client.blocking import Client, Stream
from service.client.errors import (
    AnswerError,
    ClientError,
    CutOffError,
    ModelChangedError,
    NotReadyError,
    ProblemError,
    RateLimitedError,
    UnreachableError,
)
from service.client.results import Generated, Interpolated, Row, Scored, Summary
from service.client.retries import LONGEST_BACKOFF_S
from service.client.streams import DIGEST_HEADER, OVERLAP

__all__ = [
    "DIGEST_HEADER",
    "LONGEST_BACKOFF_S",
    "OVERLAP",
    "AnswerError",
    "AsyncClient",
    "AsyncStream",
    "Client",
    "ClientError",
    "Common",
    "CutOffError",
    "Generated",
    "Interpolated",
    "ModelChangedError",
    "NotReadyError",
    "Options",
    "Point",
    "ProblemError",
    "RateLimitedError",
    "Row",
    "Scored",
    "Stream",
    "Summary",
    "UnreachableError",
]
