"""Artifacts by the values of their facets, by their content, and by what they are a part of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select

from consist.artifacts.predicates import Predicate, parse_predicates
from consist.models.artifact import Artifact
from consist.models.facet import ArtifactKV
from consist.models.run import Run
from consist.query import arguments as given
from consist.query.ask import columns, every, fetch_all, newest
from consist.query.conditions import Condition, begins_with
from consist.query.leaves import Reading, holds, with_leaf

if TYPE_CHECKING:
    from consist.workspace import Workspace

# ---------------------------------------------------------------- facets


def find_artifacts_by_params(
    ws: Workspace,
    *,
    params: Iterable[str] = (),
    namespace: str | None = None,
    key_prefix: str | None = None,
    artifact_family_prefix: str | None = None,
    limit: int = 100,
) -> list[Artifact]:
    r"""Return the artifacts whose facet meets all predicates, newest first.

    The facet is the one that was given to the artifact last, and has to be indexed
    (``facet_index=True``, or made by a registered parser).

    Parameters
    ----------
    params : iterable of str
        Predicates ``[namespace.]key=value``, ``key>=value``, ``key<=value``; how a value is read is
        told by :func:`~consist.artifacts.predicates.parse_predicate`. ``a.b=1`` is met by a key
        ``a.b`` and, in namespace ``a``, by a key ``b``.
    namespace : str, optional
        Namespace of the facet, the model of the run that gave it; keys are then no longer read as
        beginning with one.
    key_prefix : str, optional
        Beginning of the artifact's key.
    artifact_family_prefix : str, optional
        Beginning of the facet's value ``artifact_family``, by convention the name of a group of
        artifacts that are shaped alike.
    limit : int, default 100
        Most artifacts to return.

    Returns
    -------
    list of Artifact
        Empty without a database.

    Raises
    ------
    ValueError
        Naming the predicate, if one cannot be read.

    Examples
    --------
    >>> tracker.find_artifacts_by_params(params=["mode=car", "beam.year>=2030"])  # doctest: +SKIP
    """
    limit = given.limit_of(limit)
    predicates = parse_predicates(params)
    namespace = given.text("namespace", namespace)
    family = given.text("artifact_family_prefix", artifact_family_prefix)
    kv, artifact = columns(ArtifactKV), columns(Artifact)
    leaves = [[holds(kv, predicate, _readings(predicate, namespace))] for predicate in predicates]
    if family is not None:
        leaves.append([kv.key_path == "artifact_family", *begins_with(kv.value_str, family)])
    if namespace is not None and not leaves:
        leaves.append([])
    own = [] if namespace is None else [kv.namespace == namespace]
    conditions = [
        *begins_with(artifact.key, given.text("key_prefix", key_prefix)),
        *(with_leaf([*own, *leaf]) for leaf in leaves),
    ]
    if not ws.store.has_database:
        return []
    return fetch_all(ws, Artifact, newest(Artifact, conditions, limit))


def _readings(predicate: Predicate, namespace: str | None) -> Iterable[Reading]:
    return predicate.readings() if namespace is None else [(None, predicate.key)]


# ---------------------------------------------------------------- content


def find_artifacts_with_same_content(
    ws: Workspace, artifact: Artifact | str | UUID
) -> list[Artifact]:
    """Return every recorded artifact of the same bytes and format, newest first.

    Parameters
    ----------
    artifact : Artifact, UUID or str
        An artifact or its id; it is among the answer.

    Returns
    -------
    list of Artifact
        Empty without a database, for an unknown artifact, and where no digest was recorded.
    """
    identity = given.artifact_id(artifact)
    if not ws.store.has_database:
        return []
    return fetch_all(ws, Artifact, newest(Artifact, [_same_content(identity)]))


def _same_content(identity: str) -> Condition:
    table = columns(Artifact)
    content = select(table.content_id).where(table.id == identity).limit(1).scalar_subquery()
    return table.content_id == content


def find_runs_producing_same_content(ws: Workspace, artifact: Artifact | str | UUID) -> list[Run]:
    """Return the runs that executed and wrote these same bytes, newest first.

    A cache hit gives bytes back and did not produce them.

    Parameters
    ----------
    artifact : Artifact, UUID or str
        An artifact or its id.
    """
    identity = given.artifact_id(artifact)
    if not ws.store.has_database:
        return []
    makers = select(columns(Artifact).run_id).where(_same_content(identity))
    return fetch_all(ws, Run, newest(Run, [columns(Run).id.in_(makers)]))


# ---------------------------------------------------------------- parts


def get_child_artifacts(ws: Workspace, artifact: Artifact | str | UUID) -> list[Artifact]:
    """Return the artifacts that were recorded as parts of one, by key; empty without any.

    Parameters
    ----------
    artifact : Artifact, UUID or str
        A container, such as an HDF5 file, or its id.
    """
    identity = given.artifact_id(artifact)
    if not ws.store.has_database:
        return []
    table = columns(Artifact)
    parts = every(Artifact).where(table.parent_artifact_id == identity)
    return fetch_all(ws, Artifact, parts.order_by(table.key, table.created_at, table.id))


def get_parent_artifact(ws: Workspace, artifact: Artifact | str | UUID) -> Artifact | None:
    """Return the artifact that one was recorded as a part of, ``None`` if there is none.

    Parameters
    ----------
    artifact : Artifact, UUID or str
        A part of a container, or its id.
    """
    identity = given.artifact_id(artifact)
    if not ws.store.has_database:
        return None
    table = columns(Artifact)
    whole = select(table.parent_artifact_id).where(table.id == identity).limit(1).scalar_subquery()
    found = fetch_all(ws, Artifact, every(Artifact).where(table.id == whole).limit(1))
    return found[0] if found else None
