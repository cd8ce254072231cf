"""Compare two runs, or two scenarios."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from consist.comparison.columns import Tolerance
from consist.comparison.outputs import DataOptions
from consist.comparison.results import RunComparison, ScenarioComparison
from consist.comparison.runs import compare_runs
from consist.comparison.scenarios import compare_scenarios
from consist.comparison.subjects import is_scenario, meant
from consist.errors import UnknownKey, UsageError, WrongType, a_kind, hint

if TYPE_CHECKING:
    from consist.models.result import RunResult
    from consist.models.run import Run
    from consist.workspace import Workspace

On = str | Iterable[str] | Mapping[str, str | Iterable[str]]


def compare(
    ws: Workspace,
    a: str | Run | RunResult | object,
    b: str | Run | RunResult | object,
    *,
    data: bool = True,
    keys: Iterable[str] | None = None,
    on: On | None = None,
    rtol: float = 0.0,
    atol: float = 0.0,
    examples: int = 3,
) -> RunComparison | ScenarioComparison:
    """Compare two runs, or two scenarios: what they were made of, and what came of them.

    Outputs are compared by key. Where the recorded digests agree, nothing is read. Else tables are
    compared column by column and row by row, JSON documents leaf by leaf, arrays variable by
    variable, and other files by their bytes. A file that is gone, or no longer what was recorded,
    is told as such; ingested rows stand in for it. Of scenarios, steps are matched by name, model,
    year, iteration and parameters, and the data of the final outputs are compared.

    Parameters
    ----------
    a, b : str, Run, RunResult or ScenarioContext
        Two runs, or the names of two scenarios. A plain id means the attempt that is active, else
        the latest completed one, else the latest; ``name~1`` is the first.
    data : bool, default True
        Whether outputs are read where their digests differ.
    keys : iterable of str, optional
        Outputs to compare; by default all.
    on : str, iterable of str, or mapping, optional
        Columns that say which rows are the same one, for all tables that have them, or by output.
        By default a key is looked for: columns whose names look like one, and whose values are
        unique on both sides; the result says which was taken. Without any, rows are compared as
        sets. An empty list asks for sets.
    rtol, atol : float, default 0
        Numbers of which at least one is no whole number are equal if they are no farther apart
        than ``max(atol, rtol * max(abs(left), abs(right)))``. Not inside of lists and structs, and
        not where rows are compared as sets. NULL equals NULL, and NaN equals NaN.
    examples : int, default 3
        Most examples of each difference.

    Returns
    -------
    RunComparison or ScenarioComparison

    Raises
    ------
    ValueError
        If there is no such run, if a run is to be compared with a scenario, or for options that
        cannot be: a key column that a table does not have, a negative tolerance.
    TypeError
        For arguments of another type.
    KeyError
        If ``keys`` or ``on`` name an output that neither side has.
    RuntimeError
        Without a database.

    Examples
    --------
    >>> found = tracker.compare("baseline", "toll", on={"trips": "trip_id"})  # doctest: +SKIP
    >>> found.same, found.parting.label  # doctest: +SKIP
    (False, 'assign (2030)')
    """
    ws.check_database("compare")
    options = _options(
        data, keys, on, Tolerance(_share("rtol", rtol), _share("atol", atol)), examples
    )
    left, right = meant(ws, a), meant(ws, b)
    if is_scenario(left) != is_scenario(right):
        names = [
            f"{d.run.id!r} is a {'scenario' if is_scenario(d) else 'run'}" for d in (left, right)
        ]
        problem = UsageError(f"{' and '.join(names)}: they cannot be compared")
        raise hint(problem, "pass two runs or two scenarios; `consist runs` lists the steps")
    if is_scenario(left):
        found = compare_scenarios(ws, left, right, options)
    else:
        found = compare_runs(ws, left, right, options)
    _check_known(options, found)
    return found


# ---------------------------------------------------------------- options


def _options(
    data: object, keys: Any, on: Any, tolerance: Tolerance, examples: object
) -> DataOptions:
    if not isinstance(data, bool):
        raise WrongType(f"data={data!r} is not True or False")
    if isinstance(examples, bool) or not isinstance(examples, int):
        raise WrongType(f"examples={examples!r} is not a number of rows")
    if examples < 0:
        raise UsageError(f"examples={examples!r} is negative")
    of_all: tuple[str, ...] | None = None
    of_each: dict[str, tuple[str, ...]] = {}
    if isinstance(on, Mapping):
        given = cast("Mapping[Any, Any]", on)
        of_each = {str(key): _names(f"on[{key!r}]", columns) for key, columns in given.items()}
    elif on is not None:
        of_all = _names("on", on)
    return DataOptions(
        keys=None if keys is None else frozenset(_names("keys", keys)),
        data=data,
        on=of_all,
        on_of=of_each,
        tolerance=tolerance,
        examples=examples,
    )


def _names(option: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        raise WrongType(f"{option} is {a_kind(given)}, not a list of names")
    names = tuple(cast("Iterable[Any]", given))
    wrong = next((name for name in names if not isinstance(name, str)), None)
    if wrong is not None:
        raise WrongType(f"{option} has {wrong!r}, which is no name")
    return tuple(dict.fromkeys(names))


def _share(option: str, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise WrongType(f"{option}={given!r} is not a number")
    if not isfinite(given) or given < 0:
        raise UsageError(f"{option}={given!r} is not a finite number from 0")
    return float(given)


def _check_known(options: DataOptions, found: RunComparison | ScenarioComparison) -> None:
    known = tuple(output.key for output in found.outputs)
    for key in (*sorted(options.keys or ()), *options.on_of):
        if key not in known:
            raise UnknownKey(key, f"the outputs of {found.left.id!r} and {found.right.id!r}", known)
