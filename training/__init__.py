"""What is needed to make a model: data, games, the loop that plays them, evaluation, runs.

The heart is ``game``, ``updates`` and ``loop``; everything else is what games are made of or what surrounds a run.
"""
