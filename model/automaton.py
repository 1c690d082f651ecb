"""Which strings an expression matches, decided by tables that grow as strings are judged.

RE2 lets go of the interpreter for every string, and beside a busy thread may wait for it longer than it matches.  Here
a string costs a look-up for each character, once what can follow is known; characters that the expression does not tell
apart share an entry.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.alphabet import Alphabet
from model.expression import END, MIDDLE, START, Expression, Node, UnclearError
from model.pattern import STEPS_A_RUN, Pattern
from model.syntax import Letters, read


class Matcher:
    """A regular expression that must match the whole of a string: by tables where they decide it, by RE2 elsewhere.

    Raises InvalidConstraintError, as ``Pattern``.
    """

    def __init__(self, source: str, alphabet: Alphabet) -> None:
        self._pattern = Pattern(source, alphabet.length)
        letters = Letters(alphabet.characters)
        self._expression: Expression | None = None
        self._automaton: Automaton | None = None
        try:
            self._expression = read(source, letters)
        except UnclearError:
            return
        if self._expression.exact:
            self._automaton = Automaton(self._expression, letters)

    @property
    def at_once(self) -> int:
        """How many strings to match in one go, at most: all tables may be of no use."""
        return max(1, STEPS_A_RUN // self._pattern.steps)

    def meets(self, allowed: Sequence[int], lengths: range) -> bool:
        """``Expression.meets``; true as well where the expression was not read."""
        return self._expression is None or self._expression.meets(allowed, lengths)

    def matches(self, text: str) -> bool:
        """Whether the whole of a text is matched."""
        if self._automaton is not None:
            try:
                return self._automaton.accepts(text)
            except UnclearError:
                pass
        return self._pattern.matches(text)


class Automaton:
    """The deterministic automaton of an exact expression.  Two threads may use one at the same time."""

    def __init__(self, expression: Expression, letters: Letters) -> None:
        self._nodes, self._letters = expression.nodes, letters
        self._kinds = _Kinds(expression.nodes.classes, letters)
        self._states: dict[Node, _State] = {}
        self._first = _State(self, expression.root, START)

    def accepts(self, text: str) -> bool:
        """Whether a text is matched as a whole.

        Raises UnclearError for a character that the alphabet lacks, or if the tables would have to grow too large.
        """
        state = self._first
        for kind in text.translate(self._kinds):
            state = state[kind]
        return state.accepts

    def follow(self, node: Node, kind: str, edges: int) -> _State:
        """The state after a character of a kind, read in the state of a node.  Raises UnclearError."""
        left = self._nodes.after(node, self._letters.place(kind), edges)
        if left not in self._states:
            self._states[left] = _State(self, left, MIDDLE)
        return self._states[left]


class _State(dict[str, "_State"]):
    """What is left of the expression, and the states that were found to follow on a kind of character."""

    def __init__(self, automaton: Automaton, node: Node, edges: int) -> None:
        self._automaton, self._node, self._edges = automaton, node, edges
        self.accepts = bool(node.empty >> (edges | END) & 1)

    def __missing__(self, kind: str) -> _State:
        self[kind] = following = self._automaton.follow(self._node, kind, self._edges)
        return following


class _Kinds(dict[int, int]):
    """Code point to that of the first character seen which is in the same classes."""

    def __init__(self, classes: list[int], letters: Letters) -> None:
        self._classes, self._letters = classes, letters
        self._firsts: dict[tuple[int, ...], int] = {}

    def __missing__(self, point: int) -> int:
        place = self._letters.place(chr(point))
        within = tuple(letters >> place & 1 for letters in self._classes)
        self[point] = first = self._firsts.setdefault(within, point)
        return first
