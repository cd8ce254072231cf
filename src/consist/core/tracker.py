"""``Tracker``: construction, open and close, and a table of contents of every verb."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from consist import artifacts
from consist.active import ActiveRuns
from consist.core.tracker_config import TrackerConfig
from consist.errors import UsageError, WrongType
from consist.files import Files
from consist.formats import Formats
from consist.hooks import Hooks
from consist.identity import CodeIdentity, LoadedSources
from consist.lazily import LazyRoom
from consist.runs import folders, frames, lifecycle, outputs
from consist.runs import run as _run
from consist.runs.environment import forget_environment
from consist.runs.identify import is_not_code
from consist.settings import Settings, given
from consist.step import define_step
from consist.store.base import Store
from consist.store.embedded import EmbeddedStore
from consist.store.unindexed import UnindexedStore
from consist.types import (
    ACCESS_MODES,
    CODE_IDENTITIES,
    HASHING_STRATEGIES,
    PathLike,
    check_option,
    is_mapping,
    is_path,
    is_sequence_of_values,
)
from consist.workspace import Workspace

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlmodel import SQLModel

    from consist.comparison import compare as comparison
    from consist.hot import ingest as hot
    from consist.hot import registered, schema_export
    from consist.maintenance import changes
    from consist.maintenance import collect as collect_
    from consist.maintenance import copies as copies_
    from consist.maintenance import doctor as doctor_
    from consist.maintenance import inspect as inspect_
    from consist.maintenance import purge as purge_
    from consist.maintenance import rebuild as rebuild_
    from consist.maintenance import shards as shards_
    from consist.maintenance import verify as verify_
    from consist.models.run import ConsistRecord, Run
    from consist.query import artifacts as find_artifacts_
    from consist.query import ask, config_bundle, diff, environment, facets, related, runset
    from consist.query import history as history_
    from consist.query import lineage as lineage_
    from consist.query import runs as find_runs_
    from consist.runs import explain as _explain
    from consist.runs import trace as _trace
    from consist.views import grouped as grouped_
    from consist.views import hybrid
    from consist.views import matrix as matrix_
    from consist.views.hybrid import Views
    from consist.workflow import scenario as _scenario
else:
    _trace = LazyRoom("consist.runs.trace")
    _explain = LazyRoom("consist.runs.explain")
    _scenario = LazyRoom("consist.workflow.scenario")
    find_runs_ = LazyRoom("consist.query.runs")
    history_ = LazyRoom("consist.query.history")
    find_artifacts_ = LazyRoom("consist.query.artifacts")
    lineage_ = LazyRoom("consist.query.lineage")
    ask = LazyRoom("consist.query.ask")
    runset = LazyRoom("consist.query.runset")
    diff = LazyRoom("consist.query.diff")
    config_bundle = LazyRoom("consist.query.config_bundle")
    facets = LazyRoom("consist.query.facets")
    related = LazyRoom("consist.query.related")
    environment = LazyRoom("consist.query.environment")
    hybrid = LazyRoom("consist.views.hybrid")
    grouped_ = LazyRoom("consist.views.grouped")
    matrix_ = LazyRoom("consist.views.matrix")
    hot = LazyRoom("consist.hot.ingest")
    schema_export = LazyRoom("consist.hot.schema_export")
    registered = LazyRoom("consist.hot.registered")
    changes = LazyRoom("consist.maintenance.changes")
    comparison = LazyRoom("consist.comparison.compare")
    collect_ = LazyRoom("consist.maintenance.collect")
    copies_ = LazyRoom("consist.maintenance.copies")
    doctor_ = LazyRoom("consist.maintenance.doctor")
    inspect_ = LazyRoom("consist.maintenance.inspect")
    purge_ = LazyRoom("consist.maintenance.purge")
    rebuild_ = LazyRoom("consist.maintenance.rebuild")
    shards_ = LazyRoom("consist.maintenance.shards")
    verify_ = LazyRoom("consist.maintenance.verify")

__all__ = ["Tracker"]

C = TypeVar("C", bound=Callable[..., Any])


class Tracker(Workspace):
    """Remembers what was run, on what, and with what result.

    Parameters
    ----------
    run_dir, db_path, mounts, project_root, hashing_strategy, cache_epoch, schemas, access_mode, \
run_subdir_fn, allow_external_paths, code_identity
        See :class:`~consist.core.tracker_config.TrackerConfig`.

    Notes
    -----
    A tracker is extended by adding methods and hooks: verbs do not call each other through
    ``self``, so overriding one does not change the others.

    Examples
    --------
    >>> with Tracker(run_dir="./runs", db_path="./provenance.duckdb") as tracker:  # doctest: +SKIP
    ...     result = tracker.run(clean, inputs={"raw": "raw.csv"}, outputs=["clean"])
    """

    def __init__(
        self,
        run_dir: PathLike,
        db_path: PathLike | None = None,
        *,
        mounts: Mapping[str, PathLike] | None = None,
        project_root: PathLike = ".",
        hashing_strategy: str = "full",
        cache_epoch: int = 1,
        schemas: Sequence[type[SQLModel]] | None = None,
        access_mode: str = "standard",
        run_subdir_fn: Callable[[Run], str] | None = None,
        allow_external_paths: bool | None = None,
        code_identity: str | None = None,
    ) -> None:
        if code_identity is not None:
            check_option("code_identity", code_identity, CODE_IDENTITIES)
        check_option("access_mode", access_mode, ACCESS_MODES)
        check_option("hashing_strategy", hashing_strategy, HASHING_STRATEGIES)
        _check_types(mounts, schemas, run_subdir_fn, allow_external_paths)
        known = _by_name(schemas)
        settings = Settings.from_environment()
        root = Path(os.path.abspath(run_dir))  # noqa: PTH100 - links are kept as given
        database = None if db_path is None else Path(os.path.abspath(db_path))  # noqa: PTH100
        super().__init__(
            store=_open_store(root, database, settings, read_only=access_mode == "read_only"),
            files=Files.at(
                root,
                mounts,
                memo_path=_memo_path(database, access_mode),
                strategy="fast" if hashing_strategy == "fast" else "full",
            ),
            formats=Formats(),
            active=ActiveRuns(),
            hooks=Hooks(),
            identity=CodeIdentity(project_root),
            loaded=LoadedSources(project_root),
            settings=settings,
            run_dir=root,
            db_path=database,
            project_root=Path(os.path.abspath(project_root)),  # noqa: PTH100
            cache_epoch=_epoch(cache_epoch),
            code_identity=code_identity,
            access_mode=access_mode,
            allow_external_paths=(
                settings.allow_external_paths
                if allow_external_paths is None
                else allow_external_paths
            ),
            run_subdir_fn=run_subdir_fn,
            schemas=known,
        )
        self.opener = _Opener(
            TrackerConfig(
                run_dir=root,
                db_path=database,
                mounts=dict(self.files.mounts.roots),
                project_root=self.project_root,
                hashing_strategy=hashing_strategy,
                cache_epoch=cache_epoch,
                schemas=None if schemas is None else list(known.values()),
                access_mode=access_mode,
                run_subdir_fn=run_subdir_fn,
                allow_external_paths=self.allow_external_paths,
                code_identity=code_identity,
            ),
            settings,
        )
        self._serve_views()
        self.identity = CodeIdentity(
            self.project_root, lambda path: is_not_code(self, path), self.files.digest, self.loaded
        )

    def _serve_views(self) -> None:
        """Let questions and merges find the views of schemas and of the database."""
        looks = self.access_mode != "standard"

        def furnish(connection: Any, revision: int) -> None:
            from consist.views.serving import serve

            serve(self, connection, revision)

        def publish(connection: Any) -> None:
            from consist.views.serving import publish_views

            publish_views(self, connection)

        if self.store.has_database and (self.schemas or looks):
            self.store.furnish(furnish)
        if self.store.has_database and not looks:
            self.store.publish(publish)

    @classmethod
    def from_config(cls, config: TrackerConfig) -> Tracker:
        """Build a tracker from a :class:`~consist.core.tracker_config.TrackerConfig`."""
        return cls(**{name: getattr(config, name) for name in config.__dataclass_fields__})

    # ------------------------------------------------------------ life

    def close(self) -> None:
        """Finish what is pending, merge what can be merged in two seconds, release every file.

        A closed tracker records nothing more; closing it again does nothing.
        """
        if not self.closed:
            self.closed = True
            self.active.abandon()
            forget_environment(self)
            self.store.close()  # whose last merge looks at files
            self.files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        database = None if self.db_path is None else str(self.db_path)
        return f"Tracker(run_dir={str(self.run_dir)!r}, db_path={database!r})"

    # ------------------------------------------------------------ run

    run = _run.run
    explain = _explain.explain
    trace = _trace.trace
    scenario = _scenario.scenario
    start_run = _trace.start_run
    begin_run = _trace.begin_run
    end_run = _trace.end_run

    def define_step(self, **kwargs: Any) -> Callable[[C], C]:
        """Attach defaults to a step function; the same as ``consist.define_step``."""
        return define_step(**kwargs)

    # ------------------------------------------------------------ record

    log_artifact = artifacts.log_artifact
    log_artifacts = artifacts.log_artifacts
    log_input = artifacts.log_input
    log_output = artifacts.log_output
    log_dataframe = frames.log_dataframe
    log_meta = lifecycle.log_meta
    register_artifact_facet_parser = artifacts.register_artifact_facet_parser
    ingest = hot.ingest
    export_schema_sqlmodel = schema_export.export_schema_sqlmodel
    get_registered_schema = registered.get_registered_schema
    capture_outputs = outputs.capture_outputs
    output_dir = folders.output_dir
    output_path = folders.output_path
    run_artifact_dir = folders.run_artifact_dir

    # ------------------------------------------------------------ inside a hit

    cached_artifacts = _trace.cached_artifacts
    cached_output = _trace.cached_output
    suspend_cache_options = _trace.suspend_cache_options
    restore_cache_options = _trace.restore_cache_options

    # ------------------------------------------------------------ read

    load = artifacts.load
    load_df = artifacts.load_df
    load_relation = artifacts.load_relation
    materialize = artifacts.materialize

    load_run_output = find_artifacts_.load_run_output
    load_input_bundle = find_artifacts_.load_input_bundle

    # ------------------------------------------------------------ ask

    get_run = find_runs_.get_run
    find_run = find_runs_.find_run
    find_runs = find_runs_.find_runs
    find_latest_run = find_runs_.find_latest_run
    get_latest_run_id = find_runs_.get_latest_run_id
    run_set = runset.run_set
    diff_runs = diff.diff_runs
    find_matching_run = find_runs_.find_matching_run
    find_matching_runs = find_runs_.find_matching_runs
    find_recent_completed_runs_for_model = find_runs_.find_recent_completed_runs_for_model
    find_runs_by_facet_kv = facets.find_runs_by_facet_kv
    get_config_facet = facets.get_config_facet
    get_config_facets = facets.get_config_facets
    get_run_config_kv = facets.get_run_config_kv
    get_config_values = facets.get_config_values
    get_config_value = facets.get_config_value
    get_run_record = find_runs_.get_run_record
    get_run_config = find_runs_.get_run_config
    get_run_environment = environment.get_run_environment
    history = history_.history
    get_artifact = find_artifacts_.get_artifact
    get_artifact_by_uri = find_artifacts_.get_artifact_by_uri
    find_artifacts = find_artifacts_.find_artifacts
    find_artifacts_by_params = related.find_artifacts_by_params
    find_artifacts_with_same_content = related.find_artifacts_with_same_content
    find_runs_producing_same_content = related.find_runs_producing_same_content
    get_child_artifacts = related.get_child_artifacts
    get_parent_artifact = related.get_parent_artifact
    get_artifacts_for_run = find_artifacts_.get_artifacts_for_run
    get_run_inputs = find_artifacts_.get_run_inputs
    get_run_outputs = find_artifacts_.get_run_outputs
    get_run_artifact = find_artifacts_.get_run_artifact
    get_config_bundle = config_bundle.get_config_bundle
    resolve_historical_path = find_artifacts_.resolve_historical_path
    lineage = lineage_.lineage
    get_artifact_lineage = lineage_.get_artifact_lineage
    print_lineage = lineage_.print_lineage
    run_query = ask.run_query
    db_session = ask.db_session
    compare = comparison.compare
    view = hybrid.view
    register_views = hybrid.register_views
    create_view = hybrid.create_view
    create_grouped_view = grouped_.create_grouped_view
    load_matrix = matrix_.load_matrix

    # ------------------------------------------------------------ mend the record

    annotate = changes.annotate
    invalidate = changes.invalidate
    fix_status = changes.fix_status
    # ------------------------------------------------------------ keep healthy

    inspect_db = inspect_.inspect_db
    doctor_db = doctor_.doctor_db
    snapshot_db = copies_.snapshot_db
    compact_db = copies_.compact_db
    rebuild_db = rebuild_.rebuild_db
    export_db = shards_.export_db
    merge_db = shards_.merge_db
    purge_db = purge_.purge_db
    collect_garbage = collect_.collect_garbage
    verify = verify_.verify
    validate = verify_.validate

    # ------------------------------------------------------------ facts

    @property
    def is_cached(self) -> bool:
        """Whether the active run is a cache hit; false where none is active."""
        run = self.active.find("is_cached")
        return run is not None and run.hit is not None

    @property
    def last_run(self) -> ConsistRecord | None:
        """Everything about the run that this tracker ended last; ``None`` before the first."""
        document = self.memory.get("last_run")
        if document is None:
            return None
        from consist.models.run import ConsistRecord

        return ConsistRecord(document, self.path_of)

    @property
    def registered_schemas(self) -> Mapping[str, type[SQLModel]]:
        """The registered SQLModel classes by name, read-only."""
        return MappingProxyType(dict(self.schemas))

    @property
    def views(self) -> Views:
        """The views of registered models as SQLModel classes: ``tracker.views.Person``.

        They are there from the start; what is recorded shows in them by each question.
        """
        from consist.views.hybrid import views_of

        return views_of(self)

    @property
    def engine(self) -> Engine | None:
        """SQLAlchemy engine over everything acknowledged; ``None`` without a database.

        Its connections attach the database file only while they are checked out.
        """
        return self.store.engine

    @property
    def metadata_store(self) -> Store:
        """The store, as the home of runs, artifacts and links."""
        return self.store

    @property
    def hot_data_store(self) -> Store:
        """The store, as the home of ingested rows; the same file."""
        return self.store

    def rebuild(self, *run_dirs: PathLike) -> int:
        """Take in the runs whose snapshots the database does not know.

        A database that was deleted is filled again by itself; this is for one whose journal
        folder is gone as well, or for run folders that come from elsewhere.

        Parameters
        ----------
        *run_dirs : str or Path
            Folders that hold ``consist_runs``; by default the one of this tracker.

        Returns
        -------
        int
            How many runs were taken in.

        Raises
        ------
        RuntimeError
            Without a database, or where the access mode does not allow it.
        """
        self.check_writable("rebuild the database")
        return self.store.rebuild([Path(folder) for folder in run_dirs or (self.run_dir,)])

    def resolve_uri(self, uri: str) -> str:
        """Return the absolute path that a portable URI means on this machine.

        Parameters
        ----------
        uri : str
            ``scheme://…`` of a mount, ``./…`` and ``workspace://…`` in ``run_dir``, ``file://…``
            or an absolute path. An unknown scheme gives the best effort.

        Raises
        ------
        ValueError
            If the path would leave its root.
        """
        return self.files.mounts.resolve_uri(uri)

    def set_run_subdir_fn(self, fn: Callable[[Run], str] | None) -> None:
        """Let ``fn(run)`` name the output folder of each run; ``None`` restores the default."""
        _check_types(run_subdir_fn=fn)
        self.run_subdir_fn = fn

    # ------------------------------------------------------------ hooks

    def on_run_start(self, callback: C) -> C:
        """Call ``callback(run)`` when a run starts, before any code of it; return the callback."""
        return self.hooks.register(self.hooks.start, callback)

    def on_run_complete(self, callback: C) -> C:
        """Call ``callback(run, outputs)`` when a run completes; return the callback."""
        return self.hooks.register(self.hooks.complete, callback)

    def on_run_failed(self, callback: C) -> C:
        """Call ``callback(run, error)`` when a run fails; return the callback."""
        return self.hooks.register(self.hooks.failed, callback)


@dataclass(frozen=True)
class _Opener:
    """Opens a tracker in another process, with the settings that it has here."""

    config: TrackerConfig
    settings: Settings = field(compare=False)

    def __call__(self) -> Tracker:
        with given(self.settings):
            return Tracker.from_config(self.config)


def _check_types(
    mounts: object = None,
    schemas: object = None,
    run_subdir_fn: object = None,
    allow_external_paths: object = None,
) -> None:
    """Refuse arguments that would only fail when a run needs them."""
    if mounts is not None and not (
        is_mapping(mounts) and all(isinstance(k, str) and is_path(v) for k, v in mounts.items())
    ):
        raise WrongType(f"mounts={mounts!r} is not a mapping of scheme to folder")
    if schemas is not None and not is_sequence_of_values(schemas):
        raise WrongType(f"schemas={schemas!r} is not a list of SQLModel classes")
    if run_subdir_fn is not None and not callable(run_subdir_fn):
        raise WrongType(f"run_subdir_fn={run_subdir_fn!r} is not a function of a run")
    if allow_external_paths is not None and not isinstance(allow_external_paths, bool):
        raise WrongType(f"allow_external_paths={allow_external_paths!r} is not a bool")


def _memo_path(database: Path | None, access_mode: str) -> str | None:
    """Return where digests are kept between processes; nowhere for a tracker that only looks."""
    if database is None or access_mode == "read_only":
        return None
    return f"{database}.journal/memo.sqlite"


def _open_store(
    run_dir: Path, db_path: Path | None, settings: Settings, *, read_only: bool
) -> Store:
    if db_path is None:
        return UnindexedStore(run_dir)
    if db_path.is_dir():
        raise UsageError(f"db_path is a folder: {db_path}")
    return EmbeddedStore(db_path, run_dir, settings, read_only=read_only)


def _epoch(epoch: object) -> int:
    if not isinstance(epoch, int) or isinstance(epoch, bool):
        raise WrongType(f"cache_epoch={epoch!r} is not a whole number")
    return epoch


def _by_name(schemas: Sequence[type[SQLModel]] | None) -> Mapping[str, type[SQLModel]]:
    from consist.hot.registered import by_name

    return by_name(schemas) if schemas is not None else {}
