"""The command that looks which files are gone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from consist.cli.artifacts import note_untrusted
from consist.cli.changing import changing
from consist.cli.options import MOST_ROWS, AsJson, DbPath, Mounts, RunDir, TrustDb, opened
from consist.cli.render import Column, note, print_json, print_table
from consist.cli.session import listed, numbered

if TYPE_CHECKING:
    from consist.core.visitor import Visitor
    from consist.models.artifact import Artifact
    from consist.query.presence import Absence

_NEGATIVE = 1
_COLUMNS = (
    Column("Key", head=True),
    Column("URI", apart=True),
    Column("Run ID", apart=True),
)


def validate(
    limit: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=MOST_ROWS, help="Most missing artifacts to list."),
    ] = 50,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Mark what is missing, and take back marks that do not hold."),
    ] = False,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    trust_db: TrustDb = False,
    db_path: DbPath = None,
) -> None:
    """List artifacts whose file is gone.

    Whether something is there counts, not what it holds; what consist gc freed is not missing. The
    exit code is 1 if anything is missing. Places that only the database names are not looked at
    without --trust-db or --fix, and what lies there is counted apart.

    With --fix, missing artifacts have missing_on_disk in their metadata from then on, until the
    file is there again when somebody calls this once more.

    Examples:

    \b
      consist validate
      consist validate --mount inputs=/data/inputs --trust-db --json
      consist validate --fix
    """
    from consist.query.presence import absent

    marked = unmarked = 0
    if fix:
        with changing(db_path, run_dir, mount) as changer:
            run_dir = changer.run_dir
            mended = changer.validate(fix=True)
            marked, unmarked = mended.marked, mended.unmarked
    with opened(db_path, run_dir, mount, trust_db or fix) as tracker:
        found = absent(tracker, partial(_access, tracker), limit)
    listed("artifacts", (artifact.id for artifact in found.newest))
    if as_json:
        print_json(
            {
                "checked": found.checked,
                "missing": found.missing,
                "untrusted": found.untrusted,
                "marked": marked,
                "unmarked": unmarked,
                "artifacts": [_facts(artifact) for artifact in found.newest],
            }
        )
    else:
        _print(found)
        if fix:
            note(f"{marked} marked as missing, {unmarked} marks taken back")
    if found.missing:
        raise typer.Exit(_NEGATIVE)


def _access(tracker: Visitor, artifact: Artifact) -> str:
    access = tracker.seek(artifact).access
    return "freed" if access == "missing" and artifact.meta.get("freed") else access


def _facts(artifact: Artifact) -> dict[str, object]:
    return {
        "key": artifact.key,
        "id": str(artifact.id),
        "uri": artifact.container_uri,
        "run_id": artifact.run_id,
    }


def _print(found: Absence) -> None:
    if found.missing:
        rows = ((a.key, a.container_uri, a.run_id) for a in found.newest)
        print_table(_COLUMNS, numbered("@", rows))
        note(f"{found.missing:,} of {found.checked:,} artifacts are missing")
        if found.missing > len(found.newest):
            note(f"… these are the newest; --limit shows more than {len(found.newest)}")
    else:
        note(f"OK: nothing is missing; {found.checked:,} artifacts checked")
    note_untrusted(found.untrusted)
