"""Name a file, describe it, read it."""

from consist.artifacts.facet_parsers import register_artifact_facet_parser
from consist.artifacts.kinds import (
    is_dataframe_artifact,
    is_hdf_artifact,
    is_json_artifact,
    is_spatial_artifact,
    is_tabular_artifact,
    is_zarr_artifact,
)
from consist.artifacts.load import load, load_df, load_relation
from consist.artifacts.log import (
    log_artifact,
    log_artifacts,
    log_input,
    log_output,
)
from consist.artifacts.materialize import materialize
from consist.artifacts.relations import (
    RelationConnectionLeakWarning,
    active_relation_count,
    to_df,
)

__all__ = [
    "RelationConnectionLeakWarning",
    "active_relation_count",
    "is_dataframe_artifact",
    "is_hdf_artifact",
    "is_json_artifact",
    "is_spatial_artifact",
    "is_tabular_artifact",
    "is_zarr_artifact",
    "load",
    "load_df",
    "load_relation",
    "log_artifact",
    "log_artifacts",
    "log_input",
    "log_output",
    "materialize",
    "register_artifact_facet_parser",
    "to_df",
]
