"""The registry that threads artifacts from step to step of a scenario."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import msgspec

from consist.artifacts.keys import check_key
from consist.errors import InvalidKey, UnknownKey, UsageError, WrongType, a_kind, hint
from consist.types import is_mapping, is_path
from consist.workflow.shelf import ROOT, DeclaredOutput, Shelf, Unmade

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.record import ArtifactRecord

__all__ = ["Coupler", "CouplerMapMixin", "CouplerView", "DeclaredOutput", "coupler_of"]

A = TypeVar("A")


class CouplerMapMixin(Mapping[str, A]):
    """What a coupler and its views can do, each with its own part of the keys.

    Threads may write while others read: iterating over keys, items or values goes over those that
    were there when it began.
    """

    _shelf: Shelf
    _prefix: str

    def __eq__(self, other: object) -> bool:
        """Whether it is the same coupler; ``dict(coupler)`` compares what is in it."""
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} keys{self._prefix and ' in ' + self._prefix}>"

    def _full(self, key: Any) -> Any:
        return self._prefix + key if self._prefix and isinstance(key, str) else key

    def _checked(self, key: Any) -> str:
        if self._prefix and key == "":
            raise InvalidKey(key, "is empty")
        return check_key(self._full(key))

    # ------------------------------------------------------------ read

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value for ``key``, or ``None``."""
        value = self._shelf.get(self._full(key))
        return default if value is None else value

    def require(self, key: str) -> A:
        """Return the value for ``key``.

        Raises
        ------
        KeyError
            Naming the keys that are set.
        """
        value = self._shelf.get(self._full(key))
        if value is None:
            known = tuple(self._shelf.keys(self._prefix))
            raise UnknownKey(self._full(key), "the coupler", known)
        return value

    def record(self, key: str) -> Any:
        """Return what is stored under ``key``, as a record if nobody has read it yet."""
        value = self._shelf.peek(self._full(key))
        return value.record if isinstance(value, Unmade) else self.require(key)

    def holds(self, key: str) -> bool:
        """Whether ``key`` was set in this coupler."""
        return self._shelf.holds(self._full(key))

    def path(self, key: str, *, required: bool = True) -> Path | None:
        """Return where the artifact under ``key`` lies, as an absolute path.

        Whether a file is there is not looked at.

        Raises
        ------
        KeyError
            If the key is not set and ``required``.
        ValueError
            If the value is a URI and there is no tracker that knows its mount.
        """
        value: Any = self.require(key) if required else self.get(key)
        if value is None:
            return None
        text = _place_of(value)
        return Path(self._resolved(text) if "://" in text else text).absolute()

    def _resolved(self, uri: str) -> str:
        if self._shelf.resolve is None:
            problem = UsageError(f"this coupler has no tracker that knows where {uri!r} is")
            raise hint(problem, "use that of a scenario, or Coupler(resolve=tracker.resolve_uri)")
        return self._shelf.resolve(uri)

    def resolving(self, resolve: Callable[[str], str]) -> Self:
        """Take over how to turn a URI into a path, unless there is a way already."""
        self._shelf.resolve = self._shelf.resolve or resolve
        return self

    def __getitem__(self, key: str) -> A:
        return self.require(key)

    def __contains__(self, key: object) -> bool:
        return self._shelf.peek(self._full(key)) is not None

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return iter([key[start:] for key in self._shelf.keys(self._prefix)])

    def __len__(self) -> int:
        return self._shelf.count(self._prefix)

    def view(self, namespace: str) -> CouplerView:
        """Return a view that reads and writes keys as ``<namespace>/<key>``.

        A view can do what the coupler can, with keys of its namespace: declared outputs and
        further views included.
        """
        return CouplerView(self, namespace)

    # ------------------------------------------------------------ write

    def set(self, key: str, artifact: Artifact) -> Artifact:
        """Store an artifact under a key, in place of an earlier one.

        Raises
        ------
        ValueError
            If the key breaks the rules for artifact keys.
        TypeError
            If the value can be no input of a step.
        """
        return self.set_from_artifact(key, artifact)

    def set_from_artifact(self, key: str, value: Any) -> Any:
        """Store an artifact, something with ``path`` and ``container_uri``, or a path.

        Returns
        -------
        object
            The value as stored.

        Raises
        ------
        ValueError
            If the key breaks the rules for artifact keys.
        TypeError
            If the value is none of these.
        """
        self._put({key: value})
        return value

    def update(
        self, artifacts: Mapping[str, Artifact] | None = None, /, **kwargs: Artifact
    ) -> None:
        """Store many artifacts, from a mapping and by keyword, which wins over the mapping.

        If one of them cannot be stored, none is.
        """
        self._put({**_by_key("artifacts", artifacts), **kwargs})

    def collect_by_keys(
        self, artifacts: Mapping[str, Artifact], *keys: str, prefix: str = ""
    ) -> dict[str, Artifact]:
        """Store selected artifacts under ``prefix + key``, and return them by these names.

        Raises
        ------
        KeyError
            If one of the keys is not there; nothing is stored then.
        """
        given = _by_key("artifacts", artifacts)
        if not isinstance(cast("object", prefix), str):
            raise WrongType(f"prefix={prefix!r} is not text")
        missing = [key for key in map(check_key, keys) if key not in given]
        if missing:
            raise UnknownKey(missing[0], "the artifacts given", tuple(given))
        selected = {prefix + key: given[key] for key in keys}
        self._put(selected)
        return selected

    def sync(self, record: ArtifactRecord, make: Callable[[], Any]) -> None:
        """Store what a step logged under its key; ``make`` gives the artifact when it is read."""
        self._shelf.put_one(self._prefix + record.key, Unmade(record, make))

    def add_input(self, key: str, artifact: Artifact) -> None:
        """Store an input of the scenario, which nobody has to declare as an output."""
        self._put({key: artifact}, warn=False)

    def _put(self, values: Mapping[str, Any], *, warn: bool = True) -> None:
        full = {self._checked(key): value for key, value in values.items()}
        for key, value in full.items():
            _check_value(key, value)
        self._shelf.put(full, warn=warn)

    # ------------------------------------------------------------ expectations

    def declare_outputs(
        self,
        *names: str,
        required: bool | Mapping[str, bool] = False,
        warn_undefined: bool = False,
        description: Mapping[str, str] | None = None,
    ) -> None:
        """Say which keys are expected.

        Declared again, a key keeps its description unless there is a new one, and stays required
        unless a mapping says ``False`` for it.

        Parameters
        ----------
        *names : str
            Keys.
        required : bool or mapping, default False
            Whether they have to be set, for all or per key.
        warn_undefined : bool, default False
            Warn from now on when another key is set, once for each.
        description : mapping, optional
            What they are, per key.

        Raises
        ------
        ValueError
            If a key breaks the rules for artifact keys, or a mapping names one that is not
            declared, here or earlier. Nothing is declared then.
        """
        self._declare(names, required, description, warn=warn_undefined, usually=False)

    def require_outputs(
        self,
        *names: str,
        required: bool | Mapping[str, bool] = True,
        warn_undefined: bool = False,
        description: Mapping[str, str] | None = None,
    ) -> None:
        """Say which keys have to be set; keys that a mapping does not name are required."""
        self._declare(names, required, description, warn=warn_undefined, usually=True)

    def _declare(
        self,
        names: tuple[str, ...],
        required: bool | Mapping[str, bool],
        description: Mapping[str, str] | None,
        *,
        warn: bool,
        usually: bool,
    ) -> None:
        asked = required if isinstance(required, bool) else usually
        each = _each("required", None if isinstance(required, bool) else required, bool)
        texts = _each("description", description, str)
        declared = self._shelf.declared
        planned: dict[str, DeclaredOutput] = {}
        for name in names:
            key = self._checked(name)
            before = declared.get(key, DeclaredOutput(key))
            planned[key] = msgspec.structs.replace(before, required=asked or before.required)
        for argument, said in (("required", each), ("description", texts)):
            for name, value in said.items():
                key = self._checked(name)
                before = planned.get(key) or declared.get(key)
                if before is None:
                    problem = UsageError(f"{argument} names {name!r}, which is not declared")
                    raise hint(problem, "name the key itself as well, before the keywords")
                planned[key] = msgspec.structs.replace(before, **{argument: value})
        self._shelf.declare(planned, warns_in=self._prefix if warn else None)

    def missing_declared_outputs(self) -> list[str]:
        """Return the required keys that are not set, in the order they were declared."""
        expected = self._shelf.expected(self._prefix)
        missing = [d.key for d in expected if d.required and not self._shelf.holds(d.key)]
        return [key[len(self._prefix) :] for key in missing]

    def describe_outputs(self) -> dict[str, str]:
        """Return a copy of the descriptions by key."""
        expected = self._shelf.expected(self._prefix)
        start = len(self._prefix)
        return {d.key[start:]: d.description for d in expected if d.description is not None}


class Coupler(CouplerMapMixin[Any]):
    """Latest artifact per key, for as long as a scenario lasts.

    It keeps artifacts in memory and does nothing else: it never logs, guesses or changes one.
    A copy in another process has the keys as they were when it was sent there.

    Parameters
    ----------
    resolve : callable, optional
        Turns a URI into a path, for values that carry no path of their own.
    """

    def __init__(self, resolve: Callable[[str], str] | None = None) -> None:
        self._shelf, self._prefix = Shelf(resolve), ROOT


class CouplerView(CouplerMapMixin[Any]):
    """A coupler seen from one namespace.

    Parameters
    ----------
    coupler : Coupler or CouplerView
        What it is a part of.
    namespace : str
        What its keys begin with, before a ``/``.
    """

    def __init__(self, coupler: CouplerMapMixin[Any], namespace: str) -> None:
        self._shelf = coupler._shelf  # noqa: SLF001 - a part of the same
        self._prefix = coupler._checked(namespace).rstrip("/") + "/"  # noqa: SLF001


def coupler_of(given: object, resolve: Callable[[str], str]) -> Any:
    """Return the coupler of a scenario: a new one, or the one given, able to resolve URIs.

    Raises
    ------
    TypeError
        If it is no coupler.
    """
    if given is None:
        return Coupler(resolve)
    if not isinstance(given, CouplerMapMixin):
        problem = WrongType(f"coupler is {a_kind(given)}, not a Coupler")
        raise hint(problem, "pass coupler=Coupler(), filled with coupler.update(...)")
    return cast("Any", given).resolving(resolve)


# ---------------------------------------------------------------- arguments


def _place_of(value: object) -> str:
    if is_path(value):
        return os.fspath(value)
    artifact = cast("Any", value)
    return str(artifact.container_uri if artifact.path is None else artifact.path)


def _check_value(key: str, value: Any) -> None:
    if is_path(value) or (hasattr(value, "path") and hasattr(value, "container_uri")):
        return
    problem = WrongType(f"{a_kind(value)} for key {key!r} is neither an artifact nor a path")
    if hasattr(value, "outputs"):
        hint(problem, "take one of its outputs, or update(result.outputs) for all of them")
    raise problem


def _by_key(what: str, given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not is_mapping(given):
        problem = WrongType(f"{what} is {a_kind(given)}, not a mapping of key to artifact")
        raise hint(problem, "the outputs of a run are in result.outputs")
    return given


def _each(argument: str, given: Any, kind: type[Any]) -> dict[str, Any]:
    """Return what is said per key, all of one type."""
    if given is None:
        return {}
    if not is_mapping(given):
        raise hint(
            WrongType(f"{argument}={given!r} says nothing per key"), f"{argument}={{key: ...}}"
        )
    for name, value in given.items():
        if not isinstance(value, kind):
            raise WrongType(f"{argument}[{name!r}]={value!r} is not a {kind.__name__}")
    return dict(given)
