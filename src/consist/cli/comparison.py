"""The command that compares two runs or two scenarios."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from consist.cli.options import AsJson, DbPath, Mounts, RunDir, TrustDb, opened
from consist.cli.render import (
    Column,
    note,
    print_heading,
    print_json,
    print_panel,
    print_table,
    print_text,
)

_DIFFERENCES = (
    Column("Section"),
    Column("Name", apart=True, head=True),
    Column("What"),
    Column("Left", least=10),
    Column("Right", least=10),
    Column("Detail", apart=True),
)
_STEPS = (
    Column("Step", head=True, least=16),
    Column("What"),
    Column("Causes"),
    Column("Left", apart=True),
    Column("Right", apart=True),
)
_MOST_LISTED = 40


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run, or the name of a scenario.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one of the same kind.")],
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Only outputs of this key; may be given several times."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[KEY=]COLUMN[,COLUMN]",
            help="Columns that say which rows are the same one, of all tables or of one output;"
            " by default such columns are looked for.",
        ),
    ] = None,
    rtol: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, help="Share of the greater number that numbers may be apart."
        ),
    ] = 0.0,
    atol: Annotated[
        float, typer.Option(metavar="NUMBER", min=0, help="How far numbers may be apart.")
    ] = 0.0,
    no_data: Annotated[
        bool, typer.Option("--no-data", help="Compare outputs by their recorded digests alone.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if anything that counts differs.")
    ] = False,
    as_json: AsJson = False,
    run_dir: RunDir = None,
    mount: Mounts = None,
    trust_db: TrustDb = False,
    db_path: DbPath = None,
) -> None:
    """Compare two runs or two scenarios, down to the rows of their outputs.

    Config, code, inputs and environment are compared by what was recorded. Outputs are read where
    their recorded digests differ; places that only the database names are not looked at without
    --trust-db. A plain id means the latest completed attempt, id~1 the first.

    Examples:

    \b
      consist compare baseline toll
      consist compare baseline toll --key trips --on trips=trip_id --rtol 1e-9
    """
    with opened(db_path, run_dir, mount, trust_db) as tracker:
        found = tracker.compare(
            a, b, data=not no_data, keys=key or None, on=_key_columns(on), rtol=rtol, atol=atol
        )
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found)
    if exit_code and not found.same:
        raise typer.Exit(1)


def _key_columns(given: Iterable[str] | None) -> list[str] | dict[str, list[str]] | None:
    """Return key columns for all tables, or by output.

    Raises
    ------
    BadParameter
        For both at once, and where no column is named.
    """
    of_all: list[str] = []
    of_each: dict[str, list[str]] = {}
    for text in given or ():
        output, equals, columns = text.rpartition("=")
        named = [name.strip() for name in columns.split(",")]
        if not all(named) or (equals and not output):
            raise typer.BadParameter(f"{text!r} is not [KEY=]COLUMN[,COLUMN]", param_hint="--on")
        if equals:
            of_each.setdefault(output, []).extend(named)
        else:
            of_all += named
    if of_all and of_each:
        problem = "name key columns either for all tables or by output"
        raise typer.BadParameter(problem, param_hint="--on")
    return of_each or of_all or None


# ---------------------------------------------------------------- for people


def _print(found: Any) -> None:
    from consist.comparison.results import ScenarioComparison

    print_panel("Comparison", _facts(found))
    if isinstance(found, ScenarioComparison):
        _print_steps(found)
    listed = [d for name, of in found.differences.items() if name != "steps" for d in of]
    if listed:
        print_heading("What differs")
        print_table(_DIFFERENCES, (_row(d) for d in listed[:_MOST_LISTED]))
        _note_more(len(listed))
    rows = [line for output in found.outputs for line in _about(output)]
    if rows:
        print_heading("How outputs were compared")
        print_text("\n".join(rows))
    for text in found.notes:
        note(f"Note: {text}")


def _facts(found: Any) -> dict[str, object]:
    return {
        "Left": f"{found.left.id} ({found.left.status})",
        "Right": f"{found.right.id} ({found.right.status})",
        "Verdict": "the same" if found.same else found.headline,
    }


def _print_steps(found: Any) -> None:
    differing = [step for step in found.steps if not step.same]
    if not differing:
        return
    print_heading(f"Steps that differ ({len(differing):,} of {len(found.steps):,})")
    print_table(
        _STEPS,
        (
            (step.label, step.verdict, ", ".join(step.causes), step.left, step.right)
            for step in differing[:_MOST_LISTED]
        ),
    )
    _note_more(len(differing))
    part = found.parting
    if part.differences:
        print_heading(f"Where they part: {part.label}")
        print_table(_DIFFERENCES, (_row(d) for d in part.differences[:_MOST_LISTED]))
        _note_more(len(part.differences))


def _row(found: Any) -> tuple[object, ...]:
    from consist.comparison.words import value

    sides = ("" if side is None else value(side) for side in (found.left, found.right))
    return found.section, found.name, found.kind, *sides, found.detail


def _about(output: Any) -> list[str]:
    data, key = output.data, output.key
    lines = [f"{key}: {output.detail}"] if output.detail and not output.same else []
    if data is None:
        return lines
    if getattr(data, "how", "") == "keyed":
        found = ", found by its name" if data.key_found else ""
        lines.append(f"{key}: rows matched by {', '.join(data.key)}{found}")
    return lines + [f"{key}: {text}" for text in data.notes]


def _note_more(count: int) -> None:
    if count > _MOST_LISTED:
        note(f"… and {count - _MOST_LISTED:,} more; --json prints all")
