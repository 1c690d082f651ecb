"""Sweeps: many runs of one job over a space of configurations, the better ones leading to the next.

``search`` reads the space, ``study`` plays the trials, ``results`` tells what came of them.
"""
