"""Training's speed beside a plain eager implementation: ``python -m benchmarks.training``.

plain.py      the other side
cell.py       both sides in one process, step by step in turn
ceilings.py   what the machine gives at most
__main__.py   every cell in a process of its own, and the tables
"""
