"""Name a file, describe it, read it."""

from consist.artifacts.facet_parsers import register_artifact_facet_parser
from consist.artifacts.load import (
    RelationConnectionLeakWarning,
    active_relation_count,
    load,
    load_df,
    load_relation,
)
from consist.artifacts.log import (
    log_artifact,
    log_artifacts,
    log_input,
    log_output,
)
from consist.artifacts.materialize import materialize

__all__ = [
    "RelationConnectionLeakWarning",
    "active_relation_count",
    "load",
    "load_df",
    "load_relation",
    "log_artifact",
    "log_artifacts",
    "log_input",
    "log_output",
    "materialize",
    "register_artifact_facet_parser",
]
