"""Read what a caller declares: labels, config, facet, inputs and outputs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from consist.artifacts.facets import facet_kept, facet_source, plain_mapping
from consist.artifacts.items import local_path, recorded
from consist.artifacts.keys import check_key, check_meta
from consist.errors import InvalidMetadata, UnknownKey, UsageError, WrongType, a_kind, hint
from consist.identity import check_config_keys, label_identity_inputs, plain
from consist.models.record import ArtifactFacetRecord, storable
from consist.runs.arguments import GivenInput, Mapped, RunArguments
from consist.settings import MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH, MAX_TAG_LENGTH
from consist.types import is_mapping, is_path, is_sequence_of_values

if TYPE_CHECKING:
    from consist.workspace import Workspace

Pick = Callable[[str], Any]
"""Returns an argument by name, or the default of the step."""


# ---------------------------------------------------------------- labels


def label(what: str, text: object, limit: int = MAX_NAME_LENGTH) -> str:
    """Return a name or tag that is text, not empty and not too long."""
    if not isinstance(text, str):
        raise WrongType(f"{what} {text!r} is {a_kind(text)}, not text")
    if not text.strip():
        raise InvalidMetadata(what, "is empty")
    if len(text) > limit:
        raise InvalidMetadata(what, f"has {len(text)} characters, at most {limit}")
    if "\0" in text or storable(text) != text:
        raise InvalidMetadata(f"{what} {text!r}", "holds what is no character")
    return text


def optional_label(what: str, text: object) -> str | None:
    """Return a name or nothing."""
    return None if text is None else label(what, text)


def flag(what: str, value: object) -> bool:
    """Return a truth value; texts such as ``"no"`` are true in Python and therefore refused."""
    if not isinstance(value, bool):
        raise WrongType(f"{what}={value!r} is not a bool")
    return value


def listed(what: str, values: Any) -> list[Any]:
    """Return what a caller gives as a list; one text or path is a mistake.

    Raises
    ------
    TypeError
        Naming the argument.
    """
    if values is None:
        return []
    if not is_sequence_of_values(values):
        raise hint(WrongType(f"{what}={values!r} is not a list"), f"write {what}=[...]")
    return list(values)


def description_of(text: object) -> str | None:
    """Return a description within its limit."""
    return None if text is None else label("description", text, MAX_DESCRIPTION_LENGTH)


def tags_of(tags: object) -> tuple[str, ...]:
    """Return tags as a tuple of text."""
    return tuple(label("tag", tag, MAX_TAG_LENGTH) for tag in listed("tags", tags))


def whole(what: str, value: object) -> int | None:
    """Return a whole number, numpy's included."""
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise WrongType(f"{what}={value!r} is not a whole number")
    number = int(cast("Any", value))
    if not -(2**31) <= number < 2**31:
        raise UsageError(f"{what}={number} does not fit into 32 bits")
    return number


_OF_RUNS = frozenset(
    """
    adapter cache_options capture_dir capture_pattern config_plan depends_on execution_options
    identity_inputs in_flight inject_context input_binding input_keys load_inputs
    optional_input_keys output_mismatch output_missing output_paths output_policy outputs
    runtime_kwargs
    """.split()  # noqa: SIM905 - twenty quoted words read worse
)


def check_no_options(verb: str, meta: Mapped, remedies: Mapping[str, str]) -> None:
    """Refuse to take for metadata what is an option of other verbs, and would be lost.

    Raises
    ------
    TypeError
        Naming the keyword, and what to use instead.
    """
    for name in meta:
        if name in _OF_RUNS:
            error = WrongType(f"{verb}() got an unexpected keyword argument {name!r}")
            raise hint(error, remedies.get(name, "it is an option of run and trace"))


def meta_of(ws: Workspace, meta: Mapped) -> Mapped:
    """Return metadata as plain data within its limits."""
    check_meta(meta, ws.settings)
    return {key: plain(value, f"meta[{key!r}]") for key, value in meta.items()}


# ---------------------------------------------------------------- config and facet


def config_of(config: Any) -> Any:
    """Return a config that is a mapping with text keys, or some kind of model."""
    if config is None:
        return None
    if is_mapping(config):
        check_config_keys(config)
    elif not hasattr(config, "__dict__") and not hasattr(config, "__slots__"):
        raise WrongType(f"config is {a_kind(config)}: pass a mapping or a model")
    return config


def facet_of(ws: Workspace, pick: Pick, config: Any, model: str) -> ArtifactFacetRecord | None:
    """Return the facet as plain data, and how it is to be stored; ``None`` without one."""
    source = facet_source(pick("facet"))
    if source is None and hasattr(config, "to_consist_facet"):
        source = facet_source(config)
    given = None if source is None else source.values
    values = {**_from_config(pick("facet_from"), config), **plain_mapping(given, "facet")}
    if source is None and not values:
        return None
    index = pick("facet_index")
    return facet_kept(
        values,
        source,
        model,
        pick("facet_schema_version"),
        index=True if index is None else index,
        what=f"a run of {model!r}",
        settings=ws.settings,
    )


def _from_config(keys: Iterable[str] | None, config: Any) -> dict[str, Any]:
    names = listed("facet_from", keys)
    values = plain_mapping(config, "config") if names else {}
    for name in names:
        if not isinstance(name, str):
            raise WrongType(f"facet_from names {name!r}, which is {a_kind(name)}, not text")
        if name not in values:
            raise UnknownKey(name, "the config, which facet_from takes it from", tuple(values))
    return {name: values[name] for name in names}


# ---------------------------------------------------------------- inputs and outputs


def inputs_of(given: RunArguments, pick: Pick) -> tuple[GivenInput, ...]:
    """Return every declared input, ``input_keys`` and ``depends_on`` included."""
    inputs = tuple(_declared(pick("inputs")))
    if given.input_keys or given.optional_input_keys:
        warnings.warn(
            "input_keys and optional_input_keys are deprecated outside of scenarios: pass inputs=",
            DeprecationWarning,
            stacklevel=2,
        )
    keyed = _keyed(pick, {item.name for item in inputs})
    return (*inputs, *map(_unbound, (*keyed, *listed("depends_on", given.depends_on))))


def _keyed(pick: Pick, named: Collection[str | None]) -> Iterator[str]:
    """Yield input keys that no input has, where no coupler knows them: they are paths then."""
    yield from (key for key in _keys(pick, "input_keys") if key not in named)
    optional = (key for key in _keys(pick, "optional_input_keys") if key not in named)
    yield from (key for key in optional if Path(key).exists())


def _keys(pick: Pick, argument: str) -> list[str]:
    keys = pick(argument)
    return [keys] if isinstance(keys, str) else listed(argument, keys)


def _declared(inputs: Any) -> Iterator[GivenInput]:
    if inputs is None:
        return
    if is_mapping(inputs):
        for name, source in inputs.items():
            yield GivenInput(name=check_key(name), source=_source(source), bound=True)
        return
    if not is_sequence_of_values(inputs):
        raise WrongType(f"inputs={inputs!r} is neither a mapping nor a list")
    for source in inputs:
        yield source if isinstance(source, GivenInput) else _unbound(source)


def _unbound(source: Any) -> GivenInput:
    return GivenInput(name=None, source=_source(source), bound=False)


def _source(source: Any) -> Any:
    """Return the one artifact of a run's result, and anything else as it is."""
    if hasattr(source, "output_records") and hasattr(source, "output"):
        return source.output
    return source


def identity_inputs_of(ws: Workspace, entries: Iterable[Any] | None) -> Mapping[str, str]:
    """Return absolute paths of what counts for the identity alone, by label."""
    labelled = label_identity_inputs(listed("identity_inputs", entries))
    return {name: local_path(ws, path) for name, path in labelled.items()}


def output_keys_of(keys: Any) -> tuple[str, ...] | None:
    """Return declared output keys, each valid and named once."""
    if keys is None:
        return None
    found = tuple(check_key(key) for key in listed("outputs", keys))
    if len(set(found)) != len(found):
        raise UsageError(f"outputs={list(found)!r} names a key twice")
    return found


def output_paths_of(paths: Any, what: str = "output_paths") -> dict[str, Any]:
    """Return declared files by key."""
    if paths is None:
        return {}
    if not is_mapping(paths):
        raise WrongType(f"{what}={paths!r} is not a mapping of key to path")
    for key, path in paths.items():
        if not is_path(path) and recorded(path) is None:
            raise WrongType(f"{what}[{key!r}] is {a_kind(path)}, not a path or an Artifact")
        if is_path(path) and not os.fspath(path):
            raise UsageError(f"{what}[{key!r}] is empty")
    return {check_key(key): path for key, path in paths.items()}
