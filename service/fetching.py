"""What the command line asks of a service elsewhere: the strings of a seed."""

from __future__ import annotations

from collections.abc import Iterator

from model.terminal import importing


def strings(
    url: str, key: str | None, model: str | None, seed: int, first: int, n: int, label: str | None = None
) -> Iterator[list[str]]:
    """Strings first .. first + n - 1 of a seed in slices, by HTTP; a stream that breaks is taken up again.

    Raises MissingDependencyError without httpx, and what ``Client.stream`` raises.
    """
    with importing("client", "--url"):
        from service.client import Client
    if n == 0:  # a part of fewer strings than there are parts
        return
    with (
        Client(url, key) as client,
        client.stream(n, seed=seed, first=first, model=model, label=label) as stream,
    ):
        yield from stream.slices()
