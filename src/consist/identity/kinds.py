"""What sort of value something is, so that identity and snapshots agree about every type.

A *kind* is a short word such as ``"int"``, ``"path"`` or ``"object"``. :mod:`.canonical` holds one
encoder per kind and :mod:`.plain` one rendering per kind. Classes of libraries that may not be
loaded are recognised by name, so that nothing is imported to look at a value.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import PurePath
from typing import Any
from weakref import WeakKeyDictionary

from consist.errors import UnhashableValue, hint

_BY_CLASS: dict[type, str] = {
    type(None): "none",
    bool: "bool",
    int: "int",
    float: "float",
    complex: "complex",
    str: "str",
    bytes: "bytes",
    bytearray: "bytes",
    memoryview: "bytes",
    list: "list",
    tuple: "list",
    dict: "mapping",
    set: "set",
    frozenset: "set",
    range: "range",
    PurePath: "path",
    dt.datetime: "datetime",
    dt.date: "date",
    dt.time: "time",
    dt.timedelta: "timedelta",
}
_BY_NAME = {
    "decimal.Decimal": "decimal",
    "fractions.Fraction": "fraction",
    "uuid.UUID": "uuid",
    "numpy.generic": "scalar",
    "pydantic.main.BaseModel": "object",
}
# Other subclasses of an array carry more than its numbers (a mask, a unit).
_ARRAYS = {"numpy.ndarray", "numpy.memmap", "numpy.recarray", "numpy.rec.recarray"}
_ABSTRACT = {Mapping: "mapping", AbstractSet: "set", Sequence: "list"}
_FIELD_MARKS = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__")

# Several of these pass for a mapping, a sequence or a datetime and are none for our purpose.
_DATA_LIBRARIES = frozenset(
    {"dask", "geopandas", "h5py", "netCDF4", "pandas", "polars", "pyarrow"}
    | {"tables", "tensorflow", "torch", "xarray", "zarr"}
)
_ABSENT = object()

_REMEDY = (
    "Use plain data here: numbers, text, lists, mappings, dates, paths, dataclasses or pydantic "
    "models; or give the class a method __consist_identity__ that returns plain data. A value that "
    "must not take part in identity belongs in runtime_kwargs."
)
_DATA_REMEDY = (
    "Data does not belong in a config: write it to a file and pass that file as an input, or log "
    "it as an artifact of an earlier step. For a single timestamp use .to_pydatetime()."
)
_CALLABLE_REMEDY = (
    "Give its name as text and look it up inside the step, or let the step's code hold it."
)
_DEPTH_REMEDY = "The value contains itself, or is nested deeper than a config can be; flatten it."


class Refused(Exception):
    """A value without identity, on its way up; every container adds its step of the key path."""

    def __init__(self, type_name: str, remedy: str) -> None:
        super().__init__(type_name, remedy)
        self.type_name, self.remedy = type_name, remedy
        self.steps: list[str] = []

    def at(self, where: str) -> UnhashableValue:
        """Turn this into the error that callers see, for a value called ``where``."""
        steps = self.steps[::-1]
        if len(steps) > 12:
            steps = [*steps[:6], "…", *steps[-3:]]
        return hint(UnhashableValue(where + "".join(steps), self.type_name), self.remedy)


def kind_of(cls: type[Any]) -> str:
    """Name the kind that the values of a class have.

    Raises
    ------
    Refused
        If they have no defined identity.
    """
    kind = _BY_CLASS.get(cls) or _learned.get(cls)
    if kind is None:
        kind = _learned[cls] = _classify(cls)
    return kind


_learned: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def _classify(cls: type[Any]) -> str:
    root = cls.__module__.partition(".")[0]
    if issubclass(cls, Enum):
        return "enum"
    if root in _DATA_LIBRARIES:
        raise Refused(type_name(cls), _DATA_REMEDY)
    if hasattr(cls, "__consist_identity__"):
        return "custom"
    if hasattr(cls, "get_secret_value"):
        return "secret"
    if any(hasattr(cls, mark) for mark in _FIELD_MARKS):
        return "object"
    if hasattr(cls, "_fields") and issubclass(cls, tuple):
        return "namedtuple"
    return _classify_by_bases(cls)


def _classify_by_bases(cls: type[Any]) -> str:
    for base in cls.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if base in _BY_CLASS:
            return _BY_CLASS[base]
        if name in _BY_NAME:
            return _BY_NAME[name]
        if name in _ARRAYS and base is cls:
            return "array"
    for abstract, kind in _ABSTRACT.items():
        if issubclass(cls, abstract):
            return kind
    callable_values = any("__call__" in vars(base) for base in cls.__mro__)
    raise Refused(type_name(cls), _CALLABLE_REMEDY if callable_values else _REMEDY)


def type_name(cls: type[Any]) -> str:
    """Name a class the way people write it, such as ``pandas.DataFrame`` or ``dict``."""
    root = cls.__module__.partition(".")[0]
    return cls.__qualname__ if root == "builtins" else f"{root}.{cls.__qualname__}"


def too_deep(value: object) -> Refused:
    """Return the refusal of a container that lies below the last level allowed."""
    return Refused(f"{type_name(type(value))} below too many levels", _DEPTH_REMEDY)


def fields_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of every field of a model, dataclass, attrs class or msgspec struct.

    Fields are read, not dumped: what a dump leaves out is there, and so are the extra fields of a
    pydantic model. Private attributes and fields that were never set are not.
    """
    # Read around descriptors where possible: those of deprecated fields warn.
    state: dict[str, Any] = getattr(value, "__dict__", {})
    for name in _field_names(type(value)):
        item = state[name] if name in state else getattr(value, name, _ABSENT)
        if item is not _ABSENT:
            yield name, item
    yield from (getattr(value, "__pydantic_extra__", None) or {}).items()


def hidden_fields(cls: Any) -> frozenset[str]:
    """Name the fields that the author of a pydantic model keeps out of every dump."""
    fields: dict[str, Any] = getattr(cls, "model_fields", None) or {}
    return frozenset(name for name, field in fields.items() if getattr(field, "exclude", False))


def _field_names(cls: Any) -> list[str]:
    if hasattr(cls, "__dataclass_fields__"):
        return [field.name for field in dataclasses.fields(cls)]
    if hasattr(cls, "__attrs_attrs__"):
        return [field.name for field in cls.__attrs_attrs__]
    if hasattr(cls, "__struct_fields__"):
        return list(cls.__struct_fields__)
    return list(cls.model_fields)
