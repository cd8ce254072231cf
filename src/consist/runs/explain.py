"""Tell whether a run would be a hit, and if not why, without running anything."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from consist.cache.lookup import Timing
from consist.errors import TrackerClosed, UsageError, hint
from consist.identity import changed_between
from consist.models.record import replace
from consist.runs.arguments import RunArguments
from consist.runs.identify import identify
from consist.runs.request import resolve_run_invocation
from consist.runs.run import look_up
from consist.runs.run import run as _run
from consist.types import refuse_legacy_options

if TYPE_CHECKING:
    from consist.cache.explanation import Explanation
    from consist.workspace import Workspace

P = ParamSpec("P")
S = TypeVar("S")

_MOST_FILES = 20


def with_arguments_of(
    verb: Callable[Concatenate[S, P], object],
) -> Callable[
    [Callable[[S, dict[str, Any]], Explanation]], Callable[Concatenate[S, P], Explanation]
]:
    """Let a function take the arguments of a run verb; it gets those that were given, by name."""
    signature = inspect.signature(verb)
    shown = signature.replace(return_annotation="Explanation")

    def decorate(
        explain: Callable[[S, dict[str, Any]], Explanation],
    ) -> Callable[Concatenate[S, P], Explanation]:
        @wraps(explain)
        def explaining(owner: S, *args: P.args, **kwargs: P.kwargs) -> Explanation:
            refuse_legacy_options(explain.__name__, kwargs, signature.parameters)
            given = dict(signature.bind(owner, *args, **kwargs).arguments)
            del given[next(iter(signature.parameters))]
            return explain(owner, given)

        explaining.__signature__ = shown  # type: ignore[attr-defined]
        return explaining

    return decorate


@with_arguments_of(_run)
def explain(ws: Workspace, given: dict[str, Any]) -> Explanation:
    """Tell whether a run with these arguments would be a hit, and if not, what makes it another.

    Takes the arguments of :func:`~consist.runs.run.run`. Nothing is executed, recorded, copied or
    written; inputs are hashed as they would be for the run.

    Returns
    -------
    Explanation
        ``print(explanation.text)`` shows all of it, ``print(explanation)`` one line.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        Where ``run`` would raise them before it executes anything.

    Examples
    --------
    >>> why = tracker.explain(clean, inputs={"raw": "raw.csv"})  # doctest: +SKIP
    >>> why.would_hit, why.reason  # doctest: +SKIP
    (False, 'code_changed')
    """
    return explain_arguments(ws, RunArguments(**given))


def explain_arguments(ws: Workspace, arguments: RunArguments) -> Explanation:
    """Tell whether a run would be a hit."""
    if ws.closed:
        raise TrackerClosed("explain a run")
    request = resolve_run_invocation(ws, arguments)
    if not ws.keeps:
        problem = UsageError("a tracker that keeps nothing cannot explain a run")
        raise hint(problem, "it looks nothing up: every step executes")
    identity = identify(ws, request)
    answer = look_up(ws, request, identity, Timing(ws))
    if answer.hit is not None:
        from consist.runs.why import explain_hit

        return explain_hit(ws, request, identity, answer.hit, answer.matched)
    why: Explanation = answer.why
    return _with_files_of_commits(ws, why)


def _with_files_of_commits(ws: Workspace, why: Explanation) -> Explanation:
    """Name the files that differ between two commits, where git has both of them."""
    listed: list[dict[str, Any]] = why.details.get("repo_git_identity_changed", [])
    commit = next((entry for entry in listed if entry["name"] == "commit"), None)
    if commit is None:
        return why
    found = changed_between(ws.project_root, commit["old"], commit["new"])
    known = {entry["name"] for entry in listed}
    names = [name for name in found or () if f"file {name}" not in known]
    files = [{"name": f"file {name}", "change": "changed"} for name in names[:_MOST_FILES]]
    details: dict[str, Any] = {**why.details, "repo_git_identity_changed": [*listed, *files]}
    left = len(names) - len(files)
    if left:
        more: dict[str, int] = details.get("more", {})
        more = {**more, "files_between_commits": left}
        details["more"] = more
    return replace(why, details=details)
