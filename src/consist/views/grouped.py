"""One view over many artifacts, chosen by their columns, facets and runs instead of one key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from consist.errors import NotRecorded, UsageError, WrongType, a_kind, hint
from consist.query import arguments as given
from consist.types import check_option
from consist.views.attached import attached, facet_columns
from consist.views.members import EVERY_RUN, Member, RunFilter, Selector, find_members
from consist.views.selection import Columns, of_columns, of_drivers, of_params
from consist.views.shelf import View, check_name, shelf_of
from consist.views.united import SYSTEM_COLUMNS, Layout

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlmodel import SQLModel

    from consist.workspace import Workspace

MODES = ("hybrid", "hot_only", "cold_only")
IF_EXISTS = ("replace", "error")
MISSING_FILES = ("warn", "error", "skip_silent")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a grouped view was asked to be, as plain values; see :func:`create_grouped_view`.

    ``columns`` are names and DuckDB types of the model's columns.
    """

    name: str
    schema_id: Any = None
    columns: dict[str, str] | None = None
    schema_compatible: Any = False
    namespace: Any = None
    params: Any = None
    drivers: Any = None
    attach_facets: Any = None
    include_system_columns: Any = True
    mode: Any = "hybrid"
    missing_files: Any = "warn"
    runs: RunFilter = EVERY_RUN


@dataclass(frozen=True)
class GroupedView(View):
    """A view whose artifacts are chosen anew by each question, and that shows facets of them.

    Attributes
    ----------
    meant : Columns
        Which layouts its artifacts have.
    facets : mapping of str to str
        Keys of facets by the names of their columns.
    namespace : str or None
        Where facets are looked for first.
    asked : Asked
        What it was made of.
    """

    meant: Columns = field(default_factory=Columns)
    facets: Mapping[str, str] = field(default_factory=dict[str, str])
    namespace: str | None = None
    asked: Asked | None = None

    def shown(
        self,
        ws: Workspace,
        connection: DuckDBPyConnection,
        *,
        active: Iterable[str] | None = None,
    ) -> tuple[list[Member], Layout]:
        """Return what the view shows now, with the values and types of its facets."""
        selector = of_columns(connection, self.meant) & self.selector
        found = find_members(ws, connection, selector, self.runs, active=active)
        members, kinds = attached(connection, found, self.facets, self.namespace)
        return members, replace(self.layout, attached=kinds)


def grouped_view(ws: Workspace, asked: Asked) -> GroupedView:
    """Return the view that is asked for.

    Raises
    ------
    ValueError, TypeError
        If something of it cannot be.
    """
    check_option("mode", asked.mode, MODES)
    check_option("missing_files", asked.missing_files, MISSING_FILES)
    columns = asked.columns or {}
    compatible = _truth("schema_compatible", asked.schema_compatible)
    namespace = given.text("namespace", asked.namespace)
    chosen = Selector("true")
    if asked.drivers is not None:
        chosen &= of_drivers(ws, given.texts("drivers", asked.drivers))
    meeting = None if asked.params is None else of_params(asked.params, namespace)
    return GroupedView(
        asked.name,
        chosen if meeting is None else chosen & meeting,
        runs=_checked(asked.runs),
        layout=Layout(
            columns, system=_truth("include_system_columns", asked.include_system_columns)
        ),
        mode=asked.mode,
        missing_files=asked.missing_files,
        meant=Columns(asked.schema_id, tuple(columns), compatible),
        facets=facet_columns(given.texts("attach_facets", asked.attach_facets)),
        namespace=namespace,
        asked=asked,
    )


def _checked(runs: RunFilter) -> RunFilter:
    for name in ("run_id", "parent_run_id", "model", "status"):
        given.text(name, getattr(runs, name))
    numbers = {name: given.whole(name, getattr(runs, name)) for name in ("year", "iteration")}
    return replace(runs, **numbers)


def _truth(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongType(f"{name}={value!r} is {a_kind(value)}, not a bool")
    return value


def create_grouped_view(
    ws: Workspace,
    view_name: str,
    *,
    schema_id: str | None = None,
    schema: type[SQLModel] | None = None,
    namespace: str | None = None,
    params: Iterable[str] | None = None,
    drivers: list[str] | None = None,
    attach_facets: list[str] | None = None,
    include_system_columns: bool = True,
    mode: str = "hybrid",
    if_exists: str = "replace",
    missing_files: str = "warn",
    run_id: str | None = None,
    parent_run_id: str | None = None,
    model: str | None = None,
    status: str | None = None,
    year: int | None = None,
    iteration: int | None = None,
    schema_compatible: bool = False,
) -> str:
    """Make one SQL view over all artifacts of a schema, whatever their keys.

    Rows of ingested artifacts and of the files of all others are united by the names of their
    columns, each row with the run that it is from. The view follows what is recorded: each
    question through this tracker sees the artifacts that meet the conditions by then.

    Parameters
    ----------
    view_name : str
        Name of the view: letters, digits and underscores.
    schema_id : str, optional
        Recorded schema that the artifacts have; in ``artifact.meta["schema_id"]``.
    schema : type, optional
        SQLModel class instead: its columns come first, with its types. Artifacts with exactly its
        fields are shown; where nothing recorded has exactly these, those that lack some of them
        or have more. Either ``schema_id`` or ``schema`` has to be given.
    namespace : str, optional
        Namespace of facets for predicates that name none: the model of the run that gave them.
    params : iterable of str, optional
        Predicates on the facets of artifacts, all of which have to hold: ``key=value``,
        ``key>=value``, ``key<=value``, with a leading namespace as in
        ``beam.phys_sim_iteration=2``.
    drivers : list of str, optional
        Formats, such as ``["parquet"]``; by default all.
    attach_facets : list of str, optional
        Keys of facets to show as columns ``facet_<key>`` (other letters than those of names become
        ``_``): BOOLEAN, BIGINT or DOUBLE if all values are such, else VARCHAR. The value is that
        of the artifact's facet, else that of its run's, else null.
    include_system_columns : bool, default True
        Whether rows have ``consist_run_id``, ``consist_artifact_id``, ``consist_year``,
        ``consist_iteration`` and ``consist_scenario_id``.
    mode : {"hybrid", "hot_only", "cold_only"}
        Ingested rows and the files of all other artifacts, only the former, or files only.
    if_exists : {"replace", "error"}
        What happens if there is a view of this name.
    missing_files : {"warn", "error", "skip_silent"}
        What happens if the recorded bytes of an artifact are gone: it is passed over, with or
        without a warning, or this call and every question to the view is an error.
    run_id : str, optional
        Only artifacts of this run; ``name~1`` is its first attempt.
    parent_run_id : str, optional
        Only artifacts of the runs of this scenario; ``name~1`` is its first attempt.
    model, year, iteration : optional
        Only artifacts of such runs.
    status : str, optional
        Only artifacts of runs of this status, by default ``"completed"``.
    schema_compatible : bool, default False
        Whether artifacts are shown too whose columns are some of those of the schema, or all of
        them and more.

    Returns
    -------
    str
        The name of the view.

    Raises
    ------
    RuntimeError
        Without a database.
    ValueError
        If a selector, predicate, policy or name cannot be, no such schema is recorded, or the view
        exists and ``if_exists="error"``.
    FileNotFoundError
        With ``missing_files="error"``, naming the file.

    Examples
    --------
    >>> tracker.create_grouped_view(  # doctest: +SKIP
    ...     "v_linkstats",
    ...     schema=LinkStats,
    ...     params=["artifact_family=linkstats"],
    ...     attach_facets=["phys_sim_iteration"],
    ... )
    """
    ws.check_database("create_grouped_view")
    check_option("if_exists", if_exists, IF_EXISTS)
    asked = Asked(
        name=check_name(view_name),
        schema_id=_schema_id(schema_id, schema),
        columns=None if schema is None else _columns_of(schema),
        schema_compatible=schema_compatible,
        namespace=namespace,
        params=params if params is None or isinstance(params, str) else [*params],
        drivers=drivers,
        attach_facets=attach_facets,
        include_system_columns=include_system_columns,
        mode=mode,
        missing_files=missing_files,
        runs=RunFilter(run_id, parent_run_id, model, status, year, iteration),
    )
    view = grouped_view(ws, asked)
    with ws.store.ask(views=if_exists == "error") as connection:
        view.meant.check_recorded(connection)
        if if_exists == "error":
            _check_new(ws, connection, view.name)
    shelf_of(ws).put_now(view)
    return view_name


def schema_of_artifact(ws: Workspace, artifact: object) -> str:
    """Return the id of the schema that was seen on an artifact last.

    Raises
    ------
    NotRecorded
        If there is no such artifact.
    UsageError
        If no schema was seen on it.
    """
    artifact_id = given.artifact_id(artifact)
    with ws.store.ask() as connection:
        found = connection.execute(_SEEN_LAST, [artifact_id]).fetchone()
    if found is None:
        raise NotRecorded(artifact_id)
    if found[0] is None:
        problem = UsageError(f"no schema was seen on artifact {artifact_id}")
        raise hint(
            problem, "log it with profile_file_schema=True, or `consist schema capture-file`"
        )
    return str(found[0])


_SEEN_LAST = """
SELECT coalesce(json_extract_string(a.meta, '/schema_id'), o.schema_id)
FROM artifact a LEFT JOIN artifact_schema_observation o ON o.artifact_id = a.id
WHERE a.id = ? ORDER BY o.observed_at DESC LIMIT 1
"""


def _schema_id(schema_id: object, schema: object) -> str | None:
    """Return the id of the schema, nothing with a model."""
    if (schema_id is None) == (schema is None):
        which = "neither schema_id nor schema" if schema is None else "both schema_id and schema"
        problem = UsageError(f"create_grouped_view got {which}")
        raise hint(problem, "pass one of them; meta['schema_id'] of an artifact has its id")
    if schema is None and not (isinstance(schema_id, str) and schema_id.strip()):
        problem = UsageError(f"schema_id={schema_id!r} is no id of a schema")
        raise hint(problem, "meta['schema_id'] of an artifact has it")
    return cast("str | None", schema_id)


def _columns_of(schema: object) -> dict[str, str]:
    """Return the columns of a model and their DuckDB types, those of the library left out."""
    from sqlmodel import SQLModel

    from consist.hot.model_layout import layout_of_model

    model = schema if isinstance(schema, type) and issubclass(schema, SQLModel) else None
    found = None if model is None else layout_of_model(model)
    if found is None:
        said = schema.__name__ if isinstance(schema, type) else a_kind(schema)
        problem = UsageError(f"schema={said} is no SQLModel class with fields")
        raise hint(problem, "pass a class, such as class LinkStats(SQLModel): link: int")
    return {each.name: each.type for each in found.fields if each.name not in SYSTEM_COLUMNS}


def _check_new(ws: Workspace, connection: DuckDBPyConnection, name: str) -> None:
    """Refuse the name of a view that there is, of this tracker or in the database."""
    known = shelf_of(ws).get(name) is not None
    if not known:
        found = connection.execute(
            "SELECT 1 FROM duckdb_views() WHERE lower(view_name) = lower(?)"
            " AND schema_name = 'main' AND NOT internal LIMIT 1",
            [name],
        )
        known = found.fetchone() is not None
    if known:
        problem = UsageError(f"there is a view {name!r}")
        raise hint(problem, "choose another name, or pass if_exists='replace'")
