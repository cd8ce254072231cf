"""Two files of labelled arrays, variable by variable and block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from consist.comparison.columns import Tolerance
from consist.comparison.differences import ArrayComparison, VariableChange

if TYPE_CHECKING:
    from xarray import Dataset

BLOCK = 4 << 20
"""Most values that are read at once of each side."""


def compare_arrays(left: Dataset, right: Dataset, tolerance: Tolerance) -> ArrayComparison:
    """Compare two datasets; NaN equals itself, and values of another shape are not compared."""
    names = [*left.variables, *(name for name in right.variables if name not in left.variables)]
    changes = (_variable(left, right, name, tolerance) for name in names)
    return ArrayComparison(tuple(change for change in changes if change is not None))


def _variable(
    left: Dataset, right: Dataset, name: Any, tolerance: Tolerance
) -> VariableChange | None:
    if name not in right.variables:
        return VariableChange(str(name), "removed", left=_told(left.variables[name]))
    if name not in left.variables:
        return VariableChange(str(name), "added", right=_told(right.variables[name]))
    old, new = left.variables[name], right.variables[name]
    told = _told(old), _told(new)
    if old.dims != new.dims or old.shape != new.shape:
        return VariableChange(str(name), "reshaped", *told)
    found = _values(old, new, tolerance)
    if found["values"]:
        return VariableChange(str(name), "changed", *told, size=int(old.size), **found)
    if old.dtype != new.dtype:
        return VariableChange(str(name), "retyped", *told, size=int(old.size))
    return None


def _told(variable: Any) -> str:
    sizes = ", ".join(f"{dim}: {length}" for dim, length in variable.sizes.items())
    return f"{variable.dtype} ({sizes})"


def _values(old: Any, new: Any, tolerance: Tolerance) -> dict[str, Any]:
    found: dict[str, Any] = {"values": 0, "max_abs": None, "max_rel": None, "example": {}}
    for block in _blocks(old.sizes):
        mine, yours = old[block].values, new[block].values
        differs = _differs(mine, yours, tolerance)
        count = int(differs.sum())
        if not count:
            continue
        if not found["values"]:
            found["example"] = _example(block, mine, yours, differs)
        found["values"] += count
        for name, value in _greatest(mine, yours, differs).items():
            found[name] = value if found[name] is None else max(found[name], value)
    return found


def _blocks(sizes: Mapping[Any, int]) -> Iterator[dict[Any, slice]]:
    """Yield slices that cover an array, none of more than :data:`BLOCK` values."""
    room = BLOCK
    steps: dict[Any, int] = {}
    for dim, length in reversed([*sizes.items()]):
        steps[dim] = max(1, min(length, room))
        room //= steps[dim]
    ranges = ([(dim, at) for at in range(0, sizes[dim], steps[dim])] for dim in sizes)
    for starts in product(*ranges):
        yield {dim: slice(at, at + steps[dim]) for dim, at in starts}


def _differs(mine: Any, yours: Any, tolerance: Tolerance) -> Any:
    import numpy as np

    mine, yours = np.asarray(mine), np.asarray(yours)
    differs = np.asarray(mine != yours)
    both = np.asarray(_missing(mine) & _missing(yours))
    differs &= ~both
    is_tolerant = (
        _is_number(mine) and _is_number(yours) and "f" in mine.dtype.kind + yours.dtype.kind
    )
    if tolerance and is_tolerant and differs.any():
        with np.errstate(invalid="ignore", over="ignore"):
            a, b = mine.astype(float), yours.astype(float)
            apart = np.abs(a - b)
            share = tolerance.rtol * np.maximum(np.abs(a), np.abs(b))
            close = np.isfinite(apart) & (apart <= np.maximum(tolerance.atol, share))
        differs &= ~close
    return differs


def _missing(values: Any) -> Any:
    import numpy as np

    if values.dtype.kind in "fcmM":
        return np.isnan(values) if values.dtype.kind in "fc" else np.isnat(values)
    if values.dtype.kind == "O":
        return np.asarray(values != values)  # noqa: PLR0124 - so NaN tells itself
    return np.zeros(values.shape, bool)


def _is_number(values: Any) -> bool:
    return values.dtype.kind in "iuf"


def _greatest(mine: Any, yours: Any, differs: Any) -> dict[str, float]:
    import numpy as np

    mine, yours = np.asarray(mine), np.asarray(yours)
    if not (_is_number(mine) and _is_number(yours)):
        return {}
    with np.errstate(all="ignore"):
        a, b = mine[differs].astype(np.longdouble), yours[differs].astype(np.longdouble)
        apart = np.abs(a - b)
        finite = np.isfinite(apart)
        if not finite.any():
            return {}
        share = (apart / np.maximum(np.abs(a), np.abs(b)))[finite]
    return {"max_abs": float(apart[finite].max()), "max_rel": float(share.max())}


def _example(block: dict[Any, slice], mine: Any, yours: Any, differs: Any) -> dict[str, Any]:
    import numpy as np

    first = np.unravel_index(int(np.argmax(differs)), differs.shape)
    at = {
        str(dim): int(part.start + i) for (dim, part), i in zip(block.items(), first, strict=True)
    }
    return {
        **at,
        "left": _plain(np.asarray(mine)[first]),
        "right": _plain(np.asarray(yours)[first]),
    }


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return plain if isinstance(plain, int | float | bool | str) else str(value)
