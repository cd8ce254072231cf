"""What is said of artifacts after they were recorded, as changes of the runs that have them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from consist.models.record import Change, ChangeEvent, new_uuid

if TYPE_CHECKING:
    from consist.workspace import Workspace

_PIECE = 5_000


def mark(ws: Workspace, news: Mapping[str, Mapping[str, Any]], by: str) -> None:
    """Record metadata of artifacts, each with the run that made it, or else with one that used it.

    Parameters
    ----------
    news : mapping
        Metadata by artifact id.
    by : str
        Who says so.

    Raises
    ------
    RuntimeError
        If nothing can be recorded here.
    """
    ids = list(news)
    for start in range(0, len(ids), _PIECE):
        piece = ids[start : start + _PIECE]
        by_run: dict[tuple[str, str, str | None], dict[str, dict[str, Any]]] = defaultdict(dict)
        for artifact_id, run_id, uid, run_dir in _owners(ws, piece):
            by_run[run_id, uid, run_dir][artifact_id] = dict(news[artifact_id])
        at = datetime.now(UTC)
        ws.store.change(
            ChangeEvent(
                uid=uid,
                run_id=run_id,
                change=Change(id=new_uuid(), at=at, by=by, news=said),
                run_dir=run_dir,
            )
            for (run_id, uid, run_dir), said in by_run.items()
        )


def _owners(ws: Workspace, ids: list[str]) -> list[tuple[str, str, str, str | None]]:
    with ws.store.ask() as connection:
        return connection.execute(
            "SELECT a.id, r.id, r.uid, json_extract_string(r.meta, '$._physical_run_dir')"
            " FROM (SELECT id, coalesce(run_id, (SELECT min(l.run_id) FROM"
            "  main.run_artifact_link l WHERE l.artifact_id = artifact.id)) AS owner"
            "  FROM main.artifact WHERE id IN (SELECT unnest(?))) a"
            " JOIN main.run r ON r.id = a.owner",
            [ids],
        ).fetchall()
