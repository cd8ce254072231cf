"""Find the config that a run was given as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from consist.artifacts.verify import gone
from consist.errors import BundleMissing, NoSingleMatch, WrongType, a_kind, hint
from consist.models.artifact import Artifact
from consist.models.run import RunArtifactLink
from consist.query.ask import columns, every, fetch_all
from consist.query.runs import as_json, get_run, meant_run_id

if TYPE_CHECKING:
    from consist.workspace import Workspace


def get_config_bundle(
    ws: Workspace,
    run_id: str,
    *,
    adapter: str | None = None,
    role: str = "bundle",
    allow_missing: bool = False,
) -> Path | None:
    """Return where the config lies that a run used or wrote as a file.

    Parameters
    ----------
    run_id : str
        The run; the plain id of several attempts means the latest completed one.
    adapter : str, optional
        Only of this config adapter: one that the run's metadata name as ``config_adapter``, or
        the artifact's as ``config_adapter`` or ``adapter``.
    role : str, default "bundle"
        What the artifact's metadata have as ``config_role``.
    allow_missing : bool, default False
        Return ``None`` if no artifact of the run is such a config.

    Returns
    -------
    Path or None
        Of several, the first by key, then the oldest.

    Raises
    ------
    FileNotFoundError
        If the run has no such config; or, whatever ``allow_missing`` says, if it has one and the
        file is gone.
    ValueError
        If the run is unknown.
    """
    for name, value in (("run_id", run_id), ("role", role), ("adapter", adapter)):
        if not isinstance(value, str) and not (name == "adapter" and value is None):
            raise WrongType(f"{name}={value!r} is {a_kind(value)}, not text")
    found = _matching(ws, run_id, adapter, role, allow_missing=allow_missing)
    if not found:
        if allow_missing:
            return None
        problem = BundleMissing(run_id, role, adapter)
        raise hint(problem, f"log it with config_role={role!r}, or pass allow_missing=True")
    path = found[0].path
    if not path.exists():
        raise gone(found[0].to_record(), str(path))
    return path


def _matching(
    ws: Workspace, run_id: str, adapter: str | None, role: str, *, allow_missing: bool
) -> list[Artifact]:
    """Return the artifacts of a run that have a role, by key and age."""
    if not ws.store.has_database:
        return []
    run = get_run(ws, meant_run_id(ws, run_id))
    if run is None:
        if allow_missing:
            return []
        raise hint(NoSingleMatch(0, f"id={run_id!r}"), "`consist runs` lists what there is")
    link, artifact = columns(RunArtifactLink), columns(Artifact)
    linked = select(link.artifact_id).where(link.run_id == run.id)
    rows = fetch_all(
        ws,
        Artifact,
        every(Artifact)
        .where(
            artifact.id.in_(linked),
            func.json_extract(artifact.meta, "/config_role") == as_json(role),
        )
        .order_by(artifact.key, artifact.created_at, artifact.id),
    )
    of_run = adapter is None or run.meta.get("config_adapter") == adapter
    return [
        each
        for each in rows
        if (of_run or adapter in {each.meta.get("config_adapter"), each.meta.get("adapter")})
    ]
