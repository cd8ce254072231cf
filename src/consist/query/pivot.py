"""Facets of many runs side by side, one column per key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Subquery, case, func, select

from consist.errors import InvalidOption, UnknownKey, UsageError, hint
from consist.models.facet import RunConfigKV
from consist.query import arguments as given
from consist.query.ask import columns

VALUE_COLUMNS = ("value_num", "value_int", "value_str", "value_bool", "value_json")


def pivot_facets(
    *,
    keys: Iterable[str],
    namespace: str | None = None,
    value_columns: Mapping[str, str] | None = None,
    value_column: str = "value_num",
    label_prefix: str = "",
    label_map: Mapping[str, str] | None = None,
    run_id_label: str = "run_id",
) -> Subquery:
    r"""Return the values of facets as a table to select from: a row per run, a column per key.

    Runs that have none of the keys have no row; a key that a run lacks, or has with a value of
    another column, is ``NULL``.

    Parameters
    ----------
    keys : iterable of str
        Keys as they are stored: levels are joined by dots, and a dot inside a name is ``\.``.
    namespace : str, optional
        Model that the facets were recorded by; by default any.
    value_columns : mapping of str to str, optional
        Column that a key's values are in, where it is not ``value_column``: ``value_str`` for
        text, ``value_bool``, ``value_json`` for lists, ``value_int`` for whole numbers that a
        double does not hold exactly.
    value_column : str, default "value_num"
        Column of all other keys.
    label_prefix : str, default ""
        Begins the name of each key's column.
    label_map : mapping of str to str, optional
        Names of columns by key, instead of the key itself.
    run_id_label : str, default "run_id"
        Name of the column with the run's id.

    Returns
    -------
    sqlalchemy.Subquery
        To be selected from and joined, for instance on ``consist_run_id`` of a view.

    Raises
    ------
    ValueError
        If there is no key, a column of values is unknown, or two columns have one name.
    KeyError
        If ``value_columns`` or ``label_map`` names a key that is not among ``keys``.

    Examples
    --------
    >>> params = pivot_facets(
    ...     namespace="simulate", keys=["alpha", "mode"], value_columns={"mode": "value_str"}
    ... )
    >>> params.c.keys()
    ['run_id', 'alpha', 'mode']
    """
    wanted = list(dict.fromkeys(given.texts("keys", keys)))
    if not wanted:
        raise hint(UsageError("pivot_facets got no keys"), 'pass keys=["alpha", ...]')
    kinds = given.mapping("value_columns", value_columns)
    names = given.mapping("label_map", label_map)
    _check_known("value_columns", kinds, wanted)
    _check_known("label_map", names, wanted)
    for option, kind in {"value_column": value_column, **kinds}.items():
        _check_column(option, kind)
    labels = [label_prefix + names.get(key, key) for key in wanted]
    _check_different([run_id_label, *labels])
    kv = columns(RunConfigKV)
    values = [
        _value_of(kv, key, kinds.get(key, value_column)).label(label)
        for key, label in zip(wanted, labels, strict=True)
    ]
    statement = select(kv.run_id.label(run_id_label), *values).where(kv.key.in_(wanted))
    if given.text("namespace", namespace) is not None:
        statement = statement.where(kv.namespace == namespace)
    return statement.group_by(kv.run_id).subquery()


def _value_of(kv: Any, key: str, column: str) -> Any:
    condition = kv.key == key
    if column == "value_str":  # which also says lists that JSON has no place for
        condition &= kv.value_type != "json"
    return func.max(case((condition, kv[column])), type_=kv[column].type)


def _check_column(option: str, column: object) -> None:
    if column not in VALUE_COLUMNS:
        name = option if option == "value_column" else f"value_columns[{option!r}]"
        raise InvalidOption(name, column, VALUE_COLUMNS)


def _check_known(option: str, mapping: Mapping[str, Any], keys: list[str]) -> None:
    for key in mapping:
        if key not in keys:
            raise UnknownKey(key, f"the keys that {option} speaks of", tuple(keys))


def _check_different(labels: list[str]) -> None:
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        problem = UsageError(f"two columns of the pivot are called {', '.join(twice)}")
        raise hint(problem, "label_map={key: name} and run_id_label= give them other names")
