"""What the database and the snapshots know of many runs at once, in a few statements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import String, select, type_coerce

from consist.models.artifact import Artifact
from consist.models.record import NULL, ArtifactRecord, Extra, Raw, RunDocument, RunRecord, replace
from consist.models.run import PackageSet, Run, RunArtifactLink, RunExtra
from consist.query.ask import columns, fetch
from consist.query.facet_values import leaves
from consist.store.snapshots import first_snapshot

if TYPE_CHECKING:
    from consist.workspace import Workspace

_extra = msgspec.json.Decoder(Extra)
_any = msgspec.json.Decoder()


def document_of(ws: Workspace, run_id: str) -> RunDocument | None:
    """Return what is known of a run but its config; ``None`` if there is no such run."""
    found = _documents(ws, [run_id])
    return found[0] if found else None


def steps_of(ws: Workspace, header: str) -> list[RunDocument]:
    """Return what is known of the runs below a scenario, in the order in which they began."""
    run = columns(Run)
    below = select(run.id.label("id")).where(run.parent_run_id == header).cte(recursive=True)
    deeper = select(run.id).join(below, run.parent_run_id == below.c.id)
    return _documents(ws, select(below.union(deeper).c.id))


def _documents(ws: Workspace, which: Any) -> list[RunDocument]:
    run, extra = columns(Run), columns(RunExtra)
    names = RunRecord.__struct_fields__
    rows = fetch(
        ws,
        select(*(_plain(run[name]) for name in names), _plain(extra.extra).label("extra"))
        .outerjoin_from(Run, RunExtra, extra.run_id == run.id)
        .where(run.id.in_(which))
        .order_by(run.started_at, run.created_at, run.id),
    )
    linked = _artifacts(ws, which)
    return [_document(dict(zip(names, row, strict=False)), row[-1], linked) for row in rows]


def _document(
    row: dict[str, Any], extra: str | None, linked: dict[tuple[str, str], list[ArtifactRecord]]
) -> RunDocument:
    row["tags"] = tuple(_any.decode(row["tags"] or "[]"))
    row["meta"] = _any.decode(row["meta"] or "{}")
    return RunDocument(
        run=RunRecord(**row),
        inputs=tuple(linked.get((row["id"], "input"), ())),
        outputs=tuple(linked.get((row["id"], "output"), ())),
        extra=_extra.decode(extra) if extra else Extra(),
    )


def _artifacts(ws: Workspace, which: Any) -> dict[tuple[str, str], list[ArtifactRecord]]:
    """Return the artifacts of runs by run and direction, in the order in which they were made."""
    link, artifact = columns(RunArtifactLink), columns(Artifact)
    names = ArtifactRecord.__struct_fields__
    rows = fetch(
        ws,
        select(link.run_id, link.direction, *(_plain(artifact[name]) for name in names))
        .join_from(RunArtifactLink, Artifact, artifact.id == link.artifact_id)
        .where(link.run_id.in_(which))
        .order_by(artifact.created_at, artifact.id),
    )
    found: dict[tuple[str, str], list[ArtifactRecord]] = {}
    for run_id, direction, *values in rows:
        row = dict(zip(names, values, strict=True))
        row["meta"] = _any.decode(row["meta"] or "{}")
        found.setdefault((run_id, direction), []).append(ArtifactRecord(**row))
    return found


def _plain(column: Any) -> Any:
    """Return a column whose texts are not made into other objects; most of them nobody looks at."""
    if column.name in {"started_at", "ended_at", "created_at", "updated_at"}:
        return column
    if column.type.python_type in {int, bool}:
        return column
    return type_coerce(column, String)


# ---------------------------------------------------------------- configs


class Configs:
    """Configs of runs, each read once; their facets, all at once where a snapshot is gone.

    Parameters
    ----------
    ws : Workspace
        The tracker.
    run_ids : iterable of str
        The runs that may be asked for.
    """

    def __init__(self, ws: Workspace, run_ids: Iterable[str]) -> None:
        self._ws, self._run_ids = ws, list(run_ids)
        self._read: dict[str, Raw] = {}
        self._facets: dict[str, dict[str, Any]] | None = None

    def complete(self, document: RunDocument) -> RunDocument:
        """Return a document with the config of its snapshot; null where there is none."""
        run = document.run
        if run.id not in self._read:
            folders = (run.meta.get("_physical_run_dir"), str(self._ws.run_dir))
            found = first_snapshot(dict.fromkeys(folders), run.id, run.uid)
            self._read[run.id] = NULL if found is None else found.config
        return replace(document, config=self._read[run.id])

    @property
    def gone(self) -> int:
        """How many of the configs that were asked for have no snapshot."""
        return sum(bytes(config) == bytes(NULL) for config in self._read.values())

    def facet_of(self, run_id: str) -> dict[str, Any] | None:
        """Return the facet of a run, flat; ``None`` if it has none."""
        if self._facets is None:
            self._facets = facets_of(self._ws, self._run_ids)
        return self._facets.get(run_id)


def facets_of(ws: Workspace, run_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the facets of runs, flat, by run: what is left of a config without its snapshot."""
    found: dict[str, dict[str, Any]] = {}
    for leaf in leaves(ws, list(run_ids)):
        found.setdefault(leaf.run_id, {})[leaf.key] = leaf.value
    return found


def packages_of(ws: Workspace, digests: Iterable[str | None]) -> dict[str | None, dict[str, str]]:
    """Return the packages of environments, by the digest that runs name."""
    kept = columns(PackageSet)
    rows = fetch(ws, select(kept.id, kept.packages).where(kept.id.in_(list(digests))))
    return {digest: packages for digest, packages in rows}  # noqa: C416 - rows are no pairs
