"""Read what was recorded again, and compare."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from consist.artifacts.verify import is_guess, says_the_same
from consist.errors import ConsistError, UnknownKey, hint
from consist.files.memo import Memo
from consist.files.transfer import size_of
from consist.maintenance.marks import mark
from consist.maintenance.places import store_of, trusted_place_of
from consist.models.record import ArtifactRecord
from consist.progress import Advance, counting, progress
from consist.query.runs import get_run
from consist.store.locks import this_user
from consist.store.maintenance import as_record
from consist.store.shard_out import subtree

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from consist.workspace import Workspace

Verdict = Literal["ok", "missing", "altered", "unverifiable", "overwritten", "freed", "untrusted"]
VERDICTS: tuple[Verdict, ...] = (
    "ok", "missing", "altered", "unverifiable", "overwritten", "freed", "untrusted",
)  # fmt: skip
MARK = "missing_on_disk"
"""Metadata of an artifact whose file was not there when somebody looked."""

_PIECE = 2_000
_KEPT = 10_000


class Checked(msgspec.Struct, frozen=True):
    """One artifact that was looked at."""

    key: str
    id: str
    run_id: str | None
    uri: str
    path: str
    verdict: Verdict


class Verification(msgspec.Struct, kw_only=True):
    """What was found where artifacts lie.

    Attributes
    ----------
    counts : dict
        How many artifacts are ``ok``, ``missing`` and ``altered``; ``unverifiable``, because they
        were recorded without a digest or by size and time alone; ``overwritten`` by a later run at
        the same place, as the record tells; ``freed`` by ``collect_garbage``; and ``untrusted``,
        because they were not looked for where the record alone says.
    problems : list of Checked
        What is missing or altered; the first ten thousand.
    bytes_read : int
        How much was read.
    marked, unmarked : int
        How many artifacts ``fix`` marked as missing, and of how many it took the mark back.
    """

    counts: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    problems: list[Checked] = []
    bytes_read: int = 0
    marked: int = 0
    unmarked: int = 0

    @property
    def is_ok(self) -> bool:
        """Whether nothing is missing or altered."""
        return not (self.counts["missing"] or self.counts["altered"])


def verify(
    ws: Workspace,
    run_id: str | None = None,
    *,
    scenario: str | None = None,
    key_prefix: str | None = None,
    thorough: bool = True,
    fix: bool = False,
) -> Verification:
    """Compare recorded artifacts with the files and folders that lie where they were recorded.

    Files are read in parallel; one that several artifacts refer to is read once.

    Parameters
    ----------
    run_id : str, optional
        Only what this run used or made.
    scenario : str, optional
        Only what this scenario and the runs below it used or made.
    key_prefix : str, optional
        Only artifacts whose keys begin with this.
    thorough : bool, default True
        Read every byte. Without it, a file that looks as it did when it was last read, by size,
        times and inode, counts as unchanged.
    fix : bool, default False
        Mark what is missing with ``missing_on_disk`` in its metadata, and take the mark back
        where the file is there again.

    Returns
    -------
    Verification

    Raises
    ------
    KeyError
        If there is no such run or scenario.
    RuntimeError
        Without a database; with ``fix``, where nothing may be recorded.
    """
    return _Look(ws, reads=True, thorough=thorough, fix=fix).over(run_id, scenario, key_prefix)


def validate(
    ws: Workspace,
    run_id: str | None = None,
    *,
    scenario: str | None = None,
    key_prefix: str | None = None,
    fix: bool = False,
) -> Verification:
    """Look whether the files and folders of recorded artifacts are there, without reading them.

    Takes what :func:`verify` takes; whatever is there counts as ``ok``.
    """
    return _Look(ws, reads=False, thorough=False, fix=fix).over(run_id, scenario, key_prefix)


class _Look:
    """One look at artifacts."""

    def __init__(self, ws: Workspace, *, reads: bool, thorough: bool, fix: bool) -> None:
        store_of(ws, "verify", changes=fix)
        self.ws, self.reads, self.fix = ws, reads, fix
        self.memo = Memo() if thorough else ws.files.memo
        self.found = Verification()
        self.digests: dict[str, str | None] = {}

    def over(
        self, run_id: str | None, scenario: str | None, key_prefix: str | None
    ) -> Verification:
        runs = _runs(self.ws, run_id, scenario)
        total = _count(self.ws, runs, key_prefix)
        with counting(
            "verifying", total, shown=self.ws.settings.progress and not self.reads
        ) as show:
            done = 0
            for piece in _pieces(self.ws, runs, key_prefix):
                self._look_at(piece)
                done += len(piece)
                show(done, "")
        return self.found

    def _look_at(self, piece: list[tuple[ArtifactRecord, bool]]) -> None:
        places = {record.id: trusted_place_of(self.ws, record) for record, _ in piece}
        if self.reads:
            self._read(piece, places)
        news: dict[str, dict[str, Any]] = {}
        for record, superseded in piece:
            path = places[record.id]
            verdict = self._verdict(record, path, superseded=superseded)
            self.found.counts[verdict] += 1
            if verdict in {"missing", "altered"} and len(self.found.problems) < _KEPT:
                where = record.container_uri, str(path)
                checked = Checked(record.key, record.id, record.run_id, *where, verdict)
                self.found.problems.append(checked)
            if path is not None and (verdict == "missing") != bool(record.meta.get(MARK)):
                news[record.id] = {MARK: verdict == "missing"}
        if self.fix and news:
            mark(self.ws, news, this_user())
            marked = sum(said[MARK] for said in news.values())
            self.found.marked += marked
            self.found.unmarked += len(news) - marked

    def _read(
        self, piece: list[tuple[ArtifactRecord, bool]], places: Mapping[str, str | None]
    ) -> None:
        """Digest every place once, in parallel."""
        wanted = {
            place
            for record, _ in piece
            if (place := places[record.id]) and record.hash is not None and not is_guess(record)
        }
        paths = [path for path in sorted(wanted - self.digests.keys()) if os.path.exists(path)]  # noqa: PTH110
        if len(self.digests) > _KEPT:
            self.digests.clear()
        sizes = {path: size_of(path) for path in paths}
        self.found.bytes_read += sum(sizes.values())
        shown = self.ws.settings.progress
        with progress("reading", lambda: sum(sizes.values()), shown=shown) as advance:
            self._digest(paths, advance)

    def _digest(self, paths: list[str], advance: Advance) -> None:
        try:
            self.digests.update(zip(paths, self.memo.digest_many(paths, advance), strict=True))
        except (OSError, ConsistError):  # one of them; find out which
            for path in paths:
                try:
                    self.digests[path] = self.memo.digest(path)
                except (OSError, ConsistError):
                    self.digests[path] = None

    def _verdict(self, record: ArtifactRecord, path: str | None, *, superseded: bool) -> Verdict:
        if path is None:
            return "untrusted"
        if not os.path.exists(path):  # noqa: PTH110 - paths come by the thousand
            if record.meta.get("freed"):
                return "freed"
            return "overwritten" if superseded else "missing"
        if not self.reads:
            return "ok"
        if record.hash is None or is_guess(record) or record.table_path or record.array_path:
            return "unverifiable"
        if self.digests.get(path) == record.hash or says_the_same(self.ws, record, path):
            return "ok"
        return "overwritten" if superseded else "altered"


# ---------------------------------------------------------------- which artifacts


def _runs(ws: Workspace, run_id: str | None, scenario: str | None) -> list[str] | None:
    named = run_id if run_id is not None else scenario
    if named is None:
        return None
    run = get_run(ws, named)
    if run is None:
        raise hint(UnknownKey(named, "the database", ()), "consist runs lists the newest ids")
    if scenario is None:
        return [run.id]
    with ws.store.ask() as connection:
        return subtree(connection, run.id)


_LATER = (
    "EXISTS (SELECT 1 FROM main.artifact b WHERE b.root = a.root"
    " AND b.container_uri = a.container_uri AND b.table_path IS NOT DISTINCT FROM a.table_path"
    " AND b.array_path IS NOT DISTINCT FROM a.array_path AND b.created_at > a.created_at"
    " AND b.run_id IS NOT NULL AND b.hash IS DISTINCT FROM a.hash)"
)


def _conditions(runs: list[str] | None, key_prefix: str | None) -> tuple[str, list[Any]]:
    where, values = ["true"], list[Any]()
    if runs is not None:
        where.append(
            "a.id IN (SELECT artifact_id FROM main.run_artifact_link"
            " WHERE run_id IN (SELECT unnest(?)))"
        )
        values.append(runs)
    if key_prefix is not None:
        where.append("starts_with(a.key, ?)")
        values.append(key_prefix)
    return " AND ".join(where), values


def _count(ws: Workspace, runs: list[str] | None, key_prefix: str | None) -> int:
    where, values = _conditions(runs, key_prefix)
    with ws.store.ask() as connection:
        found = connection.execute(
            f"SELECT count(*) FROM main.artifact a WHERE {where}",  # noqa: S608 - from here
            values,
        )
        return int(found.fetchall()[0][0])


def _pieces(
    ws: Workspace, runs: list[str] | None, key_prefix: str | None
) -> Iterator[list[tuple[ArtifactRecord, bool]]]:
    """Yield artifacts by place, and whether a later run recorded something else there.

    The ids come first, so that the database is not held while files are read.
    """
    where, values = _conditions(runs, key_prefix)
    with ws.store.ask() as connection:
        found = connection.execute(
            f"SELECT a.id FROM main.artifact a WHERE {where}"  # noqa: S608 - from here
            " ORDER BY a.root, a.container_uri, a.created_at",
            values,
        ).fetchall()
    ids = [row[0] for row in found]
    for start in range(0, len(ids), _PIECE):
        piece = ids[start : start + _PIECE]
        with ws.store.ask() as connection:
            yield list(_records(connection, piece))


def _records(
    connection: DuckDBPyConnection, ids: Iterable[str]
) -> Iterator[tuple[ArtifactRecord, bool]]:
    found = connection.execute(
        f"SELECT a.*, {_LATER} AS superseded FROM main.artifact a"  # noqa: S608 - from here
        " WHERE a.id IN (SELECT unnest(?)) ORDER BY a.root, a.container_uri, a.created_at",
        [list(ids)],
    )
    names = [column[0] for column in found.description or ()]
    for row in found.fetchall():
        values = dict(zip(names, row, strict=True))
        superseded = bool(values.pop("superseded"))
        yield as_record(values), superseded
