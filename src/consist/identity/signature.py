"""The signature of a run: who it is, from its code, its config and its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from consist.errors import IdentityError, UsageError, WrongType, hint
from consist.identity.canonical import check_config_keys, digest, encode
from consist.identity.files import PathLike


class RunFields(NamedTuple):
    """What belongs to the identity of a run beside its config.

    Tags, description, facets, stage, phase, run id and runtime kwargs do not belong to it.
    """

    model: str | None = None
    year: int | None = None
    iteration: int | None = None
    cache_epoch: int | None = None
    cache_version: int | str | None = None


NO_FIELDS = RunFields()


class InputIdentity(NamedTuple):
    """What one input contributes.

    Attributes
    ----------
    digest : str or None
        Digest of its content.
    producer : str or None
        Signature of the run that produced it; None for a raw file.
    name : str or None
        Parameter that it is bound to, or its name in the mapping of inputs; None in a list.
    key : str or None
        Key of the artifact.
    driver : str or None
        Format in which it is loaded.
    table_path, array_path : str or None
        What is meant inside a container file.
    """

    digest: str | None
    producer: str | None = None
    name: str | None = None
    key: str | None = None
    driver: str | None = None
    table_path: str | None = None
    array_path: str | None = None


def signature(code: str, config: str, inputs: str) -> str:
    """Return the signature of a run from its three digests."""
    return digest("run", code, config, inputs)


def config_digest(
    config: Any,
    fields: RunFields = NO_FIELDS,
    identity_inputs: Mapping[str, str] | None = None,
    adapter: str | None = None,
    binding: Mapping[str, str] | None = None,
) -> str:
    """Return the digest of a run's config and of what is added to it.

    Parameters
    ----------
    config
        Mapping or model. None and an empty mapping are the same.
    fields
        Model, year, iteration, epoch and version.
    identity_inputs
        Label → digest of files that count and are no inputs.
    adapter
        Identity of a config adapter's plan.
    binding
        Parameter → how it is bound, such as ``"loaded"`` or ``"path"``.

    Raises
    ------
    UnhashableValue
        Naming the place, if a value in the config has no defined identity.
    TypeError, ValueError
        If a key is not text, or a key or a text is too long.
    """
    config = {} if config is None else config
    check_config_keys(config)
    user = sha256(encode(config)).hexdigest()
    return digest("config", user, list(fields), identity_inputs or {}, adapter, binding or {})


def inputs_digest(inputs: Iterable[InputIdentity]) -> str:
    """Return the digest of a run's inputs, by where they come from.

    An input that a recorded run produced counts as that run's signature and its key, whatever its
    bytes; a raw file counts by its content. The order of inputs does not matter.

    Raises
    ------
    IdentityError
        Naming the input, if a raw one has no digest.
    """
    return digest("inputs", sorted(_by_origin(item) for item in inputs))


def content_digest(inputs: Iterable[InputIdentity]) -> str | None:
    """Return the digest of a run's inputs by content alone; None if one of them has no digest.

    Equal bytes from another producer give an equal digest, which is how a consumer is found again
    after its producer ran anew with the same result.
    """
    contents: list[str] = []
    for item in inputs:
        if item.digest is None:
            return None
        contents.append(_by_content(item))
    return digest("content", sorted(contents))


def _by_origin(item: InputIdentity) -> str:
    if item.producer is None:
        return _by_content(item)
    return _spelled(item.name, "run", item.producer, item.key, item.table_path, item.array_path)


def _by_content(item: InputIdentity) -> str:
    if item.digest is None:
        error = IdentityError(f"input {item.key or item.name!r} has no digest")
        raise hint(error, "It was recorded without one, or could not be read; log it again.")
    # What a bound input is loaded as hangs on its format, not only on its bytes.
    driver = item.driver if item.name is not None else None
    return _spelled(item.name, "file", item.digest, driver, item.table_path, item.array_path)


def _spelled(*parts: str | None) -> str:
    return encode(parts).decode("utf-8", "surrogatepass")


# ---------------------------------------------------------------- identity inputs


def identity_label(path: PathLike) -> str:
    """Return the label of a path that was given without one: its name without the suffix."""
    return Path(path).stem


def label_identity_inputs(entries: Iterable[Any] | None) -> dict[str, Path]:
    """Return label → path for the entries of ``identity_inputs`` or ``hash_inputs``.

    Parameters
    ----------
    entries
        Paths, or pairs of a label and a path.

    Raises
    ------
    ValueError
        If two entries have the same label.
    TypeError
        If an entry is something else.

    Examples
    --------
    >>> list(label_identity_inputs(["conf/base.yaml", ("skims", "data/2030.omx")]))
    ['base', 'skims']
    """
    labelled: dict[str, Path] = {}
    for entry in entries or ():
        label, path = _labelled(entry)
        if label in labelled:
            error = UsageError(f"identity inputs {labelled[label]} and {path} are both {label!r}")
            raise hint(error, f"Give one of them a name of its own: ('name', '{path}').")
        labelled[label] = path
    return labelled


def _labelled(entry: object) -> tuple[str, Path]:
    match entry:
        case str() | Path():
            return identity_label(entry), Path(entry)
        case (str() as label, (str() | Path()) as path):
            return label, Path(path)
        case _:
            raise WrongType(f"identity input {entry!r} is neither a path nor (name, path)")
