"""The command that lists artifacts, and what others need of one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consist.cli import complete
from consist.cli.options import MOST_ROWS, AsJson, DbPath, Mounts, RunDir, TrustDb, opened
from consist.cli.render import Column, clean, note, print_json, print_table
from consist.cli.runs import known_run, unknown
from consist.cli.session import listed, numbered
from consist.errors import UsageError, hint

if TYPE_CHECKING:
    from consist.core.visitor import Visitor
    from consist.models.artifact import Artifact

_MOST_FOUND = 100
_OF_A_RUN = (
    Column("Ref"),
    Column("Direction"),
    Column("Key", head=True),
    Column("Artifact ID", apart=True),
    Column("URI", apart=True),
    Column("Access"),
    Column("Driver"),
    Column("Hash", least=12),
)
_FOUND = (
    Column("Key", head=True),
    Column("Run", apart=True),
    Column("Driver"),
    Column("Facet Namespace"),
    Column("Facet Schema Version"),
    Column("URI", apart=True),
)


def artifacts(
    run_id: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN_ID",
            help="The run; without '~<number>', its latest completed attempt.",
            show_default=False,
            autocompletion=complete.run_ids,
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NS.]KEY=VALUE",
            help="Only artifacts whose facet says so, also with >= and <=; given several times,"
            " with all of them.",
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Namespace of the facets that --param looks into."),
    ] = None,
    key_prefix: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Only artifacts whose key begins so.",
            autocompletion=complete.artifact_keys,
        ),
    ] = None,
    family_prefix: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only artifacts whose facet artifact_family begins so."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=MOST_ROWS,
            help=f"Most artifacts to list; without RUN_ID {_MOST_FOUND} by default.",
        ),
    ] = None,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    trust_db: TrustDb = False,
    db_path: DbPath = None,
) -> None:
    """List the artifacts of a run, or the newest of all runs.

    With RUN_ID, one row for each input and output, and whether its file is there: in its folder
    (primary), in one that holds copies (recovery), nowhere (missing), or in a folder that only the
    database names, which is not looked into without --trust-db (untrusted). Without RUN_ID, the
    artifacts whose facets and keys match, the newest first.

    Examples:

    \b
      consist artifacts baseline_2030
      consist artifacts --param beam.iteration=2 --param "share>=0.4"
    """
    asked = {"--param": param, "--namespace": namespace, "--family-prefix": family_prefix}
    with opened(db_path, run_dir, mount, trust_db) as tracker:
        if run_id is None:
            _print_found(
                tracker,
                as_json,
                limit or _MOST_FOUND,
                (param, namespace, key_prefix, family_prefix),
            )
            return
        if wrong := [name for name, value in asked.items() if value]:
            problem = UsageError(f"{wrong[0]} looks among all runs, not in {run_id!r}")
            raise hint(problem, "leave out RUN_ID")
        _print_of_run(tracker, run_id, key_prefix or "", limit, as_json)


_Asked = tuple[list[str] | None, str | None, str | None, str | None]


def _print_found(tracker: Visitor, as_json: bool, limit: int, asked: _Asked) -> None:
    params, namespace, key_prefix, family_prefix = asked
    found = tracker.find_artifacts_by_params(
        params=params or [],
        namespace=namespace,
        key_prefix=key_prefix,
        artifact_family_prefix=family_prefix,
        limit=limit + 1,
    )
    shown = found[:limit]
    listed("artifacts", (artifact.id for artifact in shown))
    if as_json:
        print_json([brief(artifact) | _facet(artifact) for artifact in shown])
    elif not found:
        note("No artifacts match." if any(asked) else "No artifacts yet.")
    else:
        rows = ((a.key, a.run_id, a.driver, *_facet(a).values(), a.container_uri) for a in shown)
        print_table(_FOUND, numbered("@", rows))
        if len(found) > limit:
            note(f"… and older ones; --limit shows more than {limit}")


def _facet(artifact: Artifact) -> dict[str, Any]:
    meta = artifact.meta
    return {
        "facet_namespace": meta.get("artifact_facet_namespace"),
        "facet_schema_version": meta.get("artifact_facet_schema_version"),
    }


def _print_of_run(
    tracker: Visitor, run_id: str, prefix: str, limit: int | None, as_json: bool
) -> None:
    from consist.query.runs import meant_run_id

    known_run(tracker, run_id)
    meant = meant_run_id(tracker, run_id)
    sides = tracker.get_artifacts_for_run(meant)
    both = chain(
        (("input", artifact) for artifact in sides.inputs.values()),
        (("output", artifact) for artifact in sides.outputs.values()),
    )
    linked = [(side, artifact) for side, artifact in both if artifact.key.startswith(prefix)]
    shown = [(side, a, tracker.seek(a).access) for side, a in linked[:limit]]
    listed("artifacts", (artifact.id for _, artifact, _ in shown))
    if as_json:
        print_json([{"direction": side, **brief(a), "access": access} for side, a, access in shown])
        return
    if meant != run_id:
        note(f"Run {clean(meant)}")
    if not shown:
        note("No artifacts match." if prefix else "The run has no artifacts.")
        return
    print_table(
        _OF_A_RUN,
        (
            (f"@{number}", side, a.key, a.id, a.container_uri, access, a.driver, a.hash)
            for number, (side, a, access) in enumerate(shown, 1)
        ),
    )
    if len(linked) > len(shown):
        note(f"… and {len(linked) - len(shown)} more; --limit shows them")
    note_untrusted(sum(access == "untrusted" for *_, access in shown))


def note_untrusted(count: int) -> None:
    """Say how many artifacts were not looked for, and what would."""
    if count:
        files = "1 file lies" if count == 1 else f"{count} files lie"
        note(f"{files} where only the database says; --trust-db looks there")


def brief(artifact: Artifact) -> dict[str, Any]:
    """Return what JSON tells of an artifact everywhere."""
    return {
        "key": artifact.key,
        "id": str(artifact.id),
        "run_id": artifact.run_id,
        "driver": artifact.driver,
        "uri": artifact.container_uri,
        "hash": artifact.hash,
        "created_at": artifact.created_at,
    }


def known_artifact(tracker: Visitor, key_or_id: str) -> Artifact:
    """Return an artifact by its id, or the latest one of a key.

    Raises
    ------
    ConsistError
        If there is none; the hint names some with a similar key.
    """
    artifact = tracker.get_artifact(key_or_id)
    if artifact is None:
        from consist.cli.questions import similar_keys

        similar = similar_keys(tracker, key_or_id)
        unknown("artifact", key_or_id, similar, "consist artifacts lists what there is")
    return artifact


def artifact_of_hash(tracker: Visitor, prefix: str) -> Artifact:
    """Return the newest artifact whose digest begins so.

    Raises
    ------
    ConsistError
        If there is none, or if several contents begin so.
    """
    from consist.cli.questions import by_hash

    found = by_hash(tracker, prefix)
    if not found:
        unknown("artifact with hash", prefix, [], "consist artifacts RUN_ID shows hashes")
    contents = sorted({str(artifact.hash) for artifact in found})
    if len(contents) > 1:
        problem = UsageError(f"several contents have a hash that begins with {prefix!r}")
        raise hint(problem, f"give more of it: {_few(contents)}")
    return found[0]


def _few(names: Iterable[str]) -> str:
    return " or ".join(list(names)[:3])
