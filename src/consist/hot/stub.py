"""A captured layout as the source of a SQLModel class, to be edited by hand."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Any, NamedTuple

from consist.models.observed import SchemaField, SchemaRecord

SYSTEM = ("consist_", "_dlt_")
"""How the columns begin that ingestion adds."""

_INVALID = re.compile(r"[^a-z0-9_]|_+")
_WORD = re.compile(r"[A-Za-z0-9]+")
_SIZES = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_WIDTH = 79
_LONGEST_COMMENT = 200


class Column(NamedTuple):
    """How a column stands in the stub: its annotation, its type in SQL, and what both need."""

    annotation: str
    sql: str


_TYPES = {
    **dict.fromkeys(("BIGINT", "UINTEGER"), Column("int", "BigInteger")),
    **dict.fromkeys(("INTEGER", "USMALLINT"), Column("int", "Integer")),
    **dict.fromkeys(("SMALLINT", "TINYINT", "UTINYINT"), Column("int", "SmallInteger")),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "BIGNUM"), Column("Decimal", "Numeric(38, 0)")),
    "UBIGINT": Column("Decimal", "Numeric(20, 0)"),
    **dict.fromkeys(("DOUBLE", "FLOAT"), Column("float", "Float")),
    "BOOLEAN": Column("bool", "Boolean"),
    "DATE": Column("dt.date", "Date"),
    **dict.fromkeys(("TIME", "TIME_NS"), Column("dt.time", "Time")),
    "INTERVAL": Column("dt.timedelta", "Interval"),
    **dict.fromkeys(
        ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"),
        Column("dt.datetime", "DateTime"),
    ),
    **dict.fromkeys(
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ", "TIMESTAMPTZ_NS"),
        Column("dt.datetime", "DateTime(timezone=True)"),
    ),
    "BLOB": Column("bytes", "LargeBinary"),
    "JSON": Column("Any", "JSON"),
}
_TEXT = Column("str", "String")
_NESTED = ("STRUCT", "MAP", "UNION")

_BUILTINS = {"int", "str", "float", "bool", "bytes", "dt"}
"""Names that annotations use, which a field of that name would hide."""
_IMPORTED = {
    *("Any", "Column", "Decimal", "Field", "Optional", "SQLModel", "BigInteger", "Boolean"),
    *("Date", "DateTime", "Float", "Integer", "Interval", "JSON", "LargeBinary", "Numeric"),
    *("SmallInteger", "String", "Time"),
}


def stub(
    found: SchemaRecord,
    *,
    table_name: str,
    class_name: str | None = None,
    abstract: bool = True,
    system_columns: bool = False,
    comments: bool = True,
) -> str:
    """Return the source of a module with one class.

    Parameters
    ----------
    found : SchemaRecord
        The layout.
    table_name : str
        Name of the table.
    class_name : str, optional
        Name of the class; by default made of the table's.
    abstract : bool
        Whether the class makes no table, so that it needs no primary key.
    system_columns : bool
        Whether columns stay that ingestion adds.
    comments : bool
        Whether the text says what was seen in the columns.
    """
    fields = [f for f in found.fields if system_columns or not f.name.startswith(SYSTEM)]
    targets = {r.from_field: f"{r.to_table}.{r.to_field}" for r in found.relations}
    names = field_names(f.name for f in fields)
    body: list[str] = []
    for name, field in zip(names, fields, strict=True):
        said = list(_comments(field)) if comments else []
        body += ["", *said] if said else []
        body.append(_field(name, field, targets.get(field.name)))
    head = [
        f"class {class_name or class_name_of(table_name)}(SQLModel, table=True):",
        f"    __tablename__ = {table_name!r}",
        '    __table_args__ = {"extend_existing": True}',
        *(["    __abstract__ = True"] if abstract else []),
    ]
    text = "\n".join([f"# schema: {found.id}", *head, "", *body]).replace("\n\n\n", "\n\n")
    return f"{_imports(fields, targets)}\n\n\n{text.rstrip()}\n"


def _imports(fields: Iterable[SchemaField], targets: dict[str, str]) -> str:
    kinds = {field.name: column_of(field.type) for field in fields}
    sql = {kind.sql.partition("(")[0] for kind in kinds.values()}
    if any(name not in targets for name in kinds):
        sql.add("Column")
    annotations = {kind.annotation for kind in kinds.values()}
    typing = [*(["Any"] if "Any" in annotations else [])]
    if any(field.nullable for field in fields):
        typing.append("Optional")
    blocks = ["from __future__ import annotations", ""]
    if any(annotation.startswith("dt.") for annotation in annotations):
        blocks.append("import datetime as dt")
    if "Decimal" in annotations:
        blocks.append("from decimal import Decimal")
    if typing:
        blocks.append(f"from typing import {', '.join(typing)}")
    if blocks[-1]:
        blocks.append("")
    if sql:
        blocks.append(_import("sqlalchemy", sorted(sql)))
    blocks.append(
        "from sqlmodel import Field, SQLModel" if kinds else "from sqlmodel import SQLModel"
    )
    return "\n".join(blocks)


def _import(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


# ---------------------------------------------------------------- one column


def _field(name: str, field: SchemaField, target: str | None) -> str:
    kind = column_of(field.type)
    default = ["default=None"] if field.nullable else []
    annotation = f"Optional[{kind.annotation}]" if field.nullable else kind.annotation
    length = (field.stats or {}).get("max_length")
    sql = f"String({length})" if kind is _TEXT and isinstance(length, int) else kind.sql
    key = ", primary_key=True" if (field.stats or {}).get("primary_key") else ""
    head = f"{name}: {annotation} = Field"
    if target is None:
        column = f"Column({field.name!r}, {sql}{key}, nullable={field.nullable})"
        return _fitting(head, [*default, f"sa_column={column}"])
    # A column of its own takes no foreign key besides.
    said = [f"sa_type={sql}", *key.split(", ")[1:], f"nullable={field.nullable}"]
    kwargs = f'sa_column_kwargs={{"name": {field.name!r}}}'
    return _fitting(head, [*default, *said, f"foreign_key={target!r}", kwargs])


def column_of(kind: str) -> Column:
    """Return how a column of a DuckDB type stands in the stub.

    Examples
    --------
    >>> column_of("DECIMAL(10,2)").sql
    'Numeric(10, 2)'
    """
    sizes = _SIZES.fullmatch(kind)
    if sizes:
        return Column("Decimal", f"Numeric({sizes[1]}, {sizes[2]})")
    if kind.endswith("]") or kind.startswith(_NESTED):
        return _TYPES["JSON"]
    return _TYPES.get(kind, _TEXT)


def _fitting(head: str, arguments: list[str]) -> str:
    """Return a field on one line, or else on several."""
    line = f"    {head}({', '.join(arguments)})"
    if len(line) <= _WIDTH:
        return line
    together = f"        {', '.join(arguments)}"
    if len(together) > _WIDTH:
        together = "\n".join(f"        {argument}," for argument in arguments)
    return f"    {head}(\n{together}\n    )"


def _comments(field: SchemaField) -> Iterator[str]:
    """Yield what was seen in a column, a line each."""
    if field.values is not None:
        yield from _comment(f"enum: {', '.join(map(ascii, field.values))}")
    shown = {k: v for k, v in (field.stats or {}).items() if k not in {"primary_key", "max_length"}}
    if shown:
        said = ", ".join(f"{name}={value!a}" for name, value in shown.items())
        yield from _comment(f"stats: {said}")
    if column_of(field.type) is _TEXT and field.type != "VARCHAR":
        yield from _comment(f"type: {ascii(field.type)[1:-1]}")


def _comment(text: str) -> Iterator[str]:
    short = text if len(text) <= _LONGEST_COMMENT else f"{text[:_LONGEST_COMMENT]}…"
    for line in wrap(short, _WIDTH - 6):
        yield f"    # {line}"


# ---------------------------------------------------------------- names


def field_names(names: Iterable[str]) -> list[str]:
    """Return names that Python, pydantic and SQLAlchemy take as names of fields.

    Examples
    --------
    >>> field_names(["Trip ID", "trip-id", "class", "2030", "metadata"])
    ['trip_id', 'trip_id__2', 'class_', 'col_2030', 'metadata_']
    """
    taken: set[str] = set()
    found: list[str] = []
    numbers: dict[str, int] = {}
    for name in names:
        base = fit = _field_name(name)
        while fit in taken:
            numbers[base] = numbers.get(base, 1) + 1
            fit = f"{base}__{numbers[base]}"
        taken.add(fit)
        found.append(fit)
    return found


def _field_name(name: str) -> str:
    # A field may not begin with an underscore: pydantic would leave it out.
    fit = _INVALID.sub("_", name.lower())
    fit = _INVALID.sub("_", fit).lstrip("_")
    if not fit or fit[0].isdigit() or fit.startswith(("model_validate", "model_dump")):
        fit = f"col_{fit}".rstrip("_")
    return f"{fit}_" if keyword.iskeyword(fit) or fit in _BUILTINS or fit in _inherited() else fit


def _inherited() -> frozenset[str]:
    """Return the names that every SQLModel class has already."""
    from sqlmodel import SQLModel

    return frozenset(dir(SQLModel)) | {"metadata", "registry"}


def class_name_of(table: str) -> str:
    """Return the name of the class of a table.

    Examples
    --------
    >>> class_name_of("link_stats/2030 final")
    'LinkStats2030Final'
    """
    words: list[Any] = _WORD.findall(table)
    name = "".join(word[0].upper() + word[1:] for word in words)
    if not name or name[0].isdigit():
        name = f"Table{name}"
    return f"{name}Row" if name in _IMPORTED or keyword.iskeyword(name) else name
