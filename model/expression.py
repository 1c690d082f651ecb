"""Regular expressions as trees: which lengths they can have, and what is left of one after a character.

A repetition stays one node however often it repeats, so that both answers cost what the expression says and not what
it would be when written out.  What is left after a character is Brzozowski's derivative (1964, "Derivatives of regular
expressions"); equal nodes are one object, so that what is left is known again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

MAX_WALKED = 2000  # nodes walked through to decide whether an expression can be met: about 1 ms
MAX_DERIVED = 4000  # nodes looked at for what is left, in the life of one expression: about 10 ms, and at most 1 MB

MIDDLE, START, END = 0, 1, 2  # where in a string; START | END: in the empty one
ANYWHERE = 0b1111  # one bit for each of these four


class UnclearError(Exception):
    """The expression is beyond what is read or decided here."""


class Node:
    """What a part of an expression matches.

    empty: bit e is set if the empty string is matched at the edges e of the whole string.
    """

    __slots__ = ("empty",)

    def __init__(self, empty: int) -> None:
        self.empty = empty

    def ends(self, walk: Walk, at: int) -> int:
        """The places, as bits, that lie behind what is matched from one of the places ``at``."""
        raise NotImplementedError

    def after(self, nodes: Nodes, place: int, edges: int) -> Node:
        """What is left after the character at this place of the alphabet, read at these edges of the string."""
        return nodes.never


class Never(Node):
    """Matches no string."""

    __slots__ = ()

    def ends(self, walk: Walk, at: int) -> int:
        return 0


class Edge(Node):
    """Matches the empty string: everywhere, or only at the start or the end of the string."""

    __slots__ = ()

    def ends(self, walk: Walk, at: int) -> int:
        if self.empty == ANYWHERE:
            return at
        return walk.started(at) if self.empty >> START & 1 else walk.ended(at)


class Letter(Node):
    """Matches one character of those whose bits are set."""

    __slots__ = ("letters",)

    def __init__(self, letters: int) -> None:
        super().__init__(0)
        self.letters = letters

    def ends(self, walk: Walk, at: int) -> int:
        return (at & walk.open_to(self.letters)) << 1

    def after(self, nodes: Nodes, place: int, edges: int) -> Node:
        return nodes.nothing if self.letters >> place & 1 else nodes.never


class Both(Node):
    """Matches what its left part matches, followed by what its right part matches."""

    __slots__ = ("left", "right")

    def __init__(self, left: Node, right: Node) -> None:
        super().__init__(left.empty & right.empty)
        self.left, self.right = left, right

    def ends(self, walk: Walk, at: int) -> int:
        node: Node = self
        while at and isinstance(node, Both):
            at = walk.ends(node.left, at)
            node = node.right
        return at and walk.ends(node, at)

    def after(self, nodes: Nodes, place: int, edges: int) -> Node:
        choices, node = [], self
        while True:
            choices.append(nodes.both(nodes.after(node.left, place, edges), node.right))
            if not node.left.empty >> edges & 1:
                return nodes.either(choices)
            if not isinstance(node.right, Both):
                return nodes.either([*choices, nodes.after(node.right, place, edges)])
            node = node.right


class Either(Node):
    """Matches what one of its choices matches."""

    __slots__ = ("choices",)

    def __init__(self, choices: Sequence[Node]) -> None:
        empty = 0
        for node in choices:
            empty |= node.empty
        super().__init__(empty)
        self.choices = choices

    def ends(self, walk: Walk, at: int) -> int:
        found = 0
        for node in self.choices:
            found |= walk.ends(node, at)
        return found

    def after(self, nodes: Nodes, place: int, edges: int) -> Node:
        return nodes.either([nodes.after(node, place, edges) for node in self.choices])


class Repeat(Node):
    """Matches ``low`` to ``high`` strings of its inner part; high None: any number."""

    __slots__ = ("high", "inner", "low")

    def __init__(self, inner: Node, low: int, high: int | None) -> None:
        super().__init__(inner.empty if low else ANYWHERE)
        self.inner, self.low, self.high = inner, low, high

    def ends(self, walk: Walk, at: int) -> int:
        for _ in range(self.low):
            before, at = at, walk.ends(self.inner, at)
            if at in (0, before):  # and so it will stay
                break
        found, fresh, more = at, at, self.high is None or self.high - self.low
        while fresh and more:
            fresh = walk.ends(self.inner, fresh) & ~found
            found |= fresh
            more = more is True or more - 1
        return found

    def after(self, nodes: Nodes, place: int, edges: int) -> Node:
        # Where the inner part matches nothing at all, any number of the repetitions may have been that.
        low = 0 if self.inner.empty >> edges & 1 else max(self.low - 1, 0)
        rest = nodes.repeat(self.inner, low, None if self.high is None else self.high - 1)
        return nodes.both(nodes.after(self.inner, place, edges), rest)


Kind = TypeVar("Kind", bound=Node)


class Nodes:
    """Makes the nodes of one expression, of which equal ones are the same object."""

    def __init__(self) -> None:
        self.never, self.nothing = Never(0), Edge(ANYWHERE)
        self.start, self.end = (Edge(sum(1 << edges for edges in range(4) if edges & edge)) for edge in (START, END))
        self.derived = 0
        self._known: dict[object, Node] = {}
        self._after: dict[tuple[Node, int, int], Node] = {}

    @property
    def classes(self) -> list[int]:
        """The different sets of characters in the expression, as bits."""
        return [node.letters for node in list(self._known.values()) if isinstance(node, Letter)]

    def letter(self, letters: int) -> Node:
        return self._one(letters, Letter(letters)) if letters else self.never

    def both(self, left: Node, right: Node) -> Node:
        if self.never in (left, right):
            return self.never
        if self.nothing in (left, right):
            return left if right is self.nothing else right
        return self._one((left, right), Both(left, right))

    def either(self, choices: Iterable[Node]) -> Node:
        distinct: dict[Node, None] = {}
        for node in choices:
            distinct.update(dict.fromkeys(node.choices if isinstance(node, Either) else [node]))
        distinct.pop(self.never, None)
        if len(distinct) < 2:
            return next(iter(distinct), self.never)
        return self._one(frozenset(distinct), Either(tuple(distinct)))

    def repeat(self, inner: Node, low: int, high: int | None) -> Node:
        if high == 0 or inner is self.nothing or (inner is self.never and not low):
            return self.nothing
        if inner is self.never or (low, high) == (1, 1):
            return inner
        if isinstance(inner, Repeat) and inner.low < 2:  # whose numbers of times, added up, leave none out
            low, high = low * inner.low, None if None in (high, inner.high) else (high or 0) * (inner.high or 0)
            inner = inner.inner
        return self._one((inner, low, high), Repeat(inner, low, high))

    def after(self, node: Node, place: int, edges: int) -> Node:
        """What is left of a node after a character.  Raises UnclearError where that has been too much work."""
        self.derived += 1
        if self.derived > MAX_DERIVED:
            raise UnclearError
        key = (node, place, edges)
        found = self._after.get(key)
        if found is None:
            found = self._after[key] = node.after(self, place, edges)
        return found

    def _one(self, key: object, node: Kind) -> Node:
        return self._known.setdefault(key, node)


class Walk:
    """All strings at once, character by character through an expression.

    allowed: the bits of the characters that may stand at each place.  Places are bits of a number: bit i for what ends
    before the i-th character, and once more from ``width`` on for what can only be if the string ends there.
    """

    def __init__(self, allowed: Sequence[int]) -> None:
        self.width, self.walked = len(allowed) + 1, 0
        self._allowed = allowed
        self._open: dict[int, int] = {}

    def ends(self, node: Node, at: int) -> int:
        """``node.ends``.  Raises UnclearError where that has been too much work."""
        self.walked += 1
        if self.walked > MAX_WALKED:
            raise UnclearError
        return node.ends(self, at)

    def open_to(self, letters: int) -> int:
        """The places at which one of these characters may stand."""
        if letters not in self._open:
            self._open[letters] = sum(1 << i for i, allowed in enumerate(self._allowed) if allowed & letters)
        return self._open[letters]

    def started(self, at: int) -> int:
        """Those that are the start of the string."""
        return at & (1 | 1 << self.width)

    def ended(self, at: int) -> int:
        """The same places, where the string has to end."""
        going_on = at & (1 << self.width) - 1
        return at ^ going_on | going_on << self.width


class Expression(NamedTuple):
    """An expression that was read.  exact: whether it matches what it was read from and nothing else."""

    root: Node
    nodes: Nodes
    exact: bool

    def meets(self, allowed: Sequence[int], lengths: range) -> bool:
        """Whether some string of one of the lengths is matched; true as well where that takes too long to decide.

        allowed: the bits of the characters that may stand at each place, at least for the longest length.
        """
        walk = Walk(allowed[: lengths.stop - 1])
        try:
            found = walk.ends(self.root, 1)
        except UnclearError:
            return True
        return bool((found | found >> walk.width) >> lengths.start & (1 << len(lengths)) - 1)
