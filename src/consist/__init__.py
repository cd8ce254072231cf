"""Provenance, caching and queryable results for scientific simulation workflows.

Names are imported when they are first used, so that ``import consist`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

_HOMES = {
    "consist.api": (
        "annotate cached_artifacts cached_output capture_outputs compare current_consist"
        " current_run current_tracker db_session explain find_latest_run find_matching_run"
        " find_matching_runs find_run find_runs get_artifact get_run history ibis_connection"
        " ibis_grouped_view ibis_view ingest invalidate load load_df load_relation log_artifact"
        " log_artifacts log_dataframe log_input log_meta log_output"
        " output_dir output_path register_artifact_facet_parser register_views"
        " run run_query run_set scenario set_current_tracker"
        " start_run trace use_tracker view"
    ),
    "consist.artifacts": (
        "RelationConnectionLeakWarning active_relation_count is_dataframe_artifact is_hdf_artifact"
        " is_json_artifact is_spatial_artifact is_tabular_artifact is_zarr_artifact to_df"
    ),
    "consist.cache.explanation": "Change Explanation",
    "consist.comparison.results": "RunComparison ScenarioComparison",
    "consist.core.tracker": "Tracker",
    "consist.core.tracker_config": "TrackerConfig",
    "consist.errors": "CodeIdentityUnavailableError ConsistError ConsistWarning FacetNotIndexed",
    "consist.models.artifact": "Artifact",
    "consist.noop": "NoopArtifact NoopTracker create_tracker",
    "consist.models.result": "RunArtifacts RunResult",
    "consist.models.run": "ConsistRecord Run RunArtifactLink",
    "consist.query.aligned": "AlignedPair",
    "consist.query.lineage_graph": "Lineage",
    "consist.query.pivot": "pivot_facets",
    "consist.query.runset": "RunSet",
    "consist.runs.context": "RunContext",
    "consist.runs.outputs": "OutputCapture",
    "consist.active": "ActiveRunCacheOptions",
    "consist.step": "StepContext define_step require_runtime_kwargs",
    "consist.types": (
        "BindingResult CacheOptions ExecutionOptions FacetIndex IndexBySpec OutputPolicyOptions"
        " RunFieldIndex index_by_facet index_by_field"
    ),
    "consist.utils": "ArtifactKeyRegistry",
    "consist.workflow.coupler": "Coupler CouplerView DeclaredOutput",
    "consist.workflow.references": "ref refs",
    "consist.workflow.scenario": "ScenarioContext",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from consist.active import ActiveRunCacheOptions as ActiveRunCacheOptions
    from consist.api import annotate as annotate
    from consist.api import cached_artifacts as cached_artifacts
    from consist.api import cached_output as cached_output
    from consist.api import capture_outputs as capture_outputs
    from consist.api import compare as compare
    from consist.api import current_consist as current_consist
    from consist.api import current_run as current_run
    from consist.api import current_tracker as current_tracker
    from consist.api import db_session as db_session
    from consist.api import explain as explain
    from consist.api import find_latest_run as find_latest_run
    from consist.api import find_matching_run as find_matching_run
    from consist.api import find_matching_runs as find_matching_runs
    from consist.api import find_run as find_run
    from consist.api import find_runs as find_runs
    from consist.api import get_artifact as get_artifact
    from consist.api import get_run as get_run
    from consist.api import history as history
    from consist.api import ibis_connection as ibis_connection
    from consist.api import ibis_grouped_view as ibis_grouped_view
    from consist.api import ibis_view as ibis_view
    from consist.api import ingest as ingest
    from consist.api import invalidate as invalidate
    from consist.api import load as load
    from consist.api import load_df as load_df
    from consist.api import load_relation as load_relation
    from consist.api import log_artifact as log_artifact
    from consist.api import log_artifacts as log_artifacts
    from consist.api import log_dataframe as log_dataframe
    from consist.api import log_input as log_input
    from consist.api import log_meta as log_meta
    from consist.api import log_output as log_output
    from consist.api import output_dir as output_dir
    from consist.api import output_path as output_path
    from consist.api import register_artifact_facet_parser as register_artifact_facet_parser
    from consist.api import register_views as register_views
    from consist.api import run as run
    from consist.api import run_query as run_query
    from consist.api import run_set as run_set
    from consist.api import scenario as scenario
    from consist.api import set_current_tracker as set_current_tracker
    from consist.api import start_run as start_run
    from consist.api import trace as trace
    from consist.api import use_tracker as use_tracker
    from consist.api import view as view
    from consist.artifacts import RelationConnectionLeakWarning as RelationConnectionLeakWarning
    from consist.artifacts import active_relation_count as active_relation_count
    from consist.artifacts import is_dataframe_artifact as is_dataframe_artifact
    from consist.artifacts import is_hdf_artifact as is_hdf_artifact
    from consist.artifacts import is_json_artifact as is_json_artifact
    from consist.artifacts import is_spatial_artifact as is_spatial_artifact
    from consist.artifacts import is_tabular_artifact as is_tabular_artifact
    from consist.artifacts import is_zarr_artifact as is_zarr_artifact
    from consist.artifacts import to_df as to_df
    from consist.cache.explanation import Change as Change
    from consist.cache.explanation import Explanation as Explanation
    from consist.comparison.results import RunComparison as RunComparison
    from consist.comparison.results import ScenarioComparison as ScenarioComparison
    from consist.core.tracker import Tracker as Tracker
    from consist.core.tracker_config import TrackerConfig as TrackerConfig
    from consist.errors import CodeIdentityUnavailableError as CodeIdentityUnavailableError
    from consist.errors import ConsistError as ConsistError
    from consist.errors import ConsistWarning as ConsistWarning
    from consist.errors import FacetNotIndexed as FacetNotIndexed
    from consist.models.artifact import Artifact as Artifact
    from consist.models.result import RunArtifacts as RunArtifacts
    from consist.models.result import RunResult as RunResult
    from consist.models.run import ConsistRecord as ConsistRecord
    from consist.models.run import Run as Run
    from consist.models.run import RunArtifactLink as RunArtifactLink
    from consist.noop import NoopArtifact as NoopArtifact
    from consist.noop import NoopTracker as NoopTracker
    from consist.noop import create_tracker as create_tracker
    from consist.query.aligned import AlignedPair as AlignedPair
    from consist.query.lineage_graph import Lineage as Lineage
    from consist.query.pivot import pivot_facets as pivot_facets
    from consist.query.runset import RunSet as RunSet
    from consist.runs.context import RunContext as RunContext
    from consist.runs.outputs import OutputCapture as OutputCapture
    from consist.step import StepContext as StepContext
    from consist.step import define_step as define_step
    from consist.step import require_runtime_kwargs as require_runtime_kwargs
    from consist.types import BindingResult as BindingResult
    from consist.types import CacheOptions as CacheOptions
    from consist.types import ExecutionOptions as ExecutionOptions
    from consist.types import FacetIndex as FacetIndex
    from consist.types import IndexBySpec as IndexBySpec
    from consist.types import OutputPolicyOptions as OutputPolicyOptions
    from consist.types import RunFieldIndex as RunFieldIndex
    from consist.types import index_by_facet as index_by_facet
    from consist.types import index_by_field as index_by_field
    from consist.utils import ArtifactKeyRegistry as ArtifactKeyRegistry
    from consist.workflow.coupler import Coupler as Coupler
    from consist.workflow.coupler import CouplerView as CouplerView
    from consist.workflow.coupler import DeclaredOutput as DeclaredOutput
    from consist.workflow.references import ref as ref
    from consist.workflow.references import refs as refs
    from consist.workflow.scenario import ScenarioContext as ScenarioContext


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'consist' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
