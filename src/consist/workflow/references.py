"""Point at outputs of earlier runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from consist.errors import UnknownKey, UsageError, WrongType, a_kind
from consist.types import is_mapping

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.result import RunResult


def ref(run_result: RunResult, key: str | None = None) -> Artifact:
    """Return one output of a run, to be the input of another.

    Parameters
    ----------
    run_result : RunResult
        An earlier run.
    key : str, optional
        Which output; may be left out where there is just one.

    Raises
    ------
    ValueError
        If there are several outputs, or none, and no key.
    KeyError
        If the run has no such output.
    """
    outputs = _outputs(run_result)
    if key is None:
        return run_result.output
    if key not in outputs:
        raise UnknownKey(key, f"outputs of run {run_result.run_id!r}", tuple(outputs))
    return outputs[key]


def refs(*selections: Any, **aliases: Any) -> dict[str, Artifact]:
    """Return outputs of runs by name, to be the ``inputs`` of another.

    ========================================  ==========================================
    ``refs(result)``                          all outputs under their keys
    ``refs(result, "a", "b")``                some of them
    ``refs(result, {"alias": "key"})``        some of them under other names
    ``refs((first, "a"), (second, "b"))``     outputs of several runs
    ``refs(alias=(result, "key"))``           an output under a name
    ``refs(alias=result)``                    the only output under a name
    ========================================  ==========================================

    Raises
    ------
    ValueError
        If a name would be given twice, or a single output is ambiguous.
    KeyError
        If a run has no such output.
    """
    found: dict[str, Artifact] = {}
    if selections and all(isinstance(item, tuple) for item in selections):
        for result, key in selections:
            _add(found, key, ref(result, key))
    elif selections:
        for name, key in _selected(selections[0], selections[1:]).items():
            _add(found, name, ref(selections[0], key))
    for name, target in aliases.items():
        result, key = _pair(target)
        _add(found, name, ref(result, key))
    return found


def _pair(target: Any) -> tuple[Any, Any]:
    return cast("tuple[Any, Any]", target) if isinstance(target, tuple) else (target, None)


def _selected(result: Any, keys: tuple[Any, ...]) -> Mapping[str, str]:
    if not keys:
        return {key: key for key in _outputs(result)}
    chosen: dict[str, str] = {}
    for item in keys:
        chosen.update(item if is_mapping(item) else {item: item})
    return chosen


def _add(found: dict[str, Artifact], name: str, artifact: Artifact) -> None:
    if name in found:
        raise UsageError(f"refs would give {name!r} twice")
    found[name] = artifact


def _outputs(result: Any) -> Mapping[str, Artifact]:
    if not hasattr(result, "outputs") or not hasattr(result, "run_id"):
        raise WrongType(f"{a_kind(result)} is not the result of a run")
    return result.outputs
