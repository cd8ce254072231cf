"""A shard into a database, in one transaction.

Runs are told apart by their internal ids. A run that is there already stays as it is, unless the
shard knows how it ended; a run whose id another run has gets the next attempt of that id, and all
that refers to it in the shard follows. What a merge costs grows with the shard, and not with what
the database holds: rows are found by the digests of their ids.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import msgspec

from consist.errors import RunIdTaken, StoreDamaged, StoreLocked, UsageError, hint
from consist.store.claims import attempt_id, split_attempt
from consist.store.copying import with_database
from consist.store.database import ALIAS
from consist.store.global_tables import literal
from consist.store.known import key_of
from consist.store.migrations import (
    SCHEMA_VERSION,
    check_version,
    migrate,
    store_values,
)
from consist.store.row_tables import disclaim
from consist.store.rows import KEYS
from consist.store.schema import json_batches, unpacked
from consist.store.shard_out import SHARD, identified
from consist.store.shard_rows import ShardRows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.store.embedded import EmbeddedStore
    from consist.store.merge import Session

Conflict = Literal["rename", "error", "skip"]


class MergedShard(msgspec.Struct):
    """What became of the runs of a shard.

    Attributes
    ----------
    merged, updated, present, purged, skipped : list of str
        Ids of runs that are new, that were known as running and have ended, that were there
        already, that were removed from this database on purpose, and that were left out because
        of a conflict. Ids of new runs are those they have here.
    conflicts : list of str
        Ids of the shard that other runs have here.
    renamed : dict
        Id in the shard → id here, where they differ.
    artifacts : int
        How many artifacts are new.
    rows : dict
        How many ingested rows were taken in, by table.
    refused_tables : dict
        Tables whose rows were left out, with the reason.
    caches : list of str
        Tables whose rows belong to nobody; they were left out.
    uids : dict
        Internal ids of new and updated runs, with the id in the shard and the id here.
    """

    merged: list[str] = []
    updated: list[str] = []
    present: list[str] = []
    purged: list[str] = []
    skipped: list[str] = []
    conflicts: list[str] = []
    renamed: dict[str, str] = {}
    artifacts: int = 0
    rows: dict[str, int] = {}
    refused_tables: dict[str, str] = {}
    caches: list[str] = []
    uids: dict[str, tuple[str, str]] = {}


def merge_shard(
    store: EmbeddedStore, shard: Path, *, conflict: Conflict, dry_run: bool
) -> MergedShard:
    """Take the runs of a shard into the database: all of them, or none if anything fails.

    Raises
    ------
    StoreLocked
        If somebody else holds the database or the shard.
    StoreTooNew
        If a newer library wrote the shard.
    StoreDamaged
        If the shard is no database of ours.
    RunIdTaken
        Under ``conflict="error"``, naming the ids that other runs have here.
    """
    if shard.resolve() == store.database.path:
        raise UsageError(f"{shard} is the database itself")
    _merge_journals_of(store, shard)
    if not shard.is_file():
        raise UsageError(f"there is no shard at {shard}")
    with shard.open("rb") as file:
        if file.read(12)[8:] != b"DUCK":  # behind eight bytes of checksum
            raise StoreDamaged(str(shard), "it is not a DuckDB database")
    report = MergedShard()

    def work(session: Session) -> None:
        session.allow_memory()
        with _attached(session.connection, shard):
            _Merge(session, conflict, report).run(dry_run=dry_run)

    with_database(store, work)
    return report


def _merge_journals_of(store: EmbeddedStore, shard: Path) -> None:
    """Let a whole database that is merged as a shard hold all that its journals tell."""
    from consist.store.embedded import EmbeddedStore
    from consist.store.journals import list_journals

    if not list_journals(Path(f"{shard}.journal")):
        return
    other = EmbeddedStore(shard, shard.parent, store.settings)
    try:
        if not other.sync(store.settings.lock_wait):
            raise other.database.refused or StoreLocked(str(shard), "another process", 0.0)
    finally:
        other.close()


@contextmanager
def _attached(connection: DuckDBPyConnection, shard: Path) -> Generator[None]:
    """Attach a shard, or a copy of it in the present schema if an older library wrote it."""
    _attach(connection, shard, " (READ_ONLY)")
    version = int(store_values(connection, SHARD).get("schema_version", 0))
    try:
        check_version(version, str(shard))
        if version == 0:
            problem = StoreDamaged(str(shard), "it has none of the tables of a Consist database")
            raise hint(problem, "name a file that 'consist db export' or a Tracker wrote")
        if version == SCHEMA_VERSION:
            yield
            return
    finally:
        connection.execute(f"DETACH {SHARD}")
    with tempfile.TemporaryDirectory(prefix="consist-shard-") as folder:
        copy = Path(shutil.copyfile(shard, Path(folder, "shard.duckdb")))
        _attach(connection, copy, "")
        try:
            migrate(connection, SHARD, str(copy))
            yield
        finally:
            connection.execute(f"DETACH {SHARD}")


def _attach(connection: DuckDBPyConnection, shard: Path, options: str) -> None:
    import duckdb

    try:
        connection.execute(f"ATTACH {literal(str(shard))} AS {SHARD}{options}")
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        if "lock" in text.lower() or "file handle" in text:
            problem = StoreLocked(str(shard), "a process that writes to it", 0.0)
            raise hint(problem, "merge it again when that process has closed the file") from error
        raise StoreDamaged(str(shard), text) from error


# ---------------------------------------------------------------- the merge


class _Coming(NamedTuple):
    """A run of the shard."""

    uid: str
    id: str
    requested_id: str
    attempt: int
    parent_run_id: str | None
    status: str
    updated_at: datetime


class _Merge:
    """One shard on its way into the database that a session holds."""

    def __init__(self, session: Session, conflict: Conflict, report: MergedShard) -> None:
        self.session, self.connection = session, session.connection
        self.conflict, self.report = conflict, report
        self.names: dict[str, str] = {}
        """Id in the shard → id here, where they differ."""
        self.chosen: list[dict[str, Any]] = []
        self.present: list[dict[str, Any]] = []
        self.rows = ShardRows(session.connection)

    def run(self, *, dry_run: bool) -> None:
        """Plan, and unless only the plan is wanted, carry it out in one transaction."""
        self._digest_ids()
        self._plan_runs()
        if self.conflict == "error" and self.report.conflicts:
            problem = RunIdTaken(tuple(self.report.conflicts))
            raise hint(problem, "merge with conflict='rename', or leave them out with 'skip'")
        self._plan_artifacts()
        self._plan_rows()
        if dry_run:
            return
        with self.session.changing():
            self._store_runs()
            self._store_artifacts()
            self._store_shared()
            self.rows.store()
            if self.report.refused_tables:
                disclaim(self.connection, "SELECT id FROM new_artifact")
            self._store_keys()

    # ------------------------------------------------------------ what is known

    def _digest_ids(self) -> None:
        """Note which ids of the shard this database knows, by their digests."""
        run = self.connection.execute
        run(
            "CREATE OR REPLACE TEMP TABLE coming (kind VARCHAR, a VARCHAR, b VARCHAR, hash UBIGINT)"
        )
        columns = {"kind": "VARCHAR", "a": "VARCHAR", "b": "VARCHAR", "hash": "UBIGINT"}
        for piece in identified(self.connection, SHARD):
            rows = (
                {"kind": kind, "a": ids[0], "b": ids[-1], "hash": key_of(kind, *ids)}
                for kind, *ids in piece
            )
            self._fill("coming", columns, rows)
        run(
            f"CREATE OR REPLACE TEMP TABLE here AS SELECT DISTINCT hash FROM {ALIAS}.consist_key"
            " WHERE hash IN (SELECT hash FROM coming)"
        )
        run(
            "CREATE OR REPLACE TEMP TABLE fresh AS SELECT DISTINCT kind, a, b, hash FROM coming"
            " WHERE hash NOT IN (SELECT hash FROM here)"
        )

    def _fill(self, table: str, columns: Mapping[str, str], rows: Iterable[dict[str, Any]]) -> None:
        names = ", ".join(columns)
        for text in json_batches(rows):
            self.connection.execute(
                f"INSERT INTO temp.{table} ({names}) SELECT {unpacked(columns, '?')}", [text]
            )

    # ------------------------------------------------------------ which runs

    def _plan_runs(self) -> None:
        found = self.connection.execute(
            "SELECT uid, id, requested_id, attempt, parent_run_id, status, updated_at"
            f" FROM {SHARD}.run ORDER BY created_at, attempt, uid"
        )
        coming = [_Coming(*row) for row in found.fetchall()]
        here = {row[0]: row[1:] for row in self._here("uid", "uid, id, status, updated_at")}
        taken = {row[0] for row in self._here("id", "id, uid")}
        purged = self._purged()
        new: list[_Coming] = []
        for run in coming:
            if run.uid in here:
                self._meet(run, *here[run.uid])
            elif run.uid in purged:
                self.report.purged.append(run.id)
            else:
                new.append(run)
        self.report.conflicts = [run.id for run in new if run.id in taken]
        if self.conflict == "skip":
            new = self._without_conflicts(new, coming)
        ids = self._new_ids(new, taken)
        for run in new:
            self._choose(run, *ids.get(run.uid, (run.id, run.attempt)), fresh=True)
        self.report.merged = [row["new_id"] for row in self.chosen if row["fresh"]]
        self.report.renamed = dict(self.names)
        self._fill_plan()

    def _here(self, column: str, columns: str) -> list[tuple[Any, ...]]:
        """Return the runs of this database that have an internal id or an id of the shard."""
        ids = (
            f"SELECT r.{column} FROM {SHARD}.run r JOIN coming c ON c.kind = 'run'"
            f" AND c.a = r.{column} WHERE c.hash IN (SELECT hash FROM here)"
        )
        if not self.connection.execute(f"SELECT 1 FROM ({ids}) LIMIT 1").fetchall():
            return []
        return self.connection.execute(
            f"SELECT {columns} FROM {ALIAS}.run WHERE {column} IN ({ids})"
        ).fetchall()

    def _purged(self) -> set[str]:
        found = self.connection.execute(
            f"SELECT uid FROM {ALIAS}.consist_purged WHERE uid IN (SELECT uid FROM {SHARD}.run)"
        )
        return {row[0] for row in found.fetchall()}

    def _meet(self, run: _Coming, own_id: str, status: str, updated_at: datetime) -> None:
        """Take note of a run that is there already, perhaps in an earlier state."""
        if own_id != run.id:
            self.names[run.id] = own_id
        later = status == "running" or run.updated_at > updated_at
        if run.status != "running" and later:
            self.report.updated.append(own_id)
            self._choose(run, own_id, split_attempt(own_id)[1] or 1, fresh=False)
        else:
            self.report.present.append(own_id)
            self.present.append({"old_id": run.id, "new_id": own_id, "changes": False})

    def _without_conflicts(self, new: list[_Coming], coming: list[_Coming]) -> list[_Coming]:
        """Leave runs out whose ids are taken, and with them what is below them."""
        below: dict[str, list[str]] = defaultdict(list)
        for run in coming:
            if run.parent_run_id is not None:
                below[run.parent_run_id].append(run.id)
        left, pending = set[str](), list(self.report.conflicts)
        while pending:
            run_id = pending.pop()
            if run_id not in left:
                left.add(run_id)
                pending.extend(below.get(run_id, ()))
        self.report.skipped = [run.id for run in new if run.id in left]
        return [run for run in new if run.id not in left]

    def _new_ids(self, new: list[_Coming], taken: set[str]) -> dict[str, tuple[str, int]]:
        """Return the next free attempts for runs whose ids other runs have, by internal id."""
        conflicting = [run for run in new if run.id in taken]
        if not conflicting:
            return {}
        found = self.connection.execute(
            f"SELECT requested_id, max(attempt) FROM {ALIAS}.run"
            " WHERE requested_id IN (SELECT unnest(?)) GROUP BY ALL",
            [list({run.requested_id for run in conflicting})],
        )
        last: dict[str, int] = dict(found.fetchall())
        for run in new:
            last[run.requested_id] = max(run.attempt, last.get(run.requested_id, 0))
        ids: dict[str, tuple[str, int]] = {}
        for run in conflicting:
            last[run.requested_id] = attempt = max(last[run.requested_id], 1) + 1
            ids[run.uid] = attempt_id(run.requested_id, attempt), attempt
            self.names[run.id] = ids[run.uid][0]
        return ids

    def _choose(self, run: _Coming, new_id: str, attempt: int, *, fresh: bool) -> None:
        self.report.uids[run.uid] = run.id, new_id
        self.chosen.append(
            {"uid": run.uid, "old_id": run.id, "new_id": new_id, "attempt": attempt, "fresh": fresh}
        )

    def _fill_plan(self) -> None:
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE chosen (uid VARCHAR, old_id VARCHAR, new_id VARCHAR,"
            " attempt INTEGER, fresh BOOLEAN);"
            "CREATE OR REPLACE TEMP TABLE name (old_id VARCHAR, new_id VARCHAR);"
            "CREATE OR REPLACE TEMP TABLE left_out (id VARCHAR);"
            "CREATE OR REPLACE TEMP TABLE told (uid VARCHAR, meta JSON)"
        )
        texts = dict.fromkeys(("uid", "old_id", "new_id"), "VARCHAR")
        self._fill("chosen", {**texts, "attempt": "INTEGER", "fresh": "BOOLEAN"}, self.chosen)
        names = ({"old_id": old, "new_id": new} for old, new in self.names.items())
        self._fill("name", {"old_id": "VARCHAR", "new_id": "VARCHAR"}, names)
        gone = ({"id": run_id} for run_id in (*self.report.skipped, *self.report.purged))
        self._fill("left_out", {"id": "VARCHAR"}, gone)
        self._fill("told", {"uid": "VARCHAR", "meta": "JSON"}, self._renamed_meta())

    def _renamed_meta(self) -> Iterable[dict[str, Any]]:
        """Yield the metadata of runs that name a run which has another id here."""
        if not self.names:
            return
        found = self.connection.cursor().execute(
            f"SELECT uid, id, meta FROM {SHARD}.run WHERE id IN (SELECT unnest(?))"
            " OR json_extract_string(meta, '$.cache_source') IN (SELECT unnest(?))"
            " OR json_exists(meta, '$.steps')",
            [list(self.names), list(self.names)],
        )
        own = {row["uid"]: row["new_id"] for row in self.chosen}
        for uid, run_id, text in found.fetchall():
            if uid in own:
                meta = msgspec.json.decode(text)
                if own[uid] != run_id:
                    meta["renamed_from"] = run_id
                if meta.get("cache_source") in self.names:
                    meta["cache_source"] = self.names[meta["cache_source"]]
                yield {"uid": uid, "meta": {**meta, **self._steps(meta)}}

    def _steps(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        steps: Any = meta.get("steps")
        if not isinstance(steps, list):
            return {}
        listed = cast("list[dict[str, Any]]", steps)
        return {"steps": [{**s, "id": self.names.get(s["id"], s["id"])} for s in listed]}

    # ------------------------------------------------------------ which artifacts and tables

    def _plan_artifacts(self) -> None:
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE new_artifact AS WITH RECURSIVE used (id) AS ("
            f" SELECT l.artifact_id FROM {SHARD}.run_artifact_link l"
            " SEMI JOIN chosen c ON c.old_id = l.run_id"
            f" UNION SELECT a.id FROM {SHARD}.artifact a SEMI JOIN chosen c ON c.old_id = a.run_id"
            f" UNION SELECT a.parent_artifact_id FROM used u JOIN {SHARD}.artifact a ON a.id = u.id"
            " WHERE a.parent_artifact_id IS NOT NULL"
            ") SELECT u.id, f.hash FROM used u JOIN fresh f ON f.kind = 'artifact' AND f.a = u.id"
        )
        self.connection.execute(  # facets of artifacts that stay behind
            "DELETE FROM fresh WHERE kind = 'artifact_kv'"
            " AND a NOT IN (SELECT id FROM new_artifact)"
            " AND a IN (SELECT a FROM fresh WHERE kind = 'artifact')"
        )
        self.report.artifacts = self._count("SELECT count(*) FROM new_artifact")

    def _plan_rows(self) -> None:
        """Find out which ingested rows are taken in."""
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE arrived (old_id VARCHAR, new_id VARCHAR, changes BOOLEAN)"
        )
        self.connection.execute("INSERT INTO arrived SELECT old_id, new_id, true FROM chosen")
        columns = {"old_id": "VARCHAR", "new_id": "VARCHAR", "changes": "BOOLEAN"}
        self._fill("arrived", columns, self.present)
        self.rows.plan()
        self.report.rows, self.report.caches = self.rows.rows, self.rows.caches
        self.report.refused_tables = self.rows.refused
        if self.rows.refused and self.conflict == "error":
            table, reason = next(iter(self.rows.refused.items()))
            problem = UsageError(f"ingested table {table!r} does not fit: {reason}")
            raise hint(problem, "merge with conflict='rename', which leaves its rows out")

    def _count(self, statement: str) -> int:
        return int(self.connection.execute(statement).fetchall()[0][0])

    # ------------------------------------------------------------ storing

    def _store_runs(self) -> None:
        run = self.connection.execute
        if self.report.updated:
            old = "SELECT {} FROM chosen WHERE NOT fresh"
            run(f"DELETE FROM {ALIAS}.run WHERE uid IN ({old.format('uid')})")
            run(f"DELETE FROM {ALIAS}.run_extra WHERE run_id IN ({old.format('new_id')})")
        run(
            f"INSERT INTO {ALIAS}.run BY NAME SELECT r.* REPLACE (c.new_id AS id,"
            " c.attempt AS attempt, coalesce(p.new_id, r.parent_run_id) AS parent_run_id,"
            " coalesce(t.meta, r.meta) AS meta)"
            f" FROM {SHARD}.run r JOIN chosen c ON c.uid = r.uid"
            " LEFT JOIN told t ON t.uid = r.uid LEFT JOIN name p ON p.old_id = r.parent_run_id"
        )
        self._store_of_runs("run_extra", anew=True)
        for table in ("run_artifact_link", "run_config_kv"):
            self._store_of_runs(table)
        run(
            f"INSERT INTO {ALIAS}.run_binding_invocation BY NAME SELECT b.* REPLACE ("
            "c.new_id AS requested_run_id,"
            " coalesce(e.new_id, b.execution_run_id) AS execution_run_id,"
            " coalesce(s.new_id, b.cache_source_run_id) AS cache_source_run_id)"
            f" FROM {SHARD}.run_binding_invocation b"
            " JOIN chosen c ON c.old_id = b.requested_run_id AND c.fresh"
            " LEFT JOIN name e ON e.old_id = b.execution_run_id"
            " LEFT JOIN name s ON s.old_id = b.cache_source_run_id"
        )

    def _store_of_runs(self, table: str, *, anew: bool = False) -> None:
        """Store the rows of a table that belong to chosen runs, and are not there yet."""
        keys = [name for name in KEYS[table] if name != "run_id"]
        same = "".join(f" AND d.{name} = s.{name}" for name in keys)
        lacking = (
            "" if anew or not self.report.updated
            else f" AND (c.fresh OR NOT EXISTS (SELECT 1 FROM {ALIAS}.{table} d"
            f" WHERE d.run_id = c.new_id{same}))"
        )  # fmt: skip
        self.connection.execute(
            f"INSERT INTO {ALIAS}.{table} BY NAME SELECT s.* REPLACE (c.new_id AS run_id)"
            f" FROM {SHARD}.{table} s JOIN chosen c ON c.old_id = s.run_id WHERE true{lacking}"
        )

    def _store_artifacts(self) -> None:
        # What a run made that was left out must not be taken for the work of another of that id.
        self.connection.execute(
            f"INSERT INTO {ALIAS}.artifact BY NAME SELECT a.* REPLACE ("
            " CASE WHEN g.id IS NULL THEN coalesce(n.new_id, a.run_id) END AS run_id,"
            " CASE WHEN g.id IS NULL THEN a.meta ELSE json_merge_patch(a.meta,"
            " json_object('producer_left_out', a.run_id)) END AS meta)"
            f" FROM {SHARD}.artifact a SEMI JOIN new_artifact w ON w.id = a.id"
            " LEFT JOIN name n ON n.old_id = a.run_id LEFT JOIN left_out g ON g.id = a.run_id"
        )

    def _store_shared(self) -> None:
        """Store what runs share: contents, facets, packages and what was said of runs."""
        for table in ("artifact_content", "config_facet", "artifact_facet", "package_set"):
            self._store_fresh(table, "id", "true")
        self._store_fresh("run_change", "id", "s.uid IN (SELECT uid FROM chosen)")
        self.connection.execute(
            f"INSERT INTO {ALIAS}.artifact_kv BY NAME SELECT s.* FROM {SHARD}.artifact_kv s"
            " SEMI JOIN fresh f ON f.kind = 'artifact_kv' AND f.a = s.artifact_id"
            " AND f.b = s.facet_id"
        )
        for table in ("artifact_schema", "artifact_schema_field", "artifact_schema_observation",
                      "artifact_schema_relation"):  # fmt: skip
            self._store_lacking(table)

    def _store_fresh(self, table: str, column: str, condition: str) -> None:
        self.connection.execute(
            f"INSERT INTO {ALIAS}.{table} BY NAME SELECT s.* FROM {SHARD}.{table} s"
            f" SEMI JOIN fresh f ON f.kind = '{table}' AND f.a = s.{column} WHERE {condition}"
        )

    def _store_lacking(self, table: str) -> None:
        if not self._count(f"SELECT count(*) FROM {SHARD}.{table}"):
            return
        same = " AND ".join(f"d.{name} = s.{name}" for name in KEYS[table])
        self.connection.execute(
            f"INSERT INTO {ALIAS}.{table} BY NAME SELECT s.* FROM {SHARD}.{table} s"
            f" WHERE NOT EXISTS (SELECT 1 FROM {ALIAS}.{table} d WHERE {same})"
        )
        if table == "artifact_schema_observation":
            self.connection.execute(
                f"UPDATE {ALIAS}.{table} o SET run_id = n.new_id FROM name n"
                f" WHERE o.run_id = n.old_id AND o.id IN (SELECT id FROM {SHARD}.{table})"
            )

    def _store_keys(self) -> None:
        """Remember the ids of all that was stored."""
        keys = {
            key_of("run", text)
            for row in self.chosen
            if row["fresh"]
            for text in (row["uid"], row["new_id"])
        }
        self.session.known.remember(keys - self.session.known.present(keys))
        self.connection.execute(
            f"INSERT INTO {ALIAS}.consist_key SELECT hash FROM new_artifact UNION ALL"
            " SELECT hash FROM fresh WHERE kind NOT IN ('run', 'artifact', 'run_change')"
            " UNION ALL SELECT f.hash FROM fresh f"
            f" JOIN {SHARD}.run_change s ON s.id = f.a AND f.kind = 'run_change'"
            " WHERE s.uid IN (SELECT uid FROM chosen)"
        )
