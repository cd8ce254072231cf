"""Columns of two tables side by side: how values of their types are compared in SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Sql = Callable[[str], str]
"""Makes an expression of an expression."""

_DIGITS = {
    "tinyint": 3, "utinyint": 3, "smallint": 5, "usmallint": 5, "integer": 10, "uinteger": 10,
    "bigint": 19, "ubigint": 20, "hugeint": 39, "uhugeint": 39,
}  # fmt: skip
_FLOATS = frozenset({"float", "double"})
_MOMENTS = frozenset({"date", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"})
_ZONED = "timestamp with time zone"
_NESTED = frozenset({"list", "array", "struct", "map", "union", "variant"})
_SHOWN_AS_THEY_ARE = _DIGITS.keys() | _FLOATS | {"boolean"}
_WIDEST = 38  # digits of a decimal
_LONGEST = 200


@dataclass(frozen=True)
class ColumnType:
    """A type of DuckDB: its name as SQL, what kind it is, and the digits of a decimal."""

    text: str
    kind: str
    width: int = 0
    scale: int = 0

    @classmethod
    def of(cls, found: Any) -> ColumnType:
        """Return the type that a relation tells."""
        kind = str(found.id)
        digits = dict(found.children) if kind == "decimal" else {}
        width = digits.get("precision", _DIGITS.get(kind, 0))
        return cls(str(found), kind, width, digits.get("scale", 0))

    @property
    def is_number(self) -> bool:
        """Whether values are numbers."""
        return self.kind in _DIGITS or self.kind in _FLOATS or self.kind == "decimal"

    @property
    def is_keylike(self) -> bool:
        """Whether rows may be told apart by values."""
        return self.kind not in _FLOATS and self.kind not in _NESTED


@dataclass(frozen=True)
class Table:
    """A relation of a connection, by the name of its view, with its columns by name."""

    view: str
    columns: Mapping[str, ColumnType]


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may be apart and still be equal: absolutely, or as a share of the greater."""

    rtol: float = 0.0
    atol: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.rtol or self.atol)

    def close(self, left: str, right: str) -> str:
        """Return the condition under which two doubles are close enough."""
        share = f"{self.rtol!r}::DOUBLE * greatest(abs({left}), abs({right}))"
        allowed = f"greatest({self.atol!r}::DOUBLE, {share})"
        return (
            f"coalesce(isfinite({left}) AND isfinite({right})"
            f" AND abs({left} - {right}) <= {allowed}, false)"
        )

    def allows(self, left: float, right: float) -> bool:
        """Whether two numbers are close enough."""
        allowed = max(self.atol, self.rtol * max(abs(left), abs(right)))
        return abs(left - right) <= allowed < float("inf")


@dataclass(frozen=True)
class Pair:
    """A column that both tables have."""

    name: str
    left: ColumnType
    right: ColumnType

    @property
    def is_number(self) -> bool:
        """Whether both sides are numbers."""
        return self.left.is_number and self.right.is_number

    @property
    def is_moment(self) -> bool:
        """Whether both sides are dates or times that can be subtracted."""
        kinds = {self.left.kind, self.right.kind}
        return kinds <= _MOMENTS or kinds == {_ZONED}

    @property
    def unit(self) -> str | None:
        """What the greatest difference is measured in."""
        if not self.is_moment:
            return None
        return "days" if self.left.kind == self.right.kind == "date" else "seconds"

    @property
    def note(self) -> str | None:
        """What must be known of how the values are compared, if anything."""
        if self.left == self.right:
            return None
        if _is_as_text(self.left, self.right):
            return f"{self.name!r} is compared as text"
        kinds = {self.left.kind, self.right.kind}
        return f"{self.name!r} is compared as doubles" if _is_rounded(kinds) else None

    def canonical(self) -> tuple[Sql, Sql]:
        """Return what makes values of both sides equal in SQL exactly if they are equal.

        So that they can be compared, grouped and joined. DuckDB takes zeros of either sign for
        one value, and all NaN for one, also inside lists and structs.
        """
        return _canonical(self.left, self.right)

    def differs(self, left: str, right: str, tolerance: Tolerance) -> str:
        """Return the condition under which two values differ; NULL and NaN equal themselves."""
        mine, yours = self.canonical()
        apart = f"{mine(left)} IS DISTINCT FROM {yours(right)}"
        if not tolerance or not self._is_tolerant:
            return apart
        return f"({apart} AND NOT {tolerance.close(f'{left}::DOUBLE', f'{right}::DOUBLE')})"

    @property
    def _is_tolerant(self) -> bool:
        """Whether tolerances count: not between whole numbers."""
        both_whole = self.left.kind in _DIGITS and self.right.kind in _DIGITS
        return self.is_number and not both_whole

    def distance(self, left: str, right: str) -> str | None:
        """Return the absolute difference of two values, exact where they are."""
        if self.is_moment:
            seconds = f"abs(epoch({left}) - epoch({right}))"
            return f"{seconds} / 86400" if self.unit == "days" else seconds
        if not self.is_number:
            return None
        kinds = {self.left.kind, self.right.kind}
        if kinds <= _DIGITS.keys() and not kinds & {"hugeint", "uhugeint"}:
            return f"abs({left}::HUGEINT - {right}::HUGEINT)::DOUBLE"
        if kinds == {"decimal"} and max(self.left.width, self.right.width) < _WIDEST // 2:
            return f"abs({left} - {right})::DOUBLE"
        return f"abs({left}::DOUBLE - {right}::DOUBLE)"


def shown(kind: ColumnType) -> Sql:
    """Return what makes a value fit to be shown: numbers as they are, all else as short text."""
    if kind.kind in _SHOWN_AS_THEY_ARE:
        return lambda value: value
    return lambda value: (
        f"CASE WHEN length({value}::VARCHAR) > {_LONGEST}"
        f" THEN left({value}::VARCHAR, {_LONGEST}) || '…' ELSE {value}::VARCHAR END"
    )


# ---------------------------------------------------------------- equal, whatever the type


def _canonical(left: ColumnType, right: ColumnType) -> tuple[Sql, Sql]:
    if left == right:
        return _both(_as_it_is)
    kinds = {left.kind, right.kind}
    if kinds <= _DIGITS.keys() and "uhugeint" not in kinds:
        return _both(_cast("HUGEINT"))
    if kinds <= _FLOATS or _is_rounded(kinds):
        return _both(_cast("DOUBLE"))
    if kinds <= _DIGITS.keys() | _FLOATS and "uhugeint" not in kinds:
        return _whole_or_not(left), _whole_or_not(right)
    if kinds <= _DIGITS.keys() | {"decimal"}:
        return _of_decimals(left, right)
    if kinds <= _MOMENTS:
        return _moment_text(left), _moment_text(right)
    return _both(_cast("VARCHAR"))


def _both(sql: Sql) -> tuple[Sql, Sql]:
    return sql, sql


def _is_rounded(kinds: set[str]) -> bool:
    return "decimal" in kinds and bool(kinds & _FLOATS)


def _is_as_text(left: ColumnType, right: ColumnType) -> bool:
    kinds = {left.kind, right.kind}
    if kinds <= _MOMENTS:
        return False
    return not kinds <= _DIGITS.keys() | _FLOATS | {"decimal"}


def _as_it_is(value: str) -> str:
    return value


def _cast(kind: str) -> Sql:
    return lambda value: f"{value}::{kind}"


def _whole_or_not(kind: ColumnType) -> Sql:
    """Return a struct that holds whole numbers exactly, and others as doubles."""
    if kind.kind in _DIGITS:
        return lambda value: f"{{'i': {value}::HUGEINT, 'd': NULL::DOUBLE}}"

    def of_float(value: str) -> str:
        number = f"{value}::DOUBLE"
        whole = f"isfinite({number}) AND {number} = trunc({number}) AND abs({number}) < 1e38"
        return (
            f"{{'i': CASE WHEN {whole} THEN {number}::HUGEINT END,"
            f" 'd': CASE WHEN {whole} THEN NULL ELSE {number} END}}"
        )

    return of_float


def _of_decimals(left: ColumnType, right: ColumnType) -> tuple[Sql, Sql]:
    scale = max(left.scale, right.scale)
    whole = max(left.width - left.scale, right.width - right.scale)
    if whole + scale <= _WIDEST:
        return _both(_cast(f"DECIMAL({whole + scale}, {scale})"))
    return _decimal_text, _decimal_text


def _decimal_text(value: str) -> str:
    text = f"{value}::VARCHAR"
    return f"CASE WHEN contains({text}, '.') THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"


def _moment_text(kind: ColumnType) -> Sql:
    if kind.kind == "date":
        return lambda value: f"{value}::TIMESTAMP::VARCHAR"
    return _cast("VARCHAR")
