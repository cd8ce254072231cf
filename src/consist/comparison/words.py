"""Comparisons in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from consist.comparison.differences import (
    ArrayComparison,
    ColumnChange,
    Data,
    Difference,
    DocumentComparison,
    OutputComparison,
    StepComparison,
    TableComparison,
    ValueChange,
    VariableChange,
)

WIDTH = 80
_MOST_LISTED = 12
_LONGEST_VALUE = 30


def title(found: Any) -> str:
    """Return what was compared with what."""
    kind = "Run" if hasattr(found, "code") else "Scenario"
    return f"{kind} {found.left.id} against {found.right.id}"


# ---------------------------------------------------------------- runs


def headline_of_runs(found: Any) -> str:
    """Return the essential of a comparison of two runs."""
    parts = [
        _verdict("code", "part of the code", "parts of the code", len(found.code)),
        _verdict("config", "config value", "config values", len(found.config)),
    ]
    others = [change for change in found.inputs if change.kind != "reran"]
    parts.append(_verdict("inputs", "input", "inputs", len(others)))
    if found.left.status != found.right.status:
        parts.append(f"{found.left.status} against {found.right.status}")
    parts.append(_outputs_in_short(found.outputs, "outputs"))
    return ", ".join(parts)


def _verdict(what: str, one: str, several: str, count: int) -> str:
    if not count:
        return f"same {what}"
    return f"1 {one} differs" if count == 1 else f"{count:,} {several} differ"


def lines_of_runs(found: Any) -> Iterator[str]:
    """Yield a comparison of two runs line by line."""
    yield from _head(found)
    for name in ("config", "code", "inputs"):
        yield from _section(name, getattr(found, name))
    yield from _outputs(found.outputs)
    yield from _section("environment", found.environment)
    yield from _section("facts", found.facts)
    yield from _notes(found.notes)


# ---------------------------------------------------------------- scenarios


def headline_of_scenarios(found: Any) -> str:
    """Return the essential of a comparison of two scenarios."""
    part = found.parting
    differing = [step for step in found.steps if not step.same]
    if part is None:
        steps = f"all {len(found.steps):,} steps are the same" if found.steps else "no steps"
    else:
        where = f"they part at {part.label} ({_why(part)})"
        steps = f"{where}, {len(differing):,} of {len(found.steps):,} steps differ"
    outputs = _outputs_in_short(found.outputs, "final outputs")
    if not found.config:
        return f"{steps}, {outputs}"
    header = _verdict("config", "config value", "config values", len(found.config))
    return f"{header}, {steps}, {outputs}"


def _why(step: StepComparison) -> str:
    if step.left is None:
        return "only on the right"
    if step.right is None:
        return "only on the left"
    return ", ".join(step.causes)


def lines_of_scenarios(found: Any) -> Iterator[str]:
    """Yield a comparison of two scenarios line by line."""
    yield from _head(found)
    yield from _section("config", found.config)
    part = found.parting
    if part is not None:
        yield ""
        yield f"They part at {part.label}: {_why(part)}"
        yield from _listed(map(of_difference, part.differences), len(part.differences))
    differing = [step for step in found.steps if not step.same]
    if differing:
        yield ""
        yield f"steps ({len(differing):,} of {len(found.steps):,} differ)"
        yield from _listed((f"{s.label}: {_why(s)}" for s in differing), len(differing))
    yield from _outputs(found.outputs)
    yield from _section("facts", found.facts)
    yield from _notes(found.notes)


# ---------------------------------------------------------------- outputs


def _outputs_in_short(outputs: Sequence[OutputComparison], what: str) -> str:
    differing = [output for output in outputs if not output.same]
    if not outputs:
        return f"no {what}"
    if not differing:
        return f"same {what}" if len(outputs) > 1 else f"same {what[:-1]}"
    first = "; ".join(f"{output.key}: {of_output(output)}" for output in differing[:2])
    more = f" and {len(differing) - 2} more" if len(differing) > 2 else ""
    if len(outputs) == 1:
        return f"the {what[:-1]} differs: {first}"
    verb = "differ" if len(differing) != 1 else "differs"
    return f"{len(differing)} of {len(outputs)} {what} {verb}: {first}{more}"


def of_output(output: OutputComparison) -> str:
    """Return in a few words what became of an output."""
    match output.verdict:
        case "added":
            return "only on the right"
        case "removed":
            return "only on the left"
        case "identical":
            return "identical"
        case "equal":
            return "equal data, other bytes"
        case _:
            pass
    if output.data is not None:
        return of_data(output.data)
    differs = "not known to be the same" if output.verdict == "unknown" else "other content"
    return f"{differs}; {output.reason}" if output.reason else differs


def of_data(data: Data) -> str:
    """Return in a few words what differs in the data of an output."""
    match data:
        case TableComparison():
            return _of_table(data)
        case DocumentComparison():
            return f"{_number(data.leaves, 'value')} differ{_s(data.leaves)}"
        case ArrayComparison():
            return f"{_number(data.variables, 'variable')} differ{_s(data.variables)}"


def _of_table(data: TableComparison) -> str:
    parts: list[str] = []
    if data.changed:
        columns = _number(data.columns, "column")
        shared = data.rows[0] - data.removed
        parts.append(f"{data.changed:,} of {shared:,} rows changed in {columns}")
    if data.added:
        parts.append(f"{data.added:,} rows added" if data.added != 1 else "1 row added")
    if data.removed:
        parts.append(f"{data.removed:,} rows removed" if data.removed != 1 else "1 row removed")
    for kind in ("added", "removed", "retyped", "moved"):
        several = [change for change in data.schema if change.kind == kind]
        if several:
            parts.append(f"{_number(several, 'column')} {kind}")
    return ", ".join(parts) or "same rows"


def parts_of_output(output: OutputComparison) -> Iterator[Difference]:
    """Yield what differs inside an output: columns, leaves, variables."""
    match output.data:
        case TableComparison() as data:
            for change in data.schema:
                yield _inside(output.key, change.name, change.kind, change.left, change.right, "")
            for change in data.columns:
                first = change.examples[0] if change.examples else None
                left, right = (None, None) if first is None else (first.left, first.right)
                told = _of_values(change)
                yield _inside(output.key, change.column, "changed", left, right, told)
        case DocumentComparison() as data:
            for leaf in data.leaves:
                yield _inside(output.key, leaf.name, leaf.kind, leaf.left, leaf.right, "")
        case ArrayComparison() as data:
            for change in data.variables:
                told = _of_variable(change)
                yield _inside(output.key, change.name, change.kind, change.left, change.right, told)
        case _:
            pass


def _inside(key: str, name: str, kind: str, left: Any, right: Any, detail: str) -> Difference:
    return Difference("outputs", f"{key}: {name}", kind, left, right, detail)


def _outputs(outputs: Sequence[OutputComparison]) -> Iterator[str]:
    told = [output for output in outputs if output.verdict != "identical"]
    if not told:
        return
    same = len(outputs) - len(told)
    yield ""
    yield f"outputs ({len(outputs)}{f', {same} identical' if same else ''})"
    for output in told:
        yield from _wrapped(f"{output.key}: {of_output(output)}", 2)
        if output.detail:
            yield from _wrapped(output.detail, 4)
        if output.data is not None:
            yield from _inside_output(output.data)


def _inside_output(data: Data) -> Iterator[str]:
    lines: list[str] = []
    if isinstance(data, TableComparison):
        if data.how == "keyed":
            found = " (found by its name; on= names another)" if data.key_found else ""
            lines.append(f"rows matched by {', '.join(data.key)}{found}")
        lines += [_of_column(change) for change in data.schema]
        lines += [_of_change(change) for change in data.columns]
        examples = ("added", data.added_examples), ("removed", data.removed_examples)
        lines += [f"{kind}: {'; '.join(map(_shown_key, rows))}" for kind, rows in examples if rows]
    elif isinstance(data, DocumentComparison):
        lines += [of_difference(leaf) for leaf in data.leaves]
    else:
        lines += [
            f"{change.name} {change.kind}: {_of_variable(change)}" for change in data.variables
        ]
    yield from _listed(lines, len(lines), 4)
    for note in data.notes:
        yield from _wrapped(f"note: {note}", 4)


def _of_column(change: ColumnChange) -> str:
    match change.kind:
        case "added":
            return f"column {change.name} added ({change.right})"
        case "removed":
            return f"column {change.name} removed ({change.left})"
        case "moved":
            return f"column {change.name} moved: place {change.left} → {change.right}"
        case _:
            return f"column {change.name}: {change.left} → {change.right}"


def _of_change(change: ValueChange) -> str:
    shown = "; ".join(
        f"{_shown_key(e.key)}: {value(e.left)} → {value(e.right)}" for e in change.examples
    )
    return f"{change.column}: {_of_values(change)}{f' ({shown})' if shown else ''}"


def _of_values(change: ValueChange) -> str:
    told = f"{change.rows:,} rows differ" if change.rows != 1 else "1 row differs"
    if change.max_abs is not None:
        unit = f" {change.unit}" if change.unit else ""
        told += f", by up to {change.max_abs:.6g}{unit}"
        if change.max_rel is not None:
            told += f" or {change.max_rel:.3%}"
    return told


def _of_variable(change: VariableChange) -> str:
    if change.kind != "changed":
        return f"{change.left or 'none'} → {change.right or 'none'}"
    told = f"{change.values:,} of {change.size:,} values differ"
    if change.max_abs is not None:
        told += f", by up to {change.max_abs:.6g}"
    return told


def _shown_key(key: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value(at)}" for name, at in key.items())


# ---------------------------------------------------------------- lines


def _head(found: Any) -> Iterator[str]:
    yield from _wrapped(title(found), 0)
    yield from _wrapped(found.headline, 0)


def _section(name: str, found: Sequence[Difference]) -> Iterator[str]:
    if not found:
        return
    yield ""
    yield name
    yield from _listed(map(of_difference, found), len(found))


def of_difference(found: Difference) -> str:
    """Return a difference in a line."""
    detail = f" ({found.detail})" if found.detail else ""
    match found.kind:
        case "added":
            shown = "" if found.right is None else f": {value(found.right)}"
            return f"{found.name} only on the right{shown}{detail}"
        case "removed":
            shown = "" if found.left is None else f": {value(found.left)}"
            return f"{found.name} only on the left{shown}{detail}"
        case "reran":
            return f"{found.name}: same bytes, made by another run{detail}"
        case _:
            return f"{found.name}: {value(found.left)} → {value(found.right)}{detail}"


def _listed(lines: Iterable[str], total: int, indent: int = 2) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number == _MOST_LISTED and total > _MOST_LISTED + 1:
            yield f"{' ' * indent}… and {total - number:,} more"
            return
        yield from _wrapped(line, indent)


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield ""
    for note in notes:
        yield from _wrapped(f"note: {note}", 0)


def _wrapped(text: str, indent: int) -> Iterator[str]:
    from textwrap import wrap

    lead = " " * indent
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    yield from wrap(clean, WIDTH, initial_indent=lead, subsequent_indent=f"{lead}  ") or [lead]


def value(found: Any) -> str:
    """Return a value as short text."""
    if isinstance(found, float):
        text = f"{found:.10g}"
    elif isinstance(found, str):
        text = found
    else:
        text = msgspec.json.encode(found, enc_hook=str).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _number(things: Sequence[object], what: str) -> str:
    return f"{len(things):,} {what}{'' if len(things) == 1 else 's'}"


def _s(things: Sequence[object]) -> str:
    return "s" if len(things) == 1 else ""
