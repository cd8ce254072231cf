"""What is asked of the facet of an artifact, as text: ``[namespace.]key=value``, ``>=``, ``<=``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from consist.errors import UsageError, WrongType, a_kind, hint

Operator: TypeAlias = Literal["=", ">=", "<="]


class Predicate(NamedTuple):
    """One condition on a value of a facet.

    Attributes
    ----------
    text : str
        As it was written.
    key : str
        Dotted key, which may begin with a namespace.
    operator : str
        ``=``, ``>=`` or ``<=``.
    value : object
        Text, number, truth value or ``None``.
    """

    text: str
    key: str
    operator: Operator
    value: str | int | float | bool | None

    def readings(self) -> Iterator[tuple[str | None, str]]:
        """Yield what the key may mean: itself in any namespace, or the rest of it in its first."""
        return key_readings(self.key)


def key_readings(key: str) -> Iterator[tuple[str | None, str]]:
    """Yield what a key may mean; see :meth:`Predicate.readings`."""
    yield None, key
    for dot in _DOTS.finditer(key):
        yield key[: dot.start()], key[dot.end() :]


_FORM = re.compile(r"\s*(?P<key>[^<>=!]*?)\s*(?P<operator>>=|<=|=)(?P<value>.*)", re.DOTALL)
_DOTS = re.compile(r"(?<!\\)\.")
_QUOTED = re.compile(r"""(['"])(.*)\1""", re.DOTALL)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")

GRAMMAR = (
    "write [namespace.]key=value, key>=value or key<=value; quote text that looks like a number"
)


def parse_predicate(text: str) -> Predicate:
    r"""Read one predicate.

    A value is a number, ``true``, ``false`` or ``null`` where it looks like one, and text
    otherwise; in single or double quotes it is always text. A key is written as it is stored:
    levels are joined by dots, and a dot inside a name is ``\.``. ``>=`` and ``<=`` compare numbers
    with numbers and text with text.

    Raises
    ------
    ValueError
        Naming the predicate, if it cannot be read.
    TypeError
        If it is no text.

    Examples
    --------
    >>> parse_predicate("beam.year>=2030")
    Predicate(text='beam.year>=2030', key='beam.year', operator='>=', value=2030)
    >>> parse_predicate("code='007'").value
    '007'
    """
    if not isinstance(cast("object", text), str):
        raise hint(WrongType(f"predicate {text!r} is {a_kind(text)}, not text"), GRAMMAR)
    found = _FORM.fullmatch(text)
    if found is None:
        raise _malformed(text, "has none of =, >= and <=, or another operator before it")
    key, operator = found["key"], cast("Operator", found["operator"])
    if not key or key.startswith(".") or _ends_open(key):
        raise _malformed(text, "names no key")
    written = found["value"].strip()
    if not written:
        raise _malformed(text, "has no value", 'empty text is written key=""')
    if written[0] in "=<>":
        raise _malformed(text, f"has the operator {operator + written[0]!r}")
    value = _value(text, written)
    if operator != "=" and (value is None or isinstance(value, bool)):
        raise _malformed(text, f"asks whether something is {operator} {written}")
    return Predicate(text, key, operator, value)


def parse_predicates(params: object) -> list[Predicate]:
    """Read predicates; one text alone is a mistake."""
    if isinstance(params, str) or not isinstance(params, Iterable):
        raise hint(WrongType(f"params={params!r} is {a_kind(params)}"), "write params=[...]")
    return [parse_predicate(text) for text in cast("Iterable[str]", params)]


def _ends_open(key: str) -> bool:
    return key.endswith(".") and not key.endswith(r"\.")


def _value(text: str, written: str) -> Any:
    quoted = _QUOTED.fullmatch(written)
    if quoted is not None:
        return quoted[2]
    if written[0] in "'\"":
        raise _malformed(text, "has a quote that does not end")
    if written in _WORDS:
        return _WORDS[written]
    if _NUMBER.fullmatch(written):
        return _number(text, written)
    return written


def _number(text: str, written: str) -> int | float:
    try:
        return int(written)
    except ValueError:
        number = float(written)
    if math.isinf(number):
        raise _malformed(text, "has a number that is too large")
    return number


def _malformed(text: str, why: str, remedy: str = GRAMMAR) -> UsageError:
    return hint(UsageError(f"predicate {text!r} {why}"), remedy)
