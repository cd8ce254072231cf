"""Point at outputs of earlier runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from consist.artifacts.keys import check_key
from consist.errors import AmbiguousOutput, UnknownKey, UsageError, WrongType, a_kind, hint
from consist.types import RunResultLike, is_mapping

if TYPE_CHECKING:
    from consist.models.artifact import Artifact


def ref(run_result: RunResultLike, key: str | None = None) -> Artifact:
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
    TypeError
        If it is not the result of a run.
    """
    outputs = _outputs(run_result)
    if key is None:
        if len(outputs) != 1:
            problem = AmbiguousOutput(run_result.run_id, tuple(outputs))
            raise hint(problem, "name one: ref(result, key=...), or refs(result, 'a', 'b')")
        return next(iter(outputs.values()))
    if not isinstance(cast("object", key), str):
        raise WrongType(f"an output is named by its key, not by {a_kind(key)}")
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

    Names by keyword may follow any of the others. Without arguments there are no inputs.

    Raises
    ------
    ValueError
        If a name would be given twice or breaks the rules for keys, or a single output is
        ambiguous.
    KeyError
        If a run has no such output.
    TypeError
        For anything that is none of these forms.
    """
    found: dict[str, Artifact] = {}
    if selections and isinstance(selections[0], tuple):
        for pair in selections:
            result, key = _pair(pair)
            _add(found, key, ref(result, key))
    elif selections:
        _add_selected(found, selections[0], selections[1:])
    for name, target in aliases.items():
        result, key = _pair(target) if isinstance(target, tuple) else (target, None)
        _add(found, name, ref(result, key))
    return found


def _pair(given: Any) -> tuple[Any, str]:
    """Return the result and the key that are given together."""
    if isinstance(given, tuple):
        parts = cast("tuple[Any, ...]", given)
        if len(parts) == 2 and isinstance(parts[1], str):
            return parts[0], parts[1]
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise _no_form(f"({kinds}) is no pair of a result and a key")
    raise _no_form(f"{a_kind(given)} stands where a pair of a result and a key is expected")


def _add_selected(found: dict[str, Artifact], result: Any, chosen: tuple[Any, ...]) -> None:
    """Add the outputs of one run: all of them, or those that are named."""
    for item in chosen or _outputs(result):
        if isinstance(item, str):
            _add(found, item, ref(result, item))
        elif is_mapping(item):
            for name, key in item.items():
                _add(found, name, ref(result, key))
        else:
            raise _no_form(f"{a_kind(item)} stands where a key of an output is expected")


def _no_form(reason: str) -> WrongType:
    problem = WrongType(f"refs: {reason}")
    return hint(problem, "outputs of several runs: refs((first, 'a'), (second, 'b'), c=third)")


def _add(found: dict[str, Artifact], name: object, artifact: Artifact) -> None:
    key = check_key(name)
    if key in found:
        raise UsageError(f"refs would give {key!r} twice")
    found[key] = artifact


def _outputs(result: Any) -> Mapping[str, Artifact]:
    if hasattr(result, "outputs") and hasattr(result, "run_id"):
        return result.outputs
    problem = WrongType(f"{a_kind(result)} is not the result of a run")
    if hasattr(result, "container_uri"):
        hint(problem, "an artifact is an input as it is: inputs={'name': artifact}")
    elif isinstance(result, str):
        hint(problem, "sc.run takes keys of the coupler as they are: inputs={'name': 'key'}")
    raise problem
