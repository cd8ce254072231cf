"""What makes two runs the same: values in, digests out.

The signature of a run combines three digests (:mod:`.signature`): of its code (:mod:`.code`), its
config (:mod:`.canonical`) and its inputs (:mod:`.files`). Nothing here reads a database, knows a
tracker or decides a cache hit. Every pre-image carries its kind and version; golden values in the
tests keep them from changing by accident.
"""

from consist.identity.canonical import VERSIONS, check_config_keys, digest, encode
from consist.identity.carried import Carried, carried_values
from consist.identity.code import MODES, CodeDigest, CodeIdentity, code_digest, extra_deps
from consist.identity.files import (
    Entry,
    digest_many,
    digest_path,
    directory_digest,
    fast_digest,
    file_digest,
    scan_directory,
    tree_digest,
)
from consist.identity.kinds import fields_of
from consist.identity.loaded import LoadedSources
from consist.identity.parts import FURTHER, short
from consist.identity.plain import MASK, plain
from consist.identity.repository import COMMIT, SOURCE_SUFFIXES, changed_between, repo_git
from consist.identity.signature import (
    InputIdentity,
    RunFields,
    config_digest,
    content_digest,
    identity_label,
    inputs_digest,
    label_identity_inputs,
    signature,
)
from consist.identity.sources import (
    callable_module,
    callable_source,
    caller_module,
    code_of,
    is_importable,
    is_project_source,
    qualified_name,
)

__all__ = [
    "COMMIT",
    "FURTHER",
    "MASK",
    "MODES",
    "SOURCE_SUFFIXES",
    "VERSIONS",
    "Carried",
    "CodeDigest",
    "CodeIdentity",
    "Entry",
    "InputIdentity",
    "LoadedSources",
    "RunFields",
    "callable_module",
    "callable_source",
    "caller_module",
    "carried_values",
    "changed_between",
    "check_config_keys",
    "code_digest",
    "code_of",
    "config_digest",
    "content_digest",
    "digest",
    "digest_many",
    "digest_path",
    "directory_digest",
    "encode",
    "extra_deps",
    "fast_digest",
    "fields_of",
    "file_digest",
    "identity_label",
    "inputs_digest",
    "is_importable",
    "is_project_source",
    "label_identity_inputs",
    "plain",
    "qualified_name",
    "repo_git",
    "scan_directory",
    "short",
    "signature",
    "tree_digest",
]
