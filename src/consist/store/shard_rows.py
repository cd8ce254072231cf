"""The ingested rows of a shard on their way into a database.

Rows of artifacts go by the ledger of the shard: an artifact that this database has, or gets by the
same merge, gets the rows that were ingested last, so that a second merge changes nothing. Rows that
belong to runs alone go with runs that are new here, or of which the table here has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from consist.store.database import ALIAS
from consist.store.global_tables import (
    LEDGER,
    LEDGER_COLUMNS,
    SCHEMA,
    evolved_type,
    identifier,
)
from consist.store.migrations import set_value
from consist.store.row_tables import ARTIFACT, RowTable, count, has_ledger, in_order, row_tables
from consist.store.shard_out import SHARD
from consist.store.tail_rows import HAS_ROWS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_HERE = f"{ALIAS}.{SCHEMA}.{LEDGER}"
_THERE = f"{SHARD}.{SCHEMA}.{LEDGER}"


class _Fit(NamedTuple):
    """A table of the shard, and what the table here becomes by it."""

    coming: RowTable
    here: RowTable | None
    types: dict[str, str]
    """Type here of every coming column, by lower-case name."""


class _Refused(Exception):
    """Why rows of one table cannot stand in another."""


class ShardRows:
    """What one merge does with the ingested rows of a shard.

    The caller has filled the temporary tables ``new_artifact``, ``name``, ``coming`` and ``here``,
    and ``arrived`` with the runs of the shard that will be here.

    Attributes
    ----------
    rows : dict
        How many rows are taken in, by table.
    refused : dict
        Tables whose rows are left out, with the reason.
    caches : list of str
        Tables whose rows belong to nobody.
    """

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection
        self.rows: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.caches: list[str] = []
        self._fits: list[_Fit] = []

    # ------------------------------------------------------------ planning

    def plan(self) -> None:
        """Find out which rows are taken in; nothing is changed."""
        self._choose_entries()
        here = row_tables(self._connection, ALIAS)
        for key, table in row_tables(self._connection, SHARD).items():
            if table.mode == "unscoped_cache":
                self.caches.append(table.name)
                continue
            self._choose_runs(table, here.get(key))
            if self._has_entries(table) or count(self._connection, table, _taken(table)):
                self._fit(table, here.get(key))
        for fit in self._fits:
            if found := count(self._connection, fit.coming, _taken(fit.coming)):
                self.rows[fit.coming.name] = found

    def _fit(self, coming: RowTable, here: RowTable | None) -> None:
        try:
            self._fits.append(self._fitted(coming, here))
        except _Refused as reason:
            self.refused[coming.name] = str(reason)
            # The tables of an artifact come and go together.
            self._run(
                "DELETE FROM taken WHERE artifact_id IN (SELECT artifact_id FROM taken"
                " WHERE lower(table_name) = lower(?))",
                [coming.name],
            )

    def _choose_entries(self) -> None:
        """Choose the entries of the shard's ledger that are newer than what is known here."""
        self._run(
            "CREATE OR REPLACE TEMP TABLE taken (artifact_id VARCHAR, table_name VARCHAR);"
            "CREATE OR REPLACE TEMP TABLE taken_run (table_name VARCHAR, id VARCHAR)"
        )
        if not has_ledger(self._connection, SHARD):
            return
        newer = ""
        if has_ledger(self._connection, ALIAS):
            newer = (
                f" AND NOT EXISTS (SELECT 1 FROM {_HERE} h"
                " WHERE h.artifact_id = l.artifact_id AND h.ingested_at >= l.ingested_at)"
            )
        self._run(
            f"INSERT INTO taken SELECT l.artifact_id, l.table_name FROM {_THERE} l"
            " WHERE (l.artifact_id IN (SELECT id FROM new_artifact)"
            " OR l.artifact_id IN (SELECT a FROM coming WHERE kind = 'artifact'"
            f" AND hash IN (SELECT hash FROM here))){newer}"
        )

    def _choose_runs(self, table: RowTable, here: RowTable | None) -> None:
        """Choose the runs whose rows a table takes in, of those rows that name a run alone."""
        if table.run_column is None:
            return
        known = ""
        if here is not None and here.run_column is not None:
            known = (
                f" AND (a.changes OR a.new_id NOT IN (SELECT {here.run_column}"
                f" FROM {here.source} WHERE {here.run_column} IS NOT NULL))"
            )
        self._run(
            "INSERT INTO taken_run SELECT ?, a.old_id FROM arrived a"
            f" WHERE a.old_id IN (SELECT {table.run_column} FROM {table.source}"
            f" WHERE {table.without_artifact}){known}",
            [table.name],
        )

    def _has_entries(self, table: RowTable) -> bool:
        found = self._connection.execute(
            "SELECT 1 FROM taken WHERE lower(table_name) = lower(?) LIMIT 1", [table.name]
        )
        return table.is_by_artifact and bool(found.fetchall())

    def _fitted(self, coming: RowTable, here: RowTable | None) -> _Fit:
        types = {key: kind for key, (_, kind) in coming.columns.items()}
        if here is None:
            return _Fit(coming, None, types)
        sides = [(table.is_by_artifact, table.run_column or "nothing") for table in (here, coming)]
        if sides[0] != sides[1]:
            told = [ARTIFACT if by_artifact else column for by_artifact, column in sides]
            raise _Refused(f"its rows are told apart by {told[0]} here and by {told[1]} there")
        for key, (name, kind) in coming.columns.items():
            known = here.columns.get(key)
            if known is not None and known[1] != kind:
                types[key] = self._common(coming, here, known, (name, kind))
        return _Fit(coming, here, types)

    def _common(
        self, coming: RowTable, here: RowTable, known: tuple[str, str], new: tuple[str, str]
    ) -> str:
        arriving = f"(SELECT * FROM {coming.source} WHERE {_taken(coming)})"
        common = evolved_type(
            self._connection,
            (known[1], here.source, identifier(known[0])),
            (new[1], arriving, identifier(new[0])),
        )
        # Text is read back in the type that the ledger tells; nobody tells that of others' tables.
        if common == "VARCHAR" != known[1] and not here.is_by_artifact:
            raise _Refused(f"column {known[0]!r} is {known[1]} here and {new[1]} in the shard")
        return common

    # ------------------------------------------------------------ storing

    def store(self) -> None:
        """Store what was planned, in the transaction of the caller."""
        if not self._fits:
            return
        self._run(f"CREATE SCHEMA IF NOT EXISTS {ALIAS}.{SCHEMA}")
        self._run(f"CREATE TABLE IF NOT EXISTS {_HERE} {LEDGER_COLUMNS}")
        self._forget_older()
        for fit in self._fits:
            self._make_room(fit)
            with in_order(self._connection):
                self._insert(fit)
        if has_ledger(self._connection, SHARD):
            self._enter()
        set_value(self._connection, ALIAS, HAS_ROWS, "1")

    def _enter(self) -> None:
        """Note whose rows were taken in, and let artifacts that were here without know of them."""
        self._run(
            f"INSERT INTO {_HERE} BY NAME SELECT l.* REPLACE (coalesce(n.new_id, l.run_id)"
            f" AS run_id) FROM {_THERE} l LEFT JOIN name n ON n.old_id = l.run_id"
            " SEMI JOIN taken t ON t.artifact_id = l.artifact_id AND t.table_name = l.table_name"
        )
        self._run(
            f"UPDATE {ALIAS}.artifact AS a SET meta = json_merge_patch(a.meta, json_object("
            "'is_ingested', true, 'dlt_table_name', json_extract(s.meta, '$.dlt_table_name')))"
            f" FROM {SHARD}.artifact s WHERE s.id = a.id AND s.id IN (SELECT artifact_id FROM"
            " taken) AND s.id NOT IN (SELECT id FROM new_artifact)"
        )

    def _forget_older(self) -> None:
        """Delete what the tables have of artifacts whose rows come anew."""
        found = self._connection.execute(
            f"SELECT DISTINCT table_name FROM {_HERE} SEMI JOIN taken USING (artifact_id)"
        )
        for (table,) in found.fetchall():
            self._run(
                f"DELETE FROM {ALIAS}.{SCHEMA}.{identifier(table)} WHERE {ARTIFACT} IN"
                f" (SELECT artifact_id FROM {_HERE} SEMI JOIN taken USING (artifact_id))"
            )
        self._run(f"DELETE FROM {_HERE} WHERE artifact_id IN (SELECT artifact_id FROM taken)")

    def _make_room(self, fit: _Fit) -> None:
        """Let the table here have every column that comes, and a type for each value."""
        coming, here = fit.coming, fit.here
        target = f"{ALIAS}.{SCHEMA}.{identifier(coming.name)}"
        if here is None:
            self._run(f"CREATE TABLE {target} AS FROM {coming.source} LIMIT 0")
            return
        if here.run_column is not None:
            self._run(
                f"DELETE FROM {here.source} WHERE {here.without_artifact} AND {here.run_column} IN"
                " (SELECT a.new_id FROM arrived a JOIN taken_run t ON t.id = a.old_id"
                " WHERE t.table_name = ?)",
                [coming.name],
            )
        for key, kind in fit.types.items():
            name, known = here.columns.get(key, (coming.columns[key][0], None))
            column = identifier(name)
            if known is None:
                self._run(f"ALTER TABLE {target} ADD COLUMN {column} {kind}")
            elif known != kind:
                self._run(
                    f"ALTER TABLE {target} ALTER COLUMN {column} TYPE {kind}"
                    f" USING TRY_CAST({column} AS {kind})"
                )

    def _insert(self, fit: _Fit) -> None:
        coming = fit.coming
        values = [
            f"{_value(coming, key, fit.types[key])} AS {identifier(name)}"
            for key, (name, _) in coming.columns.items()
        ]
        renamed = ""
        if coming.run_column is not None:
            renamed = f" LEFT JOIN name n ON n.old_id = s.{coming.run_column}"
        self._run(
            f"INSERT INTO {ALIAS}.{SCHEMA}.{identifier(coming.name)} BY NAME"
            f" SELECT {', '.join(values)} FROM (SELECT * FROM {coming.source}"
            f" WHERE {_taken(coming)}) s{renamed}"
        )

    def _run(self, statement: str, values: Iterable[object] = ()) -> None:
        self._connection.execute(statement, list(values))


def _taken(table: RowTable) -> str:
    """Return SQL that holds for the rows of a table of the shard that are taken in."""
    name = table.name.replace("'", "''")
    return table.belongs(
        f"SELECT artifact_id FROM taken WHERE lower(table_name) = lower('{name}')",
        f"SELECT id FROM taken_run WHERE table_name = '{name}'",
    )


def _value(table: RowTable, key: str, kind: str) -> str:
    name, own = table.columns[key]
    value = f"s.{identifier(name)}"
    if key == table.run_column:
        value = f"coalesce(n.new_id, {value})"
    return value if own == kind else f"CAST({value} AS {kind})"
