"""The speed of the service beside other ways to serve the same model, all sides in one run on one machine.

    python -m benchmarks.serving                                  every side, half an hour or more
    python -m benchmarks.serving --quick                          does it run at all: a few minutes, no figures
    python -m benchmarks.serving --sides ours fastapi --clients 64 --strings 1

One module for each part: ``subject`` the model, ``sides`` and ``peers/`` the servers, ``servers`` their processes,
``client`` and ``load`` the requests, ``ceiling`` the most that the machine could do, ``streaming`` one long answer,
``report`` the tables.

The processors must have nothing else to do: a server with many threads takes more from other work than one with few,
so on a busy machine the rates mislead, and the processor time a request is the better guide.
"""
