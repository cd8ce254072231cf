"""Rows held to a schema: every value is cast and checked by DuckDB, over the staged rows.

One pass counts what breaks which rule; only if something does, a second finds the first offenders.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.errors import (
    ModelUnusable,
    SchemaViolation,
    Violation,
    hint,
)
from consist.formats.sql import identifier, literal
from consist.hot import exact_casts
from consist.hot.naming import table_name
from consist.hot.registered import check_model
from consist.hot.staged_rows import COPY_TO_PARQUET, KEPT_EXACTLY, StagedRows
from consist.models.record import StoredColumn
from consist.store.global_tables import is_reserved

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlmodel import SQLModel

    from consist.hot.model_columns import CompiledModel, ModelColumn
    from consist.models.record import ArtifactRecord
    from consist.workspace import Workspace

logger = logging.getLogger("consist.hot")

_SHOWN_ROWS = 3
_SHOWN_TEXT = 60
_SHOWN_RULES = 20
_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls an index without a name in a table; nobody declares such a column."""


@dataclass(frozen=True)
class Contract:
    """What the rows of one artifact are held to."""

    key: str
    model: CompiledModel
    table: str

    def column(self, name: str) -> ModelColumn | None:
        """Return the column of the model that has exactly this name."""
        return next((column for column in self.model.columns if column.name == name), None)


@dataclass(frozen=True)
class Cast:
    """A staged column as the model asks for it.

    Attributes
    ----------
    column : ModelColumn
        What the model asks for.
    value : str
        SQL for its values in the type of the table.
    text : str or None
        SQL for what the source said where the value does not tell it.
    is_text : bool
        Whether the source is text, so that the text is to be looked at.
    blank : bool
        Whether an empty text is no value, as in CSV.
    """

    column: ModelColumn
    value: str
    text: str | None = None
    is_text: bool = False
    blank: bool = False

    @property
    def shown(self) -> str:
        """SQL for what a message shows of a value."""
        own = f"CAST({self.value} AS VARCHAR)"
        return own if self.text is None else f"coalesce({self.text}, {own})"

    def broken(self) -> Iterable[tuple[str, str]]:
        """Yield what can be wrong with a value, and the condition under which it is."""
        there = f"{self.text} <> ''" if self.blank else f"{self.text} IS NOT NULL"
        absent = f"{self.value} IS NULL"
        if self.text is not None:
            wrong = f"{self.value} IS NULL"
            if self.is_text:
                wrong = f"NOT {exact_casts.takes_text(self.column, self.text, self.value)}"
            yield f"is {exact_casts.WANTED[self.column.kind]}", f"{there} AND {wrong}"
            absent += f" AND ({there}) IS NOT TRUE"
        if not self.column.nullable:
            yield "has no value, which the model does not allow", absent
        for rule in self.column.rules:
            yield rule.text, f"{self.value} IS NOT NULL AND NOT {rule.holds(self.value)}"


# ---------------------------------------------------------------- which schema


def contract_of(
    ws: Workspace, record: ArtifactRecord, schema: type[SQLModel] | None
) -> Contract | None:
    """Return what the rows of an artifact are held to, ``None`` where no schema counts.

    The schema given counts, else the registered one whose name is recorded on the artifact. A
    name that this tracker has no class for is no reason to refuse rows, and is said once.

    Raises
    ------
    WrongType
        If the schema is no SQLModel class.
    ModelUnusable
        If it asks for what DuckDB cannot hold or check.
    """
    from consist.hot.model_columns import compiled

    if schema is None:
        name = record.meta.get("schema_name")
        if not isinstance(name, str):
            return None
        schema = ws.schemas.get(name)
        if schema is None:
            _say_once(
                ws,
                name,
                f"{record.key!r} was logged with the schema {name!r}, which is not registered in"
                " this tracker: its rows are ingested without a check; pass schema=, or"
                f" Tracker(schemas=[{name}])",
            )
            return None
    model = compiled(check_model(schema))
    if model.unchecked:
        _say_once(
            ws,
            schema,
            f"{model.name} asks for what ingesting does not check: {', '.join(model.unchecked)}",
        )
    own: Any = schema
    table = own.__tablename__ if hasattr(own, "__table__") or _names_table(own) else record.key
    return Contract(record.key, model, table_name(str(table)))


def _names_table(model: type) -> bool:
    """Whether a class says what its table is called; SQLModel derives a name for any other."""
    return any("__tablename__" in vars(base) for base in model.__mro__[:-1] if _is_users(base))


def _is_users(base: type) -> bool:
    return not base.__module__.startswith(("sqlmodel.", "pydantic."))


def _say_once(ws: Workspace, what: object, message: str) -> None:
    said: set[object] = ws.memory.setdefault("strict", set())
    if what not in said:
        said.add(what)
        logger.warning("[Consist] %s", message)


# ---------------------------------------------------------------- rows in a staged file


def held_to(
    connection: DuckDBPyConnection, rows: StagedRows, path: Path, contract: Contract
) -> StagedRows:
    """Hold staged rows to a contract; where types differ, stage them in those of the model.

    Raises
    ------
    SchemaViolation
        If they break it, telling how and where.
    """
    casts: dict[int, Cast] = {}
    picked: list[str] = []
    prefix = _unused_prefix(rows)
    columns = list(rows.columns)
    for i, column in enumerate(rows.columns):
        wanted = contract.column(column.name)
        staged = identifier(column.staged)
        if wanted is None or exact_casts.type_for(wanted, column.type) == column.type:
            picked.append(staged)
            if wanted is not None:
                casts[i] = Cast(wanted, staged)
            continue
        value, text = f"{prefix}c{i}", f"{prefix}t{i}"
        casts[i] = _recast(wanted, column, value, text)
        picked += _recasting(wanted, column, staged, value, text)
        kind = exact_casts.type_for(wanted, column.type)
        columns[i] = replace_column(column, staged=value, type=kind, source=column.type)
    added = added_columns(contract, [c.name for c in columns], prefix)
    picked += added_values(contract, added)
    if len(picked) > len(rows.columns) or columns != list(rows.columns):
        _restage(connection, path, picked)
    kept = check(connection, path, contract, [c.name for c in columns], casts)
    for i in kept:  # a text beside each value that alone does not tell what the source said
        columns[i] = replace_column(columns[i], text=f"{prefix}t{i}")
    return replace(rows, columns=tuple(columns), added=added, first=first_names(contract, columns))


def replace_column(column: StoredColumn, **changes: Any) -> StoredColumn:
    """Return a column with some facts changed."""
    import msgspec

    return msgspec.structs.replace(column, **changes)


def _unused_prefix(rows: StagedRows) -> str:
    prefix = "x"
    while any(column.staged.lower().startswith(prefix) for column in rows.columns):
        prefix += "x"
    return prefix


def typed(column: StoredColumn | str, kind: str) -> str:
    """Return SQL for a staged column in its type, also where it travels as text."""
    name = column if isinstance(column, str) else column.staged
    return identifier(name) if kind in KEPT_EXACTLY else f"CAST({identifier(name)} AS {kind})"


def _recast(wanted: ModelColumn, column: StoredColumn, value: str, text: str) -> Cast:
    kind = exact_casts.type_for(wanted, column.type)
    is_text = column.type in exact_casts.TEXTS
    return Cast(wanted, typed(value, kind), identifier(text), is_text=is_text)


def _recasting(
    wanted: ModelColumn, column: StoredColumn, staged: str, value: str, text: str
) -> list[str]:
    kind = exact_casts.type_for(wanted, column.type)
    made = exact_casts.cast(wanted, staged, column.type)
    kept = made if kind in KEPT_EXACTLY else f"CAST({made} AS VARCHAR)"
    if column.type in exact_casts.TEXTS:
        said = f"nullif({staged}, CAST(({made}) AS VARCHAR))"
    else:
        said = f"CASE WHEN ({made}) IS NULL THEN CAST({staged} AS VARCHAR) END"
    return [f"{kept} AS {identifier(value)}", f"{said} AS {identifier(text)}"]


def _restage(connection: DuckDBPyConnection, path: Path, picked: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        made = Path(folder, "rows.parquet")
        connection.execute(
            f"COPY (SELECT {', '.join(picked)} FROM read_parquet({literal(str(path))}))"
            f" TO {literal(str(made))} ({COPY_TO_PARQUET})"
        )
        shutil.copyfile(made, path)  # in place: its owner's lock lies on it


# ---------------------------------------------------------------- columns


def added_columns(
    contract: Contract, names: Sequence[str], prefix: str
) -> tuple[StoredColumn, ...]:
    """Return the columns of the model that the data lack and that have a default."""
    lacking = [c for c in contract.model.columns if c.name not in names and not c.required]
    return tuple(
        StoredColumn(c.name, f"{prefix}d{i}", c.name, c.type) for i, c in enumerate(lacking)
    )


def added_values(contract: Contract, added: Iterable[StoredColumn]) -> list[str]:
    """Return SQL for the defaults of such columns, under their staged names."""
    from consist.hot.model_columns import default_sql

    picked: list[str] = []
    for column in added:
        wanted = next(c for c in contract.model.columns if c.name == column.name)
        try:
            value = default_sql(wanted)
        except ValueError as error:
            raise ModelUnusable(contract.model.name, wanted.field, str(error)) from error
        kept = value if column.type in KEPT_EXACTLY else f"CAST({value} AS VARCHAR)"
        picked.append(f"{kept} AS {identifier(column.staged)}")
    return picked


def first_names(contract: Contract, columns: Sequence[StoredColumn]) -> tuple[str, ...]:
    """Return the names in the table that come first there: those of the model, in its order."""
    stored = {column.name: column.stored for column in columns}
    return tuple(stored.get(c.name, c.name) for c in contract.model.columns)


def column_violations(contract: Contract, names: Sequence[str]) -> Iterable[Violation]:
    """Yield the columns that the model lacks and those that the data lack."""
    wanted = {column.name for column in contract.model.columns}
    lower = {name.lower(): name for name in wanted}
    for column in contract.model.columns:
        if column.required and column.name not in names:
            yield Violation(column.name, "is missing from the data")
    for name in names:
        if name in wanted or is_reserved(name) or _INDEX.fullmatch(name):
            continue
        near = lower.get(name.lower())
        if near is not None:
            yield Violation(name, f"is not in the model, whose column is called {near!r}")
        elif not contract.model.additive:
            yield Violation(name, "is not in the model")


# ---------------------------------------------------------------- values


def check(
    connection: DuckDBPyConnection,
    path: Path,
    contract: Contract,
    names: Sequence[str],
    casts: dict[int, Cast],
) -> list[int]:
    """Check staged rows against a contract; return which columns have texts beside their values.

    Raises
    ------
    SchemaViolation
        Naming every rule that is broken, at most some twenty.
    """
    scan = f"read_parquet({literal(str(path))}, file_row_number=true)"
    rules = [(cast, *broken) for cast in casts.values() for broken in cast.broken()]
    texts = [i for i, cast in casts.items() if cast.text is not None]
    counts = ["count(*)", *(f"count({casts[i].text})" for i in texts)]
    counts += [f"count_if({condition})" for *_, condition in rules]
    found = connection.execute(f"SELECT {', '.join(counts)} FROM {scan}").fetchall()[0]
    rows, kept = found[0], [i for i, n in zip(texts, found[1:], strict=False) if n]
    numbers = found[1 + len(texts) :]
    broken = [(*rule, n) for rule, n in zip(rules, numbers, strict=True) if n]
    violations = list(column_violations(contract, names))
    violations += _with_examples(connection, scan, broken[:_SHOWN_RULES])
    violations += _duplicates(connection, scan, contract, casts)
    if violations:
        _refuse(contract, rows, violations, len(broken[_SHOWN_RULES:]))
    return kept


def _with_examples(
    connection: DuckDBPyConnection, scan: str, broken: Sequence[tuple[Cast, str, str, int]]
) -> Iterable[Violation]:
    if not broken:
        return
    picked = ", ".join(
        f"arg_min({{'row': file_row_number + 1, 'value': left({cast.shown}, {_SHOWN_TEXT + 1})}},"
        f" file_row_number, {_SHOWN_ROWS}) FILTER (WHERE {condition})"
        for cast, _, condition, _ in broken
    )
    found = connection.execute(f"SELECT {picked} FROM {scan}").fetchall()[0]
    for (cast, rule, _, count), rows in zip(broken, found, strict=True):
        examples = tuple((row["row"], _shortened(row["value"])) for row in rows)
        yield Violation(cast.column.name, rule, count, examples)


def _shortened(text: str | None) -> str | None:
    return text if text is None or len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}…"


def _duplicates(
    connection: DuckDBPyConnection, scan: str, contract: Contract, casts: dict[int, Cast]
) -> Iterable[Violation]:
    """Yield keys that several rows have; keys of which the data lack a column are not looked at."""
    known = {cast.column.name: cast for cast in casts.values()}
    for number, names in enumerate(contract.model.unique):
        if not all(name in known for name in names):
            continue
        values = [known[name].value for name in names]
        shown = " || ', ' || ".join(known[name].shown for name in names)
        there = " AND ".join(f"{value} IS NOT NULL" for value in values)
        groups = (
            f"SELECT count(*) AS n, min(file_row_number) + 1 AS row, any_value({shown}) AS value"
            f" FROM {scan} WHERE {there} GROUP BY {', '.join(values)} HAVING count(*) > 1"
        )
        (found,) = connection.execute(
            f"SELECT sum(n), arg_min({{'row': row, 'value': left(value, {_SHOWN_TEXT + 1})}}, row,"
            f" {_SHOWN_ROWS}) FROM ({groups})"
        ).fetchall()
        if found[0]:
            word = "primary key" if contract.model.has_key and number == 0 else "unique column"
            examples = tuple((row["row"], _shortened(row["value"])) for row in found[1])
            yield Violation(
                ", ".join(names), f"is not unique, as a {word} has to be", int(found[0]), examples
            )


def _refuse(contract: Contract, rows: int, violations: list[Violation], more: int) -> None:
    shown = tuple(violations[:_SHOWN_RULES])
    more += len(violations) - len(shown)
    error = SchemaViolation(contract.key, contract.model.name, rows, shown, more)
    names = {
        violation.column for violation in violations if violation.rule == "is not in the model"
    }
    if names:
        hint(error, "for columns beyond the model: __consist_additive_schema__ = True in its class")
    raise hint(error, "nothing was ingested; correct the data or the model")
