"""The latest executed runs of each model: what a run that was no hit is compared with.

Only the latest of a model are kept, so that the index stays small however many runs there are, and
an answer costs the same among a hundred thousand of them. A run that can never be given back is
kept by its signature as well, as long as the index is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from heapq import nlargest
from itertools import islice
from typing import Any, NamedTuple

from consist.models.changes import invalidated_by, why_rejected
from consist.models.record import (
    INVALIDATED,
    NULL,
    RunDocument,
    RunRecord,
    decode_document,
    encode,
    replace,
)
from consist.store.index_file import RECENT_KEPT, IndexFile, Lines

_LARGEST_CONFIG = 65_536
_MOST_REFUSED = 5
_IN_MEMORY = 2 * RECENT_KEPT


class Earlier(NamedTuple):
    """An executed run, by what its identity is made of.

    Attributes
    ----------
    at : float
        When it was created, in seconds.
    uid : str
        Its internal id.
    status : str
        How it ended.
    config, code, inputs : str or None
        The three digests of its identity.
    """

    at: float
    uid: str
    status: str
    config: str | None
    code: str | None
    inputs: str | None


class PassedOver(NamedTuple):
    """A run of the signature that is looked for, which can never be given back, and why."""

    run_id: str
    why: str


class RecentRuns:
    """Learns of runs as the index does, and is written with it.

    Parameters
    ----------
    file : IndexFile
        What is behind memory.
    """

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self.forget()

    def forget(self) -> None:
        """Drop what was learned, once it is written."""
        self._by_model: dict[str, dict[str, tuple[Earlier, RunDocument]]] = {}
        self._refused: dict[str, dict[str, PassedOver]] = {}

    # ------------------------------------------------------------ learning

    def learn(self, document: RunDocument) -> None:
        """Take in a run that was executed and has ended."""
        run = document.run
        if run.signature is None:
            return
        if not document.is_source:
            refused = PassedOver(run.id, why_refused(document))
            self._refused.setdefault(run.signature, {})[run.uid] = refused
        known = self._by_model.setdefault(run.model_name, {})
        known[run.uid] = _earlier(run), _compared(document)
        if len(known) > _IN_MEMORY:
            latest = nlargest(RECENT_KEPT, known.values(), key=_first)
            self._by_model[run.model_name] = {kept[0].uid: kept for kept in latest}

    def learn_row(self, run: RunRecord) -> None:
        """Take in that the row of a run is another one now."""
        known = self.document(run.model_name, run.uid)
        self.learn(RunDocument(run=run) if known is None else replace(known, run=run))

    def lines(self) -> Lines:
        """Return what the file may lack."""
        return {
            "recent": [
                (model, *earlier, encode(document))
                for model, known in self._by_model.items()
                for earlier, document in known.values()
            ],
            "old": [(model, model) for model in self._by_model],
            "refused": [
                (signature, uid, *refused)
                for signature, found in self._refused.items()
                for uid, refused in found.items()
            ],
        }

    # ------------------------------------------------------------ asking

    def of(self, model: str) -> list[Earlier]:
        """Return the latest runs of a model, newest first."""
        learned = {uid: known[0] for uid, known in self._by_model.get(model, {}).items()}
        rows = self._file.select(
            "SELECT at, uid, status, config, code, inputs FROM recent WHERE model = ?"
            f" ORDER BY at DESC LIMIT {RECENT_KEPT}",
            model,
        )
        for row in rows:
            learned.setdefault(row[1], Earlier(*row))
        return sorted(learned.values(), key=_recency, reverse=True)[:RECENT_KEPT]

    def document(self, model: str, uid: str) -> RunDocument | None:
        """Return one of them, without its outputs; its config where that is at hand."""
        known = self._by_model.get(model, {}).get(uid)
        if known is not None:
            return known[1]
        rows = self._file.select("SELECT body FROM recent WHERE model = ? AND uid = ?", model, uid)
        return decode_document(rows[0][0]) if rows else None

    def refused(self, signature: str) -> dict[str, PassedOver]:
        """Return the runs of a signature that did not end well, the latest few, by internal id."""
        found = dict(self._refused.get(signature, {}))
        rows = self._file.select(
            "SELECT uid, run_id, why FROM refused WHERE signature = ?"
            f" ORDER BY rowid DESC LIMIT {_MOST_REFUSED}",
            signature,
        )
        for uid, run_id, why in rows:
            found.setdefault(uid, PassedOver(run_id, why))
        return dict(islice(found.items(), _MOST_REFUSED))

    def purge(self, uids: Collection[str]) -> None:
        """Drop what was learned of these runs."""
        for known in (*self._by_model.values(), *self._refused.values()):
            for uid in known.keys() & uids:
                del known[uid]


def ended_badly(status: str) -> str:
    """Return the sentence on a run that did not complete."""
    return "it failed" if status == "failed" else f"it was {status}"


def why_refused(document: RunDocument) -> str:
    """Return why a run that has ended can never be given back."""
    run = document.run
    invalidated = run.meta.get(INVALIDATED)
    if isinstance(invalidated, Mapping):
        told: Mapping[str, Any] = invalidated  # pyright: ignore[reportUnknownVariableType]
        return invalidated_by(told.get("by"), told.get("reason"))
    fixes = [change for change in document.extra.changes if change.status is not None]
    if fixes:
        return why_rejected(fixes[-1])
    if run.status != "completed":
        return ended_badly(run.status)
    if "code_changed_since_load" in run.meta:
        files: Any = run.meta["code_changed_since_load"]
        return f"its code had changed after it was loaded: {', '.join(map(str, files[:3]))}"
    return "it was marked as no source"


def _compared(document: RunDocument) -> RunDocument:
    """Return what another run is compared with, and nothing else of a run."""
    config = document.config
    small = len(memoryview(config)) <= _LARGEST_CONFIG
    return replace(
        document,
        outputs=(),
        cached_run=NULL,
        facet=None,
        config=config.copy() if small else NULL,
        extra=replace(
            document.extra, artifact_facets={}, news={}, changes=(), environment=NULL, schemas=()
        ),
    )


def _earlier(run: RunRecord) -> Earlier:
    return Earlier(
        *(run.created_at.timestamp(), run.uid, run.status),
        *(run.config_hash, run.git_hash, run.input_hash),
    )


def _recency(earlier: Earlier) -> tuple[float, str]:
    return earlier[:2]


def _first(known: tuple[Earlier, RunDocument]) -> tuple[float, str]:
    return known[0][:2]
