"""Put a statement to the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from sqlalchemy import CursorResult, MetaData, func, select
from sqlalchemy.orm import class_mapper

from consist.errors import WrongType, a_kind, hint
from consist.models.artifact import Artifact
from consist.models.base import ConsistModel, instance_of
from consist.store.tail_tables import MERGED, UNMERGED

if TYPE_CHECKING:
    from sqlalchemy import Engine, Executable, Table
    from sqlmodel import Session

    from consist.workspace import Workspace

M = TypeVar("M", bound=ConsistModel)
Ask = Callable[[Any], list[Any]]
"""Returns the rows of a statement."""


def run_query(ws: Workspace, query: Executable) -> list[Any]:
    """Execute a SQLModel or SQLAlchemy statement, or a ``text``, over runs, artifacts and views.

    The tables hold every acknowledged record, merged or not.

    Returns
    -------
    list
        Rows; for a SQLModel select of one column or class, its values.

    Raises
    ------
    RuntimeError
        Without a database.
    TypeError
        If it is no statement; SQL as text goes into ``sqlalchemy.text``.
    """
    from sqlalchemy import Executable
    from sqlalchemy.orm import Session
    from sqlmodel.sql.expression import SelectOfScalar

    engine = _engine(ws, "run_query")
    if not isinstance(cast("object", query), Executable):
        problem = WrongType(f"run_query takes a statement, not {a_kind(query)}")
        raise hint(problem, 'pass a select, or SQL as sqlalchemy.text("SELECT ...")')
    with Session(engine, expire_on_commit=False) as session:
        result = session.execute(query)
        if isinstance(result, CursorResult) and not result.returns_rows:
            return []
        # SQLModel takes a select of one table or subquery for one of a single value.
        scalar = isinstance(query, SelectOfScalar) and len(query.column_descriptions) == 1
        rows: list[Any] = list(result.scalars() if scalar else result.all())
        session.expunge_all()
    for row in rows:
        _bind(ws, row)
    return rows


@contextmanager
def db_session(ws: Workspace) -> Generator[Session]:
    """Yield a SQLModel session over runs, artifacts, facets and views.

    It sees every acknowledged record, merged or not, and only reads. The database file is held
    while the session has a connection: until it is committed, rolled back or left. Objects stay
    usable after the block, and artifacts know their paths.

    Raises
    ------
    RuntimeError
        Without a database.

    Examples
    --------
    >>> with tracker.db_session() as session:  # doctest: +SKIP
    ...     years = session.exec(select(Run.year).distinct()).all()
    """
    from sqlalchemy import event
    from sqlmodel import Session

    def bind(_session: Any, found: Any) -> None:
        _bind(ws, found)

    with Session(_engine(ws, "db_session"), expire_on_commit=False) as session:
        event.listen(session, "loaded_as_persistent", bind)
        yield session
        session.expunge_all()


def _bind(ws: Workspace, row: Any) -> None:
    if isinstance(row, Artifact):
        row.bind(ws.path_of)
    elif isinstance(row, tuple):
        for value in cast("tuple[Any, ...]", row):
            if isinstance(value, Artifact):
                value.bind(ws.path_of)


def _engine(ws: Workspace, action: str) -> Engine:
    ws.check_database(action)
    return cast("Engine", ws.store.engine)


def _without_views(ws: Workspace) -> Engine:
    ws.check_database("a question")
    return cast("Engine", ws.store.engine_without_views)


# ---------------------------------------------------------------- for the questions of this room


def every(model: type[ConsistModel], *others: Any) -> Any:
    """Return a select of all columns of a table, and of ``others``."""
    return select(cast("Any", model).__table__, *others)


def newest(model: type[ConsistModel], conditions: Iterable[Any], limit: int | None = None) -> Any:
    """Return a select of the rows that meet all conditions, the latest first.

    With a limit, how far back it reaches is asked of one narrow column, so that DuckDB skips
    everything older before it reads wide rows: half the time among 100,000 runs.
    """
    table = columns(model)
    conditions = list(conditions)
    statement = every(model).where(*conditions).order_by(table.created_at.desc(), table.id.desc())
    if limit is None:
        return statement
    times = select(table.created_at).where(*conditions).order_by(table.created_at.desc())
    reached = times.limit(limit).subquery()
    since = select(func.min(reached.c.created_at)).scalar_subquery()
    return statement.where(table.created_at >= since).limit(limit)


def parts(model: type[ConsistModel]) -> tuple[Any, ...]:
    """Return the columns of what is merged of a table and of what is not.

    The table is the union of both. DuckDB finds the latest rows of each ten times faster than
    those of the union, so a question for the latest asks each and takes the latest of both.
    """
    return _parts(cast("Any", model).__table__)


@cache
def _parts(table: Table) -> tuple[Any, ...]:
    return tuple(table.to_metadata(MetaData(), schema=name).c for name in (MERGED, UNMERGED))


def columns(model: type[ConsistModel]) -> Any:
    """Return the columns of a table by name, to be compared, ordered and joined."""
    return cast("Any", model).__table__.c


_FEW = 50


def among(column: Any, values: Collection[str]) -> Any:
    """Return the condition that a column has one of these texts.

    However many they are, they travel as one parameter, so that statements stay small.
    """
    if len(values) <= _FEW:
        return column.in_(values)
    return column.in_(select(func.unnest(unpacked(values))))


def unpacked(values: Collection[str]) -> Any:
    """Return texts as a list that travels as one parameter."""
    return func.from_json(msgspec.json.encode([*values]).decode(), '["VARCHAR"]')


@contextmanager
def asking(ws: Workspace) -> Generator[Ask]:
    """Yield what answers statements, all of them from one state of the record."""
    with _without_views(ws).connect() as connection:
        yield lambda statement: list(connection.execute(statement).all())


def fetch(ws: Workspace, statement: Any) -> list[Any]:
    """Return the rows of a statement."""
    with asking(ws) as ask:
        return ask(statement)


def streamed(ws: Workspace, statement: Any) -> Iterator[Any]:
    """Yield the rows of a statement that may have millions."""
    with _without_views(ws).connect() as connection:
        for part in connection.execute(statement).partitions(10_000):
            yield from part


def fetch_all(ws: Workspace, model: type[M], statement: Any) -> list[M]:
    """Return the rows of a statement that selects :func:`every` column, as objects.

    They are made without an ORM session: nobody will flush them, and it takes half the time.
    """
    return rows_as(ws, model, fetch(ws, statement))


def rows_as(ws: Workspace, model: type[M], rows: Iterable[Any]) -> list[M]:
    """Return rows of :func:`every` column as objects."""
    names = _attributes(model)
    return [entity(ws, model, dict(zip(names, row, strict=False))) for row in rows]


def _attributes(model: type[ConsistModel]) -> list[str]:
    """Return what the columns of a table are called in its class, in their order."""
    mapper = class_mapper(model)
    return [mapper.get_property_by_column(column).key for column in columns(model)]


def entity(ws: Workspace, model: type[M], values: dict[str, Any]) -> M:
    """Return an object of a row's values by column; an artifact knows its path."""
    found = instance_of(model, values)
    if isinstance(found, Artifact):
        found.bind(ws.path_of)
    return found
