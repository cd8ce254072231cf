"""The registry that threads artifacts from step to step of a scenario."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, ItemsView, KeysView, Mapping, ValuesView
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from consist.artifacts.keys import check_key
from consist.errors import UnknownKey, WrongType, a_kind
from consist.types import is_path

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.record import ArtifactRecord

logger = logging.getLogger("consist.workflow")

A = TypeVar("A")


class DeclaredOutput(msgspec.Struct, frozen=True):
    """What is expected of one key.

    Attributes
    ----------
    key : str
        The key.
    required : bool
        Whether it has to be set when the scenario ends.
    description : str or None
        What it is, for people.
    """

    key: str
    required: bool = False
    description: str | None = None


class CouplerMapMixin(Generic[A]):
    """Mapping-like reads over ``self._values``."""

    _values: dict[str, A]

    def _settle(self, key: str) -> None:
        """Make the value of a key that is only known how to be made."""

    def get(self, key: str) -> A | None:
        """Return the value for ``key``, or ``None``."""
        self._settle(key)
        return self._values.get(key)

    def require(self, key: str) -> A:
        """Return the value for ``key``.

        Raises
        ------
        KeyError
            Naming the keys that are set.
        """
        if key not in self._values:
            raise UnknownKey(key, "the coupler", tuple(self._values))
        self._settle(key)
        return self._values[key]

    def keys(self) -> KeysView[str]:
        """Return the keys that are set."""
        return self._values.keys()

    def items(self) -> ItemsView[str, A]:
        """Return keys and values."""
        self._settle_all()
        return self._values.items()

    def values(self) -> ValuesView[A]:
        """Return the values."""
        self._settle_all()
        return self._values.values()

    def _settle_all(self) -> None:
        for key in self._values:
            self._settle(key)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> A:
        return self.require(key)

    def __len__(self) -> int:
        return len(self._values)


class Coupler(CouplerMapMixin[Any]):
    """Latest artifact per key, for as long as a scenario lasts.

    It keeps artifacts in memory and does nothing else: it never logs, guesses or changes one.

    Parameters
    ----------
    resolve : callable, optional
        Turns a URI into a path, for values that carry no path of their own.
    """

    def __init__(self, resolve: Callable[[str], str] | None = None) -> None:
        self._values = {}
        self._records: dict[str, tuple[ArtifactRecord, Callable[[], Any]]] = {}
        self._declared: dict[str, DeclaredOutput] = {}
        self._warn_undefined = False
        self._resolve = resolve

    def __repr__(self) -> str:
        return f"Coupler({', '.join(self._values)})"

    # ------------------------------------------------------------ write

    def set(self, key: str, artifact: Artifact) -> Artifact:
        """Store an artifact under a key, in place of an earlier one.

        Raises
        ------
        ValueError
            If the key breaks the rules for artifact keys.
        """
        self._records.pop(key, None)
        self._values[check_key(key)] = artifact
        self._check_declared(key)
        return artifact

    def _check_declared(self, key: str) -> None:
        if self._warn_undefined and key not in self._declared:
            known = ", ".join(self._declared)
            logger.warning("[Consist] key %r was set and never declared (declared: %s)", key, known)

    def sync(self, record: ArtifactRecord, make: Callable[[], Any]) -> None:
        """Store what a step logged under its key; ``make`` gives the artifact when it is read."""
        self._values[record.key] = None
        self._records[record.key] = (record, make)
        self._check_declared(record.key)

    def record(self, key: str) -> Any:
        """Return what is stored under ``key``, as a record where there is one."""
        known = self._records.get(key)
        return self.require(key) if known is None else known[0]

    def holds(self, key: str) -> bool:
        """Whether ``key`` was set in this coupler."""
        return key in self._values

    def _settle(self, key: str) -> None:
        known = self._records.pop(key, None)
        if known is not None:
            self._values[key] = known[1]()

    def set_from_artifact(self, key: str, value: Any) -> Any:
        """Store an artifact, something with ``path`` and ``container_uri``, or a path.

        Returns
        -------
        object
            The value as stored.

        Raises
        ------
        TypeError
            If it is none of these.
        """
        if not is_path(value) and not (hasattr(value, "path") and hasattr(value, "container_uri")):
            raise WrongType(f"{a_kind(value)} is neither an artifact nor a path")
        return self.set(key, cast("Any", value))

    def update(
        self, artifacts: Mapping[str, Artifact] | None = None, /, **kwargs: Artifact
    ) -> None:
        """Store many artifacts, from a mapping and by keyword."""
        given = {**(artifacts or {}), **kwargs}
        for key in given:
            check_key(key)
        for key, artifact in given.items():
            self.set(key, artifact)

    def collect_by_keys(
        self, artifacts: Mapping[str, Artifact], *keys: str, prefix: str = ""
    ) -> dict[str, Artifact]:
        """Store selected artifacts under ``prefix + key``, and return them by these names.

        Raises
        ------
        KeyError
            If one of the keys is not there; nothing is stored then.
        """
        missing = [key for key in keys if key not in artifacts]
        if missing:
            raise UnknownKey(missing[0], "the artifacts given", tuple(artifacts))
        selected = {prefix + key: artifacts[key] for key in keys}
        self.update(selected)
        return selected

    # ------------------------------------------------------------ read

    def path(self, key: str, *, required: bool = True) -> Path | None:
        """Return where the artifact under ``key`` lies, as an absolute path.

        Raises
        ------
        KeyError
            If the key is not set and ``required``.
        """
        value = self.require(key) if required else self.get(key)
        if value is None:
            return None
        if is_path(value):
            text = os.fspath(value)
            if "://" in text and self._resolve is not None:
                text = self._resolve(text)
            return Path(text).absolute()
        return Path(value.path).absolute()

    def view(self, namespace: str) -> CouplerView:
        """Return a view that reads and writes keys as ``<namespace>/<key>``."""
        return CouplerView(self, namespace)

    # ------------------------------------------------------------ expectations

    def declare_outputs(
        self,
        *names: str,
        required: bool | Mapping[str, bool] = False,
        warn_undefined: bool = False,
        description: Mapping[str, str] | None = None,
    ) -> None:
        """Say which keys are expected.

        Parameters
        ----------
        *names : str
            Keys.
        required : bool or mapping, default False
            Whether they have to be set, for all or per key.
        warn_undefined : bool, default False
            Warn from now on when another key is set.
        description : mapping, optional
            What they are, per key.
        """
        for name in names:
            must = required.get(name, False) if isinstance(required, Mapping) else required
            text = (description or {}).get(name)
            self._declared[check_key(name)] = DeclaredOutput(name, bool(must), text)
        self._warn_undefined = self._warn_undefined or warn_undefined

    def require_outputs(
        self,
        *names: str,
        required: bool | Mapping[str, bool] = True,
        warn_undefined: bool = False,
        description: Mapping[str, str] | None = None,
    ) -> None:
        """Say which keys have to be set; keys that a mapping does not name are required."""
        if isinstance(required, Mapping):
            required = {name: required.get(name, True) for name in names}
        self.declare_outputs(
            *names, required=required, warn_undefined=warn_undefined, description=description
        )

    def missing_declared_outputs(self) -> list[str]:
        """Return the required keys that are not set, in the order they were declared."""
        return [
            key
            for key, declared in self._declared.items()
            if declared.required and key not in self._values
        ]

    def describe_outputs(self) -> dict[str, str]:
        """Return a copy of the descriptions by key."""
        return {
            key: declared.description
            for key, declared in self._declared.items()
            if declared.description is not None
        }


class CouplerView:
    """A coupler seen from one namespace."""

    def __init__(self, coupler: Coupler, namespace: str) -> None:
        self._coupler = coupler
        self._prefix = check_key(namespace).rstrip("/") + "/"

    def _full(self, key: str) -> str:
        return self._prefix + key

    def set(self, key: str, artifact: Artifact) -> Artifact:
        """Store an artifact under ``<namespace>/<key>``."""
        return self._coupler.set(self._full(key), artifact)

    def set_from_artifact(self, key: str, value: Any) -> Any:
        """Store an artifact or path under ``<namespace>/<key>``."""
        return self._coupler.set_from_artifact(self._full(key), value)

    def update(
        self, artifacts: Mapping[str, Artifact] | None = None, /, **kwargs: Artifact
    ) -> None:
        """Store many artifacts in the namespace."""
        for key, artifact in {**(artifacts or {}), **kwargs}.items():
            self.set(key, artifact)

    def get(self, key: str) -> Any:
        """Return the value for ``<namespace>/<key>``, or ``None``."""
        return self._coupler.get(self._full(key))

    def require(self, key: str) -> Any:
        """Return the value for ``<namespace>/<key>``, or raise ``KeyError``."""
        return self._coupler.require(self._full(key))

    def path(self, key: str, *, required: bool = True) -> Path | None:
        """Return where the artifact under ``<namespace>/<key>`` lies."""
        return self._coupler.path(self._full(key), required=required)

    def keys(self) -> list[str]:
        """Return the keys of the namespace, without it."""
        start = len(self._prefix)
        return [key[start:] for key, _ in self._coupler.items() if key.startswith(self._prefix)]

    def items(self) -> list[tuple[str, Any]]:
        """Return keys of the namespace and their values."""
        return [(key, self.require(key)) for key in self.keys()]

    def values(self) -> list[Any]:
        """Return the values of the namespace."""
        return [self.require(key) for key in self.keys()]

    def __contains__(self, key: str) -> bool:
        return self._full(key) in self._coupler
