"""Two scenarios: their steps, where they part and why, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from consist.comparison.differences import Difference, StepComparison
from consist.comparison.matching import Match, match_steps
from consist.comparison.outputs import DataOptions, Records, compare_outputs, same_content
from consist.comparison.records import Configs, steps_of
from consist.comparison.results import ScenarioComparison
from consist.comparison.runs import (
    fact_differences,
    facts_of,
    identity_differences,
    with_configs,
)
from consist.comparison.words import value
from consist.identity import short
from consist.models.record import ArtifactRecord, RunDocument

if TYPE_CHECKING:
    from consist.workspace import Workspace


def compare_scenarios(
    ws: Workspace, left: RunDocument, right: RunDocument, options: DataOptions
) -> ScenarioComparison:
    """Compare two scenarios, their steps and their final outputs."""
    steps = steps_of(ws, left.run.id), steps_of(ws, right.run.id)
    configs = Configs(ws, (d.run.id for d in (left, right, *steps[0], *steps[1])))
    left, right, notes = with_configs(configs, left, right)
    matches = match_steps(*steps, (left, right), partial(_config, configs))
    made = {record.id for side in steps for step in side for record in step.outputs}
    compared = tuple(_step(configs, match, made) for match in matches)
    in_order = sum(step.matched == "order" for step in compared)
    if in_order:
        notes.append(f"{in_order:,} steps that nothing tells apart were matched in their order")
    if configs.gone:
        notes.append(f"the snapshots of {configs.gone:,} runs are gone, and so are their configs")
    return ScenarioComparison(
        left=facts_of(left),
        right=facts_of(right),
        facts=tuple(fact_differences(left, right)),
        config=identity_differences(left, right, lambda record: record.container_uri)["config"],
        steps=compared,
        outputs=compare_outputs(ws, _final(steps[0], options), _final(steps[1], options), options),
        notes=tuple(notes),
    )


def _config(configs: Configs, step: RunDocument) -> Any:
    return msgspec.json.decode(configs.complete(step).config)


def _final(steps: Iterable[RunDocument], options: DataOptions) -> Records:
    """Return what was made last of each key."""
    found: dict[str, ArtifactRecord] = {}
    for step in steps:
        for record in step.outputs:
            if options.keys is None or record.key in options.keys:
                found.pop(record.key, None)
                found[record.key] = record
    return found


# ---------------------------------------------------------------- steps


def _step(configs: Configs, match: Match, made: set[str]) -> StepComparison:
    left, right = match.left, match.right
    label = _label(match)
    if left is None or right is None:
        ids = [None if step is None else step.run.id for step in (left, right)]
        return StepComparison(label, ids[0], ids[1], matched=match.how)
    if _is_same(left, right):
        return StepComparison(label, left.run.id, right.run.id, matched=match.how)
    if left.run.config_hash != right.run.config_hash:
        left, right, _ = with_configs(configs, left, right)
    found = identity_differences(left, right, lambda record: record.container_uri)
    causes = [section for section in ("config", "code") if found[section]]
    inputs = [change for change in found["inputs"] if change.kind != "reran"]
    if inputs:
        causes += _where_from(left, right, inputs, made)
    if left.run.status != right.run.status:
        causes.append("status")
    outputs = _outputs(left, right)
    if outputs:
        causes.append("outputs")
    differences = (*found["config"], *found["code"], *inputs, *outputs)
    return StepComparison(label, left.run.id, right.run.id, tuple(causes), differences, match.how)


def _label(match: Match) -> str:
    step = match.left or match.right
    if step is None:
        return ""
    run = step.run
    facts = [run.model_name]
    facts += [str(run.year)] if run.year is not None else []
    facts += [f"iteration {run.iteration}"] if run.iteration is not None else []
    facts += [f"{name}={value(at)}" for name, at in match.point.items()]
    return " ".join((facts[0], f"({', '.join(facts[1:])})")) if facts[1:] else facts[0]


def _is_same(left: RunDocument, right: RunDocument) -> bool:
    """Whether all digests of two steps agree, which most steps of most scenarios do."""
    old, new = left.run, right.run
    return (
        old.status == new.status
        and (old.config_hash, old.git_hash) == (new.config_hash, new.git_hash)
        and (old.signature is not None or old.config_hash is not None)
        and _contents(left.inputs) == _contents(right.inputs) is not None
        and _contents(left.outputs) == _contents(right.outputs) is not None
    )


def _contents(records: Sequence[ArtifactRecord]) -> list[tuple[str, str]] | None:
    """Return what a step used or made by key and content; ``None`` if a digest is lacking."""
    if any(record.content is None for record in records):
        return None
    return sorted((record.key, str(record.content)) for record in records)


def _where_from(
    left: RunDocument, right: RunDocument, inputs: Iterable[Difference], made: set[str]
) -> list[str]:
    """Return whether inputs that differ were made by other steps, or came from outside, or both."""
    sides = [_by_name(document) for document in (left, right)]
    causes: list[str] = []
    for change in inputs:
        records = [record for side in sides for record in side.get(change.name, ())]
        cause = "upstream" if any(record.id in made for record in records) else "inputs"
        if cause not in causes:
            causes.append(cause)
    return sorted(causes)


def _by_name(document: RunDocument) -> Mapping[str, list[ArtifactRecord]]:
    names = document.extra.input_names
    found: dict[str, list[ArtifactRecord]] = {}
    for record in document.inputs:
        found.setdefault(names.get(record.id, record.key), []).append(record)
    return found


def _outputs(left: RunDocument, right: RunDocument) -> list[Difference]:
    """Return the outputs of a step whose recorded content differs."""
    old, new = ({record.key: record for record in d.outputs} for d in (left, right))
    found: list[Difference] = []
    for key in (*old, *(key for key in new if key not in old)):
        if key not in new:
            found.append(Difference("outputs", key, "removed"))
        elif key not in old:
            found.append(Difference("outputs", key, "added"))
        elif not same_content(old[key], new[key]):
            found.append(_changed(old[key], new[key]))
    return found


def _changed(old: ArtifactRecord, new: ArtifactRecord) -> Difference:
    detail = "" if same_content(old, new) is False else "not known to be the same"
    left, right = (None if d is None else short(d) for d in (old.content, new.content))
    return Difference("outputs", old.key, "changed", left, right, detail)
