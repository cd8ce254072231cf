"""How each command is called where all of them are: on terminals, and with ``--json``.

A command without an entry fails both tests, so that a new one gets one.
"""

from dataclasses import dataclass

from typer.main import get_command

from consist.cli import app
from consist.cli.reference import every_command

HOSTILE = "a\x1b]0;owned\x07b\nc\u202ed\u2066e\x9b31m 漢字"


@dataclass(frozen=True)
class Call:
    """One way to call a command in the folder of the project.

    Attributes
    ----------
    words : tuple of str
        What is typed.
    code : int
        How it ends.
    changes : bool
        Whether it changes the folder, which is as before then for the next one.
    """

    words: tuple[str, ...]
    code: int = 0
    changes: bool = False


CALLS = {
    "consist runs": [Call(("runs",)), Call(("runs", "--status", "failed"))],
    "consist show": [Call(("show", "report")), Call(("show", "hostile"))],
    "consist explain": [Call(("explain", "report"))],
    "consist search": [Call(("search", "odd"))],
    "consist summary": [Call(("summary",))],
    "consist scenarios": [Call(("scenarios",))],
    "consist scenario": [Call(("scenario", "base"))],
    "consist artifacts": [Call(("artifacts",)), Call(("artifacts", "report"))],
    "consist lineage": [Call(("lineage", "scaled", "--run-ids"))],
    "consist preview": [
        Call(("preview", "odd")),
        Call(("preview", "wide")),
        Call(("preview", "facts")),
    ],
    "consist validate": [
        Call(("validate",), code=1),
        Call(("validate", "--fix"), code=1, changes=True),
    ],
    "consist run-point": [Call(("run-point", "points.json", "--list"))],
    "consist shell": [Call(("shell",))],
    "consist compare": [
        Call(("compare", "base~1", "toll")),
        Call(("compare", "report", "hostile", "--exit-code"), code=1),
    ],
    "consist annotate": [
        Call(("annotate", "report", "--note", "odd", "--tag", HOSTILE), changes=True),
    ],
    "consist invalidate": [
        Call(("invalidate", "base", "--reason", HOSTILE, "--downstream"), changes=True),
        Call(("invalidate", "report", "--reason", "odd", "--dry-run")),
    ],
    "consist gc": [
        Call(("gc", "--scenario", "toll", "--dry-run")),
        Call(("gc", "--keep-size", "0", "--yes"), changes=True),
    ],
    "consist verify": [
        Call(("verify",), code=1),
        Call(("verify", "--fix", "--quick"), code=1, changes=True),
    ],
    "consist schema capture-file": [
        Call(("schema", "capture-file", "--artifact-key", "odd", "--trust-db"), changes=True)
    ],
    "consist schema export": [Call(("schema", "export", "--artifact-key", "scaled"))],
    "consist schema apply-fks": [Call(("schema", "apply-fks"))],
    "consist schema drift": [Call(("schema", "drift"))],
    "consist views create": [
        Call(("views", "create", "v_scaled", "--schema-id", "b1d7ebb1"), changes=True),
    ],
    "consist db inspect": [Call(("db", "inspect"))],
    "consist db doctor": [Call(("db", "doctor"))],
    "consist db snapshot": [Call(("db", "snapshot", "--out", "copy.duckdb"), changes=True)],
    "consist db rebuild": [
        Call(("db", "rebuild", "--dry-run", "--json-dir", "runs")),
        Call(("db", "rebuild", "--json-dir", "runs", "--db-path", "new.duckdb"), changes=True),
    ],
    "consist db compact": [
        Call(("db", "compact", "--dry-run")),
        Call(("db", "compact"), changes=True),
    ],
    "consist db export": [Call(("db", "export", "report", "--out", "s.duckdb"), changes=True)],
    "consist db merge": [
        Call(("db", "merge", "shard.duckdb", "--dry-run")),
        Call(("db", "merge", "shard.duckdb"), changes=True),
    ],
    "consist db purge": [
        Call(("db", "purge", "report", "--delete-files", "--dry-run")),
        Call(("db", "purge", "report", "--delete-files", "--yes"), changes=True),
    ],
    "consist db fix-status": [
        Call(("db", "fix-status", "report", "failed", "--reason", "odd"), changes=True)
    ],
}

COMMANDS = dict(every_command(get_command(app)))
SINGLE = [name for name, command in COMMANDS.items() if not hasattr(command, "commands")]


def calls() -> list[Call]:
    """Return a call of every command that the app has."""
    return [call for name in SINGLE for call in CALLS[name]]
