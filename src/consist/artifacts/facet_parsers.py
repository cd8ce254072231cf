"""Facets that follow from the keys of artifacts: functions that users register by prefix."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from consist.active import ActiveRun
from consist.artifacts.facets import artifact_facet
from consist.artifacts.items import Item, Linked
from consist.errors import UsageError, WrongType, a_kind, hint
from consist.models.record import ArtifactFacetRecord

if TYPE_CHECKING:
    from consist.workspace import Workspace

logger = logging.getLogger("consist.artifacts")

Parser = Callable[[str], Mapping[str, Any] | None]
P = TypeVar("P", bound=Parser)

_ROOM = "facet_parsers"


def register_artifact_facet_parser(ws: Workspace, prefix: str, parser: P) -> P:
    """Let a function read facets off the keys of artifacts that begin with ``prefix``.

    From now on this tracker calls ``parser(key)`` for each output, and for each input that is
    logged explicitly, which has no facet. What it returns is the artifact's facet and is indexed;
    ``None`` leaves the artifact without one. Of several prefixes that fit, the longest is asked.
    A parser that fails is logged with its traceback and never breaks a run.

    Parameters
    ----------
    prefix : str
        Beginning of the keys. Registering it again replaces its parser.
    parser : callable
        Gets the key and returns a mapping or ``None``.

    Returns
    -------
    callable
        The parser.

    Raises
    ------
    ValueError
        If the prefix is empty.
    TypeError
        If it is no text, or the parser cannot be called.

    Notes
    -----
    Worker processes have trackers of their own: register in a module that they import too.

    Examples
    --------
    >>> def skim(key: str) -> dict[str, str]:
    ...     _, mode, period = key.split("_")
    ...     return {"artifact_family": "skim", "mode": mode, "period": period}
    >>> tracker.register_artifact_facet_parser("skim_", skim)  # doctest: +SKIP
    """
    if not isinstance(cast("object", prefix), str):
        raise WrongType(f"prefix={prefix!r} is {a_kind(prefix)}, not text")
    if not prefix:
        problem = UsageError("the prefix of a facet parser is empty")
        raise hint(problem, "name the beginning of the keys that it reads, such as 'skim_'")
    if not callable(parser):
        raise WrongType(f"a facet parser is a function of a key, not {a_kind(parser)}")
    ws.memory.setdefault(_ROOM, {})[prefix] = parser
    return parser


def with_parsed_facets(ws: Workspace, run: ActiveRun, items: Sequence[Item]) -> Sequence[Item]:
    """Return what is to be logged, with facets by parsers where nothing else gives one."""
    parsers: dict[str, Parser] | None = ws.memory.get(_ROOM)
    if not parsers:
        return items
    return [_with_facet(ws, run, item, parsers) for item in items]


def _with_facet(ws: Workspace, run: ActiveRun, item: Item, parsers: Mapping[str, Parser]) -> Item:
    has_one = isinstance(item, Linked) and item.record.meta.get("artifact_facet_id") is not None
    fitting = [prefix for prefix in parsers if item.key.startswith(prefix)]
    if item.facet is not None or has_one or not fitting:
        return item
    facet = _parsed(ws, run, item.key, parsers[max(fitting, key=len)])
    return item if facet is None else msgspec.structs.replace(item, facet=facet)


def _parsed(ws: Workspace, run: ActiveRun, key: str, parser: Parser) -> ArtifactFacetRecord | None:
    model = run.record.model_name
    try:
        return artifact_facet(
            parser(key), model, None, index=True, what=f"artifact {key!r}", settings=ws.settings
        )
    except Exception:  # the code of users may fail in any way
        logger.exception("[Consist] the facet parser for %r failed; it has no facet", key)
        return None
