"""Facets: what was stored of them, by value, and the runs that have a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from consist.errors import UsageError, WrongType, a_kind, hint
from consist.models.facet import ConfigFacet, RunConfigKV
from consist.models.run import Run
from consist.query import arguments as given
from consist.query.ask import asking, columns, every, rows_as
from consist.query.conditions import Condition, begins_with, leaf_is, leaf_value
from consist.query.meant import meant_run
from consist.query.newest import newest_runs
from consist.types import check_option

if TYPE_CHECKING:
    from consist.workspace import Workspace

VALUE_TYPES = ("str", "int", "float", "bool", "null", "json")

# ---------------------------------------------------------------- facets


def get_config_facet(ws: Workspace, facet_id: str) -> ConfigFacet | None:
    """Return a stored facet by its id; ``None`` if there is none, or no database.

    The metadata of a run name its facet as ``config_facet_id``. Where the same values are stored
    under several namespaces or schemas, this is the first of them.
    """
    facet_id = given.required_text("facet_id", facet_id)
    if not ws.store.has_database:
        return None
    facet = columns(ConfigFacet)
    statement = every(ConfigFacet).where(facet.id == facet_id).order_by(facet.created_at).limit(1)
    with asking(ws) as ask:
        found = rows_as(ws, ConfigFacet, ask(statement))
    return found[0] if found else None


def get_config_facets(
    ws: Workspace,
    *,
    namespace: str | None = None,
    schema_name: str | None = None,
    limit: int = 100,
) -> list[ConfigFacet]:
    """Return the distinct stored facets, newest first; empty without a database.

    Parameters
    ----------
    namespace : str, optional
        Model that they were recorded by.
    schema_name : str, optional
        Class of the model object that they were made of.
    limit : int, default 100
        Most facets to return.
    """
    limit = given.limit_of(limit)
    wanted = {
        "namespace": given.text("namespace", namespace),
        "schema_name": given.text("schema_name", schema_name),
    }
    if not ws.store.has_database:
        return []
    facet = columns(ConfigFacet)
    conditions = [facet[name] == value for name, value in wanted.items() if value is not None]
    order = facet.created_at.desc(), facet.id, facet.namespace
    statement = every(ConfigFacet).where(*conditions).order_by(*order).limit(limit)
    with asking(ws) as ask:
        return rows_as(ws, ConfigFacet, ask(statement))


# ---------------------------------------------------------------- values of one run


def get_run_config_kv(
    ws: Workspace,
    run_id: str,
    *,
    namespace: str | None = None,
    prefix: str | None = None,
    limit: int = 10_000,
) -> list[RunConfigKV]:
    """Return the stored rows of a run's facet, one per value, by key.

    Parameters
    ----------
    run_id : str
        The run; the plain id of several attempts means the active one, else the latest completed.
    namespace : str, optional
        Only of this namespace.
    prefix : str, optional
        Only keys that begin with this text, such as ``"inputs."``.
    limit : int, default 10,000
        Most rows to return.

    Returns
    -------
    list of RunConfigKV
        Empty without a database, for an unknown run and for one whose facet is not indexed.
    """
    return _rows(ws, run_id, namespace, prefix, None, limit, of_model=False)


def get_config_values(
    ws: Workspace,
    run_id: str,
    *,
    namespace: str | None = None,
    prefix: str | None = None,
    keys: Iterable[str] | None = None,
    limit: int = 10_000,
) -> dict[str, Any]:
    r"""Return the facet of a run as flattened keys and values, each of the type it was given with.

    Parameters
    ----------
    run_id, prefix, limit
        As for :func:`get_run_config_kv`.
    namespace : str, optional
        By default the model of the run.
    keys : iterable of str, optional
        Only these keys, written as they are stored: levels are joined by dots, and a dot inside
        a name is ``\.``.

    Returns
    -------
    dict
        Integers, floats, truth values, text, ``None`` and lists; empty where there is nothing.
    """
    wanted = None if keys is None else given.texts("keys", keys)
    rows = _rows(ws, run_id, namespace, prefix, wanted, limit, of_model=True)
    return {row.key: value_of(row) for row in rows}


def get_config_value(
    ws: Workspace, run_id: str, key: str, *, namespace: str | None = None, default: Any = None
) -> Any:
    """Return one value of a run's facet, or ``default`` if it has no such key.

    Parameters
    ----------
    run_id, key, namespace
        As for :func:`get_config_values`.
    default : object, optional
        Returned where nothing is stored; a stored ``None`` is returned as ``None``.
    """
    key = given.required_text("key", key)
    rows = _rows(ws, run_id, namespace, None, [key], 1, of_model=True)
    return value_of(rows[0]) if rows else default


def value_of(row: RunConfigKV) -> Any:
    """Return the value of a stored row."""
    return leaf_value(
        row.value_type, row.value_str, row.value_num, row.value_int, row.value_bool, row.value_json
    )


def _rows(
    ws: Workspace,
    run_id: str,
    namespace: str | None,
    prefix: str | None,
    keys: list[str] | None,
    limit: int,
    *,
    of_model: bool,
) -> list[RunConfigKV]:
    run_id = given.required_text("run_id", run_id)
    namespace, prefix = given.text("namespace", namespace), given.text("prefix", prefix)
    limit = given.limit_of(limit)
    if not ws.store.has_database:
        return []
    kv = columns(RunConfigKV)
    with asking(ws) as ask:
        meant = meant_run(ws, run_id, ask)
        if meant is None:
            return []
        # Rows are stored with the time of their run, by which DuckDB skips all others.
        conditions = [kv.run_id == meant.id, kv.created_at == meant.created_at]
        if namespace is not None or of_model:
            conditions.append(kv.namespace == (meant.model if namespace is None else namespace))
        conditions += begins_with(kv.key, prefix)
        if keys is not None:
            conditions.append(kv.key.in_(keys))
        order = kv.key, kv.namespace
        statement = every(RunConfigKV).where(*conditions).order_by(*order).limit(limit)
        return rows_as(ws, RunConfigKV, ask(statement))


# ---------------------------------------------------------------- runs with a value


def find_runs_by_facet_kv(
    ws: Workspace,
    *,
    namespace: str,
    key: str,
    value_type: str | None = None,
    value_str: str | None = None,
    value_num: float | None = None,
    value_bool: bool | None = None,
    limit: int = 100,
) -> list[Run]:
    r"""Return the runs whose facet has a value under a key, newest first.

    Without a value, those that have the key at all.

    Parameters
    ----------
    namespace : str
        Model that the facet was recorded by.
    key : str
        Key as it is stored: levels are joined by dots, and a dot inside a name is ``\.``.
    value_type : {"str", "int", "float", "bool", "null", "json"}, optional
        Only values of this type. Without it, ``value_num`` matches integers and floats.
    value_str : str, optional
        Text to match.
    value_num : int or float, optional
        Number to match, exactly: a Python integer of any size equals no other.
    value_bool : bool, optional
        Truth value to match.
    limit : int, default 100
        Most runs to return.

    Returns
    -------
    list of Run
        Empty without a database.

    Raises
    ------
    ValueError
        If several values are given, or one that is never of ``value_type``.
    TypeError
        If a value is of another type than its name says.
    """
    limit = given.limit_of(limit)
    given.required_text("namespace", namespace)
    given.required_text("key", key)
    value = _one_value(value_type, value_str, value_num, value_bool)

    def leaf(kv: Any) -> list[Condition]:
        asked = [kv.namespace == namespace, kv.key == key]
        if value_type is not None:
            asked.append(kv.value_type == value_type)
        return asked if value is None else [*asked, leaf_is(kv, value)]

    if not ws.store.has_database:
        return []
    return newest_runs(ws, [], limit, leaves=[leaf])


def _one_value(value_type: str | None, value_str: Any, value_num: Any, value_bool: Any) -> Any:
    """Return the value that is asked for, ``None`` without one."""
    values = {"value_str": value_str, "value_num": value_num, "value_bool": value_bool}
    named = {name: value for name, value in values.items() if value is not None}
    if len(named) > 1:
        problem = UsageError(f"a value of a facet is not {' and '.join(named)} at once")
        raise hint(problem, "pass one of them; to combine keys, use find_runs(facet={...})")
    if value_type is not None:
        check_option("value_type", value_type, VALUE_TYPES)
    for name, value in named.items():
        kinds, fits = _OF_COLUMN[name]
        if not fits(value):
            raise WrongType(f"{name}={value!r} is {a_kind(value)}")
        if value_type not in {None, *kinds}:
            raise UsageError(f"{name} never matches value_type={value_type!r}")
        return value
    return None


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and (
        hasattr(value, "__index__") or (hasattr(value, "__float__") and not isinstance(value, str))
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


_OF_COLUMN: dict[str, tuple[tuple[str, ...], Callable[[Any], bool]]] = {
    "value_str": (("str",), _is_text),
    "value_num": (("int", "float"), _is_number),
    "value_bool": (("bool",), _is_truth),
}
