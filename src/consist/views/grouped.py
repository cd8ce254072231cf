"""One view over many artifacts, chosen by their columns, facets and runs instead of one key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from consist.errors import UsageError, WrongType, a_kind, hint
from consist.query import arguments as given
from consist.types import check_option
from consist.views.attached import attached, facet_columns
from consist.views.members import Member, RunFilter, Selector, find_members
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
    """

    meant: Columns = field(default_factory=Columns)
    facets: Mapping[str, str] = field(default_factory=dict[str, str])
    namespace: str | None = None

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
        # System columns last, as in every view.
        layout = Layout(self.layout.columns, kinds, self.layout.system)
        return members, layout


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
    check_option("mode", mode, MODES)
    check_option("if_exists", if_exists, IF_EXISTS)
    check_option("missing_files", missing_files, MISSING_FILES)
    meant, columns = _selector(schema_id, schema, compatible=_truth(schema_compatible))
    view = GroupedView(
        check_name(view_name),
        _artifacts(ws, given.text("namespace", namespace), params, drivers),
        runs=RunFilter(
            run_id=given.text("run_id", run_id),
            parent_run_id=given.text("parent_run_id", parent_run_id),
            model=given.text("model", model),
            status=given.text("status", status),
            year=given.whole("year", year),
            iteration=given.whole("iteration", iteration),
        ),
        layout=Layout(columns, system=_truth(include_system_columns)),
        mode=cast("Any", mode),
        missing_files=cast("Any", missing_files),
        meant=meant,
        facets=facet_columns(given.texts("attach_facets", attach_facets)),
        namespace=namespace,
    )
    with ws.store.ask() as connection:
        meant.check_recorded(connection)
        if if_exists == "error":
            _check_new(ws, connection, view.name)
    shelf_of(ws).put_now(view)
    return view_name


def _selector(
    schema_id: object, schema: object, *, compatible: bool
) -> tuple[Columns, dict[str, str]]:
    """Return the layouts that are meant, and the columns that come first."""
    if (schema_id is None) == (schema is None):
        which = "neither schema_id nor schema" if schema is None else "both schema_id and schema"
        problem = UsageError(f"create_grouped_view got {which}")
        raise hint(problem, "pass one of them; meta['schema_id'] of an artifact has its id")
    if schema is None:
        if not isinstance(schema_id, str) or not schema_id.strip():
            problem = UsageError(f"schema_id={schema_id!r} is no id of a schema")
            raise hint(problem, "meta['schema_id'] of an artifact has it")
        return Columns(schema_id, compatible=compatible), {}
    columns = _columns_of(schema)
    return Columns(fields=tuple(columns), compatible=compatible), columns


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


def _artifacts(ws: Workspace, namespace: str | None, params: object, drivers: object) -> Selector:
    chosen = Selector("true")
    if drivers is not None:
        chosen &= of_drivers(ws, given.texts("drivers", drivers))
    meeting = None if params is None else of_params(params, namespace)
    return chosen if meeting is None else chosen & meeting


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongType(f"{value!r} is {a_kind(value)}, not a bool")
    return value


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
