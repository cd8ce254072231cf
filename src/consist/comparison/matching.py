"""Which step of one scenario belongs to which step of another."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from consist.cache.compare_identity import value_changes
from consist.models.record import RunDocument

_Sides = tuple[list[RunDocument], list[RunDocument]]

ConfigOf = Callable[[RunDocument], Any]
"""Returns the config of a step as plain data; ``None`` where it is gone."""

_AUTOMATIC = re.compile(r"_[0-9a-f]{20}(~\d+)?$")
_LABELS = ("stage", "phase")


@dataclass(frozen=True)
class Match:
    """Two steps that belong together, or one that is alone; and what they were told apart by."""

    left: RunDocument | None
    right: RunDocument | None
    how: str = "name"
    point: Mapping[str, Any] = field(default_factory=dict[str, Any])


def match_steps(
    left: Sequence[RunDocument], right: Sequence[RunDocument], headers: Sequence[RunDocument],
    config_of: ConfigOf,
) -> list[Match]:  # fmt: skip
    """Match steps by name, model, year and iteration, then without their names.

    Of several that are alike, those with the same parameters belong together: the config values
    that differ between them and that both scenarios have. What cannot be told apart is matched in
    order.

    Returns
    -------
    list of Match
        In the order in which the steps began.
    """
    labels = [_names(steps, header) for steps, header in zip((left, right), headers, strict=True)]
    found: list[Match] = []
    rest: _Sides = list(left), list(right)
    for parts in (_named, _unnamed):
        groups = _grouped(rest, labels, parts)
        rest = [], []
        for mine, yours in groups.values():
            if mine and yours:
                matched = _match_group(mine, yours, config_of)
                found += [match for match in matched if match.left and match.right]
                alone = [match for match in matched if not (match.left and match.right)]
                if parts is _named and all(match.how == "only" for match in alone):
                    found += [match for match in alone if match.point]
                    alone = [match for match in alone if not match.point]
                rest[0].extend(match.left for match in alone if match.left is not None)
                rest[1].extend(match.right for match in alone if match.right is not None)
            else:
                rest[0].extend(mine)
                rest[1].extend(yours)
    found += [Match(step, None, "only") for step in rest[0]]
    found += [Match(None, step, "only") for step in rest[1]]
    return _in_order(found, left, right)


def _names(steps: Iterable[RunDocument], header: RunDocument) -> dict[str, str]:
    """Return the names of steps, as far as their ids tell, by id."""
    prefix = f"{header.run.requested_id}_"
    names: dict[str, str] = {}
    for step in steps:
        name = step.run.requested_id or step.run.id
        name = _AUTOMATIC.sub("", name.removeprefix(prefix))
        names[step.run.id] = name
    return names


def _named(step: RunDocument, name: str) -> Hashable:
    run = step.run
    return name, run.model_name, run.year, run.iteration


def _unnamed(step: RunDocument, name: str) -> Hashable:  # noqa: ARG001 - as the other one
    run = step.run
    return run.model_name, run.year, run.iteration


def _grouped(
    sides: _Sides,
    labels: Sequence[Mapping[str, str]],
    parts: Callable[[RunDocument, str], Hashable],
) -> dict[Hashable, _Sides]:
    groups: dict[Hashable, _Sides] = {}
    for side, names in enumerate(labels):
        for step in sides[side]:
            groups.setdefault(parts(step, names[step.run.id]), ([], []))[side].append(step)
    return groups


def _match_group(
    left: Sequence[RunDocument], right: Sequence[RunDocument], config_of: ConfigOf
) -> list[Match]:
    if len(left) == len(right) == 1:
        return [Match(left[0], right[0])]
    points = [[_point(step, config_of) for step in side] for side in (left, right)]
    telling = _telling(points[0], points[1])
    if not telling:
        return _by_order(left, right)
    by_point: dict[Hashable, _Sides] = {}
    shown: dict[Hashable, dict[str, Any]] = {}
    for side, (steps, of_side) in enumerate(zip((left, right), points, strict=True)):
        for step, point in zip(steps, of_side, strict=True):
            chosen = {name: point.get(name) for name in telling}
            key = msgspec.json.encode(chosen, order="sorted")
            by_point.setdefault(key, ([], []))[side].append(step)
            shown[key] = {name: value for name, value in chosen.items() if name in point}
    found: list[Match] = []
    for key, (mine, yours) in by_point.items():
        if len(mine) == len(yours) == 1:
            found.append(Match(mine[0], yours[0], "config", shown[key]))
        else:
            several = _by_order(mine, yours)
            found += [Match(m.left, m.right, m.how, shown[key]) for m in several]
    return found


def _by_order(left: Sequence[RunDocument], right: Sequence[RunDocument]) -> list[Match]:
    both = min(len(left), len(right))
    found = [Match(a, b, "order") for a, b in zip(left[:both], right[:both], strict=True)]
    found += [Match(step, None, "only") for step in left[both:]]
    return found + [Match(None, step, "only") for step in right[both:]]


def _point(step: RunDocument, config_of: ConfigOf) -> dict[str, Any]:
    config = config_of(step)
    point = {} if config is None else {path: e["new"] for path, e in value_changes({}, config)}
    labels = {name: getattr(step.run, name) for name in _LABELS}
    return point | {f"({name})": at for name, at in labels.items() if at is not None}


def _telling(left: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the parameters that vary within a side, and of which both have some value."""
    names = dict.fromkeys(name for point in (*left, *right) for name in point)
    telling: list[str] = []
    for name in names:
        mine, yours = ({_text(point, name) for point in side} for side in (left, right))
        if (len(mine) > 1 or len(yours) > 1) and (mine & yours) - {None}:
            telling.append(name)
    return telling


def _text(point: Mapping[str, Any], name: str) -> bytes | None:
    return msgspec.json.encode(point[name]) if name in point else None


def _in_order(
    found: Iterable[Match], left: Sequence[RunDocument], right: Sequence[RunDocument]
) -> list[Match]:
    places = [{step.run.id: at for at, step in enumerate(side)} for side in (left, right)]

    def place(match: Match) -> tuple[int, int]:
        sides = zip((match.left, match.right), places, strict=True)
        known = [at[step.run.id] for step, at in sides if step is not None]
        return min(known), max(known)

    return sorted(found, key=place)
