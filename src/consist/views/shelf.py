"""The views of one tracker, brought up to date by each question."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from consist.errors import ConsistError, FileGone, UsageError, hint
from consist.views.members import EVERY_RUN, Member, RunFilter, Selector, active_ids, find_members
from consist.views.parts import Keep, Layout
from consist.views.places import stamp_of
from consist.views.united import (
    Missing,
    Mode,
    broken_sql,
    cold_places,
    failing_sql,
    identifier,
    united_sql,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace

_MEMBERS = "consist_members"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True)
class View:
    """What a view shows, and how.

    Attributes
    ----------
    name : str
        Name in SQL.
    selector : Selector
        Of which artifacts.
    runs : RunFilter
        Of which runs.
    layout : Layout
        Which columns come first and last.
    mode, missing_files : str
        As for :func:`~consist.views.united.united_sql`.
    key, model : str or None
        The key that it is over, and the model that types it, if it is of one.
    """

    name: str
    selector: Selector
    runs: RunFilter = EVERY_RUN
    layout: Layout = field(default_factory=Layout)
    mode: Mode = "hybrid"
    missing_files: Missing = "warn"
    key: str | None = None
    model: str | None = None

    def shown(
        self,
        ws: Workspace,
        connection: DuckDBPyConnection,
        *,
        active: Iterable[str] | None = None,
    ) -> tuple[list[Member], Layout]:
        """Return what the view shows now; a view of another kind may attach values here."""
        members = find_members(ws, connection, self.selector, self.runs, active=active)
        return members, self.layout


def check_name(name: object) -> str:
    """Return a name if a view may have it.

    Raises
    ------
    UsageError
        If it is no plain identifier, or belongs to a table of the library.
    """
    from consist.store.schema import KEYS

    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problem = UsageError(f"view name {name!r} is not a plain identifier")
        raise hint(problem, "use letters, digits and underscores")
    if name.lower() in KEYS:
        raise UsageError(f"{name!r} is a table of the provenance database")
    return name


def shelf_of(ws: Workspace) -> Shelf:
    """Return the views of a tracker."""
    shelf = ws.memory.get("view_shelf")
    if shelf is None:
        shelf = ws.memory.setdefault("view_shelf", Shelf(ws))
    return shelf


@dataclass
class _Standing:
    """A view as it was last made."""

    members: list[Member]
    recorded: tuple[int, tuple[str, ...]]
    files: dict[str, Any]
    mark: str
    kept: tuple[str, ...] = ()
    problem: FileGone | None = None


class Shelf:
    """The views of one tracker by lower-case name."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._views: dict[str, View] = {}
        self._made: dict[str, _Standing] = {}
        self._lock = threading.Lock()
        self._count = 0
        ws.store.furnish(self.refresh)

    def put(self, view: View) -> None:
        """Let a name mean a view from the next question on."""
        with self._lock:
            self._views[view.name.lower()] = view
            self._made.pop(view.name.lower(), None)
        if self._ws.access_mode == "standard":
            self._ws.store.publish_soon()

    def put_now(self, view: View) -> None:
        """Make a view at once; where that fails, its name means what it meant before.

        Raises
        ------
        FileGone
            If a file is gone and the view does not pass over it.
        """
        before = self.get(view.name)
        self.put(view)
        try:
            self._check_made(view)
        except BaseException:
            self._take_back(view, before)
            raise

    def _check_made(self, view: View) -> None:
        with self._ws.store.ask(views=True):
            made = self._made.get(view.name.lower())
        if made is not None and made.problem is not None:
            raise made.problem

    def _take_back(self, view: View, before: View | None) -> None:
        if before is not None:
            self.put(before)
            return
        with self._lock:
            self._views.pop(view.name.lower(), None)
            self._made.pop(view.name.lower(), None)

    def get(self, name: str) -> View | None:
        """Return the view of a name."""
        return self._views.get(name.lower())

    def views(self) -> list[View]:
        """Return the views."""
        return list(self._views.values())

    def refresh(self, connection: DuckDBPyConnection, revision: int) -> None:
        """Bring the views up to date with what is recorded and what is on disk."""
        with self._lock:
            if not self._views:
                return
            there = _marks(connection)
            recorded = (revision, tuple(active_ids(self._ws)))
            for key, view in self._views.items():
                made = self._made.get(key)
                if made is None or there.get(key) != made.mark or not self._holds(made, recorded):
                    self._make(connection, view, recorded)

    def _holds(self, made: _Standing, recorded: tuple[int, tuple[str, ...]]) -> bool:
        same_files = all(stamp_of(path) == stamp for path, stamp in made.files.items())
        return made.recorded == recorded and same_files

    def _make(
        self, connection: DuckDBPyConnection, view: View, recorded: tuple[int, tuple[str, ...]]
    ) -> None:
        ws, key = self._ws, view.name.lower()
        members, layout = view.shown(ws, connection)
        self._count += 1
        mark = f"consist {id(self):x} {self._count}"
        kept = _Kept(view.name, mark)
        text, problem = _statement(ws, connection, view, members, layout, kept)
        before = self._made.get(key)
        kept.make(connection, text, before.kept if before is not None else ())
        files = cold_places(ws, members)
        self._made[key] = _Standing(members, recorded, files, mark, kept.names, problem)


class _Kept:
    """The members of a view as tables of the in-memory instance.

    DuckDB needs no time to parse and evaluate them for each question, and knows how many they are.
    """

    def __init__(self, name: str, mark: str) -> None:
        self._view, self._mark = f"memory.main.{identifier(name)}", mark
        self._relations: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tables."""
        return tuple(self._relations)

    def keep(self, relation: str) -> str:
        """Return the name of the table that a relation is going to be."""
        name = f"memory.{_MEMBERS}.{identifier(f'{self._mark} {len(self._relations)}')}"
        self._relations[name] = relation
        return name

    def make(self, connection: DuckDBPyConnection, text: str, before: Iterable[str]) -> None:
        """Make view and tables, and remove the tables of its last making, all at once."""
        connection.begin()
        try:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{_MEMBERS}")
            for name, relation in self._relations.items():
                connection.execute(f"CREATE TABLE {name} AS FROM {relation}")
            connection.execute(f"CREATE OR REPLACE VIEW {self._view} AS {text}")
            connection.execute(f"COMMENT ON VIEW {self._view} IS '{self._mark}'")
            for name in before:
                connection.execute(f"DROP TABLE IF EXISTS {name}")
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


def _statement(
    ws: Workspace,
    connection: DuckDBPyConnection,
    view: View,
    members: list[Member],
    layout: Layout,
    kept: _Kept,
) -> tuple[str, FileGone | None]:
    """Return what a view is made of, and what is missing of it where it may not be.

    A view that cannot be made says why to whoever asks it; other questions go on.
    """
    import duckdb

    def made(missing: Missing, keep: Keep | None) -> str:
        return united_sql(
            ws, connection, members, layout,
            mode=view.mode, missing_files=missing, name=view.name, keep=keep,
        )  # fmt: skip

    try:
        return made(view.missing_files, kept.keep), None
    except FileGone as error:
        return failing_sql(connection, made("skip_silent", None), str(error)), error
    except (duckdb.Error, ConsistError, OSError) as error:
        return broken_sql(layout, f"view {view.name} cannot be read: {error}"), None


def _marks(connection: DuckDBPyConnection) -> dict[str, str]:
    """Return which views the in-memory instance has, and which of their makings."""
    found = connection.execute(
        "SELECT lower(view_name), comment FROM duckdb_views()"
        " WHERE schema_name = 'main' AND database_name = 'memory' AND comment LIKE 'consist %'"
    )
    return dict(found.fetchall())
