"""Regular expressions that can't run away: an automaton instead of backtracking.

A query may bring any pattern, and Python's own engine takes exponential time for some. Here the work is proportional
to the length of the text. What an automaton can't do (back references, look-around) is refused. The pattern has to
cover the whole text, so that lazy and greedy make no difference. Construction after K. Thompson, "Regular Expression
Search Algorithm", CACM 11 (1968), with the deterministic states found as they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .errors import QueryError

MAX_PATTERN = 1000
MAX_STATES = 10_000
MAX_CACHED = 2_000
MAX_DEPTH = 50
_MAX_REPEAT = 1000

Test = Callable[[str], bool]
_WORD: Test = lambda letter: letter.isalnum() or letter == "_"  # noqa: E731 - a table of predicates
_CLASSES: dict[str, Test] = {
    "d": str.isdecimal,
    "D": lambda letter: not letter.isdecimal(),
    "s": str.isspace,
    "S": lambda letter: not letter.isspace(),
    "w": _WORD,
    "W": lambda letter: not _WORD(letter),
}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_QUANTIFIERS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


@dataclass(slots=True)
class _State:
    """A state of the automaton: on a letter that passes `test` go to `target`; `free` are steps without a letter."""

    test: Test | None = None
    target: int = -1
    free: list[int] = field(default_factory=list)


class Pattern:
    """A compiled regular expression.

    Raises
    ------
    QueryError
        If it is malformed, too large, or of a kind that is not supported.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN:
            raise QueryError(f"The regular expression is longer than {MAX_PATTERN} characters.")
        self._states: list[_State] = []
        parser = _Parser(text)
        tree = parser.alternatives(0)
        parser.finish()
        self._final = self._add()
        self._start = self._closure(tree(self, self._final))
        self._next: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def covers(self, text: str) -> bool:
        """Tell whether the pattern covers the whole text."""
        current = self._start
        for letter in text:
            following = self._next.get((current, letter))
            if following is None:
                following = self._step(current, letter)
            if not following:
                return False
            current = following
        return self._final in current

    def _step(self, current: frozenset[int], letter: str) -> frozenset[int]:
        if len(self._next) >= MAX_CACHED:
            self._next.clear()
        reached: set[int] = set()
        for state in current:
            test = self._states[state].test
            if test is not None and test(letter):
                reached |= self._closure(self._states[state].target)
        self._next[current, letter] = frozenset(reached)
        return self._next[current, letter]

    def _closure(self, state: int) -> frozenset[int]:
        seen, pending = {state}, [state]
        while pending:
            for following in self._states[pending.pop()].free:
                if following not in seen:
                    seen.add(following)
                    pending.append(following)
        return frozenset(seen)

    def _add(self, test: Test | None = None, target: int = -1, *free: int) -> int:
        if len(self._states) >= MAX_STATES:
            raise QueryError("The regular expression is too large.")
        self._states.append(_State(test, target, list(free)))
        return len(self._states) - 1

    # Each builder takes the state that follows and gives the state to start from.

    def letter(self, test: Test, following: int) -> int:
        """Build one letter."""
        return self._add(test, following)

    def branch(self, starts: list[int]) -> int:
        """Build a choice."""
        return self._add(None, -1, *starts)

    def loop(self, body: _Builder, following: int) -> int:
        """Build a body that may come any number of times."""
        again = self._add(None, -1, following)
        self._states[again].free.append(body(self, again))
        return again


_Builder = Callable[[Pattern, int], int]


class _Parser:
    """Reads a pattern into builders."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def finish(self) -> None:
        if self._place < len(self._text):
            raise self._error("unbalanced ')'")

    def alternatives(self, depth: int) -> _Builder:
        if depth > MAX_DEPTH:
            raise self._error("groups are nested too deep")
        choices = [self._sequence(depth)]
        while self._take("|"):
            choices.append(self._sequence(depth))
        if len(choices) == 1:
            return choices[0]
        return lambda pattern, following: pattern.branch([choice(pattern, following) for choice in choices])

    def _sequence(self, depth: int) -> _Builder:
        parts: list[_Builder] = []
        while self._place < len(self._text) and self._text[self._place] not in "|)":
            parts.append(self._repeated(self._atom(depth)))

        def build(pattern: Pattern, following: int) -> int:
            for part in reversed(parts):
                following = part(pattern, following)
            return following

        return build

    def _repeated(self, body: _Builder) -> _Builder:
        for least, most in self._quantifiers():
            body = _repeat(body, least, most)
        return body

    def _quantifiers(self) -> Iterator[tuple[int, int | None]]:
        while self._place < len(self._text):
            letter = self._text[self._place]
            if letter in _QUANTIFIERS:
                self._place += 1
                yield _QUANTIFIERS[letter]
            elif letter == "{" and (counts := self._counts()) is not None:
                yield counts
            else:
                return
            if not self._take("?"):
                self._take("+")

    def _counts(self) -> tuple[int, int | None] | None:
        end = self._text.find("}", self._place)
        least, comma, most = self._text[self._place + 1 : end].partition(",")
        if end < 0 or not (least + most).isdecimal() or (not least and not comma):
            return None
        self._place = end + 1
        low = int(least or 0)
        high = (int(most) if most else None) if comma else low
        if low > _MAX_REPEAT or (high is not None and not low <= high <= _MAX_REPEAT):
            raise self._error("a repetition is out of bounds")
        return low, high

    def _atom(self, depth: int) -> _Builder:
        letter = self._text[self._place]
        self._place += 1
        match letter:
            case "(":
                return self._group(depth)
            case "[":
                test = self._set()
            case ".":
                test = _anything
            case "\\":
                test = self._escape()
            case "^":
                if self._place != 1:
                    raise self._error("'^' is only possible at the start")
                return lambda _, following: following
            case "$":
                if self._place != len(self._text):
                    raise self._error("'$' is only possible at the end")
                return lambda _, following: following
            case "*" | "+" | "?":
                raise self._error("nothing to repeat")
            case _:
                test = letter.__eq__
        return lambda pattern, following: pattern.letter(test, following)

    def _group(self, depth: int) -> _Builder:
        if self._take("?") and not self._take(":"):
            raise self._error("only plain groups and (?:...) are supported")
        inner = self.alternatives(depth + 1)
        if not self._take(")"):
            raise self._error("a group is not closed")
        return inner

    def _escape(self) -> Test:
        if self._place >= len(self._text):
            raise self._error("nothing follows the backslash")
        letter = self._text[self._place]
        self._place += 1
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in _CONTROLS:
            return _CONTROLS[letter].__eq__
        if letter.isalnum():
            raise self._error(f"\\{letter} is not supported")
        return letter.__eq__

    def _set(self) -> Test:
        is_negated = self._take("^")
        tests: list[Test] = []
        is_first = True
        while is_first or not self._take("]"):
            is_first = False
            if self._place >= len(self._text):
                raise self._error("a set is not closed")
            low = self._text[self._place]
            self._place += 1
            if low == "\\":
                if self._text[self._place : self._place + 1] in _CLASSES:
                    tests.append(self._escape())
                    continue
                low = self._plain()
            high = low
            if self._text[self._place : self._place + 1] == "-" and self._text[
                self._place + 1 : self._place + 2
            ] not in ("]", ""):
                self._place += 1
                high = self._text[self._place]
                self._place += 1
                if high == "\\":
                    high = self._plain()
                if high < low:
                    raise self._error("a range is upside down")
            tests.append(_between(low, high))
        if is_negated:
            return lambda letter: not any(test(letter) for test in tests)
        return lambda letter: any(test(letter) for test in tests)

    def _plain(self) -> str:
        letter = self._text[self._place : self._place + 1]
        self._place += 1
        if not letter or (letter.isalnum() and letter not in _CONTROLS):
            raise self._error("an escape in a set is not supported")
        return _CONTROLS.get(letter, letter)

    def _take(self, letter: str) -> bool:
        is_there = self._text.startswith(letter, self._place)
        self._place += is_there
        return is_there

    def _error(self, what: str) -> QueryError:
        return QueryError(
            f"The regular expression <<{self._text[:80]}>> is refused at character {self._place + 1}: {what}."
        )


def _repeat(body: _Builder, least: int, most: int | None) -> _Builder:
    def build(pattern: Pattern, following: int) -> int:
        if most is None:
            following = pattern.loop(body, following)
        else:
            end = following
            for _ in range(most - least):
                following = pattern.branch([body(pattern, following), end])
        for _ in range(least):
            following = body(pattern, following)
        return following

    return build


def _between(low: str, high: str) -> Test:
    return lambda letter: low <= letter <= high


def _anything(_: str) -> bool:
    return True
