"""Where the files of a run go: its record, its folder for outputs, the outputs in it."""
# ruff: noqa: PTH117, PTH118  # paths are text here, see bounds.py

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from consist.errors import InvalidKey, InvalidRunId, PathEscape, UsageError, WrongType, hint
from consist.files.atomic import unwritable
from consist.files.bounds import absolute, below, really_within
from consist.types import PathLike

MAX_NAME_BYTES = 240  # file systems allow 255; a suffix and a temporary name must fit as well

_SAFE = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*")
_UNSAFE_BYTE = re.compile(rb"[^A-Za-z0-9_.~-]|^\.")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


def safe_name(run_id: str) -> str:
    """Return a file name for a run id, from which :func:`decode_name` gets the id back.

    Letters, digits and ``_ . ~ -`` stay; every other byte of the UTF-8 text, and a leading dot,
    becomes ``%XX``.

    Raises
    ------
    InvalidRunId
        If the id is empty, not valid Unicode, or longer than 240 bytes when encoded.

    Examples
    --------
    >>> safe_name("base/2030~2")
    'base%2F2030~2'
    """
    if not run_id:
        raise InvalidRunId(run_id, "is empty")
    encoded = _encoded(run_id)
    if len(encoded) > MAX_NAME_BYTES:
        raise InvalidRunId(run_id, f"needs {len(encoded)} bytes as a file name, over 240")
    return encoded


def _encoded(text: str) -> str:
    if _SAFE.fullmatch(text):
        return text
    try:
        return _UNSAFE_BYTE.sub(lambda byte: b"%%%02X" % byte[0][0], text.encode()).decode()
    except UnicodeEncodeError:
        raise InvalidRunId(text, "is not valid Unicode") from None


def _folder_name(text: str) -> str:
    """Return a folder name for a model or run; unlike a record's, it need not be decoded."""
    encoded = _encoded(text)
    if len(encoded) <= MAX_NAME_BYTES:
        return encoded
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{encoded[:200]}~{digest[:32]}"


def decode_name(name: str) -> str:
    """Return the run id that :func:`safe_name` made ``name`` from.

    Raises
    ------
    InvalidRunId
        If ``safe_name`` cannot have made it.
    """
    try:
        encoded = _ESCAPE.sub(lambda code: bytes.fromhex(code[1].decode()), name.encode())
        run_id = encoded.decode()
        if safe_name(run_id) == name:
            return run_id
    except (UnicodeError, InvalidRunId):
        pass
    raise InvalidRunId(name, "is not an encoded run id")


class PlacedRun(Protocol):
    """What deciding about a run's folder needs to know of it."""

    @property
    def id(self) -> str:
        """The id that records are kept under."""
        ...

    @property
    def model_name(self) -> str:
        """Name of the model or step."""
        ...

    @property
    def parent_run_id(self) -> str | None:
        """Id of the run around it."""
        ...

    @property
    def year(self) -> int | None:
        """Year that the run is about, if it is about one."""
        ...

    @property
    def iteration(self) -> int | None:
        """Number of the iteration, if it is one of several."""
        ...

    @property
    def meta(self) -> Mapping[str, object]:
        """Metadata, of which ``artifact_dir`` counts here."""
        ...


class RunPlaces:
    """The layout of one run folder.

    Parameters
    ----------
    run_dir : str or path
        The run folder, which need not exist yet.

    Attributes
    ----------
    run_dir, outputs : pathlib.Path
        The folder, absolute, and ``outputs`` in it, below which runs put their files.
    latest_path : str
        ``consist.json``, the record of the latest run.

    Notes
    -----
    Paths of records are text, since every cache hit writes them; folders that users see are
    ``Path`` objects.
    """

    def __init__(self, run_dir: PathLike) -> None:
        self._root = absolute(run_dir)
        self.run_dir = Path(self._root)
        self.outputs = self.run_dir / "outputs"
        self.latest_path = os.path.join(self._root, "consist.json")
        self._records = os.path.join(self._root, "consist_runs")

    def snapshot_path(self, run_id: str) -> str:
        """Return the path of a run's own record, ``consist_runs/<encoded id>.json``.

        Raises
        ------
        InvalidRunId
            As :func:`safe_name` does.
        """
        return f"{self._records}{os.sep}{safe_name(run_id)}.json"

    def artifact_dir(
        self, run: PlacedRun, *, subdir: PathLike | None = None, allow_external: bool = False
    ) -> Path:
        """Return the folder for a run's outputs, without creating it.

        The first of these that applies:

        1. ``run.meta["artifact_dir"]``: below ``outputs`` if relative, as it is if absolute;
        2. ``subdir``, below ``outputs``; the run's id if it is empty;
        3. ``<parent id>/<model>/iteration_<n>`` if the run has a parent and an iteration, with
           ``/year_<y>`` before the last part if it has a year;
        4. ``<model>/<run id>``.

        Parameters
        ----------
        run : PlacedRun
            The run.
        subdir : str or path, optional
            What ``run_subdir_fn`` returned for the run.
        allow_external : bool, default False
            Whether an absolute ``artifact_dir`` may lie outside the run folder.

        Raises
        ------
        PathEscape
            If ``artifact_dir`` leaves the run folder without permission, or relative paths leave
            ``outputs``.
        """
        asked = run.meta.get("artifact_dir")
        if asked is not None and asked != "":
            return self.asked_dir(_text("artifact_dir", asked), allow_external=allow_external)
        if subdir is not None:
            return self._below_outputs(_text("run_subdir_fn", subdir) or _folder_name(run.id))
        model = _folder_name(run.model_name)
        if run.parent_run_id is not None and run.iteration is not None:
            year = "" if run.year is None else f"/year_{run.year}"
            return self._below_outputs(
                f"{_folder_name(run.parent_run_id)}/{model}{year}/iteration_{run.iteration}"
            )
        return self._below_outputs(f"{model}/{_folder_name(run.id)}")

    def asked_dir(self, asked: str, *, allow_external: bool) -> Path:
        """Return the folder that ``artifact_dir=`` asks for.

        Raises
        ------
        PathEscape
            If it leaves the run folder without permission.
        """
        if not os.path.isabs(asked):
            return self._below_outputs(asked)
        path = absolute(asked)
        if allow_external or really_within(path, self._root):
            return Path(path)
        raise hint(
            PathEscape(asked, self._root),
            "pass allow_external_paths=True to write outside the run folder",
        )

    def _below_outputs(self, relative: str) -> Path:
        if os.path.isabs(relative):
            raise hint(
                PathEscape(relative, str(self.outputs)), "name it relative to the outputs folder"
            )
        return Path(below(str(self.outputs), relative))


def output_dir(base: PathLike, namespace: str | None = None) -> Path:
    """Return ``base``, or the folder ``namespace`` below it, and create it.

    Raises
    ------
    PathEscape
        If ``namespace`` leads out of ``base``.
    StoreUnwritable
        If the folder cannot be created.
    """
    root = absolute(base)
    if namespace is not None and os.path.isabs(namespace):
        raise PathEscape(namespace, root)
    return _created(Path(below(root, namespace) if namespace else root))


def output_path(base: PathLike, key: str, ext: str = "parquet") -> Path:
    """Return ``<base>/<key>.<ext>`` and create the folders above it.

    Parameters
    ----------
    base : str or path
        Folder for outputs.
    key : str
        File name without suffix; segments (``a/b``) become folders.
    ext : str, default "parquet"
        Suffix; leading dots do not count and letters become lower-case. Empty for none.

    Raises
    ------
    ValueError
        If key or suffix are malformed, or the path would lie outside ``base``.

    Examples
    --------
    >>> output_path("/tmp", "a/b", ext=".CSV").as_posix()
    '/tmp/a/b.csv'
    """
    for what, text in {"key": key, "ext": ext}.items():
        if not isinstance(cast("object", text), str):
            raise WrongType(f"{what}={text!r} is not text")
    root, suffix = absolute(base), ext.lstrip(".").lower()
    if any(letter in suffix for letter in "/\\\0"):
        raise UsageError(f"ext={ext!r} is not a file suffix")
    segments = key.split("/")
    if ".." in segments or os.path.isabs(key):
        raise PathEscape(key, root)
    if not all(segment.strip(".") for segment in segments):
        raise InvalidKey(key, "has an empty segment")
    name = "/".join(map(_short, segments))
    path = Path(below(root, f"{name}.{suffix}" if suffix else name, key))
    _created(path.parent)
    return path


_LONGEST, _KEPT = 240, 48  # bytes that leave room for suffixes, and characters that tell


def _short(name: str) -> str:
    """Return a file name that file systems take; a long one is cut and told apart by a digest."""
    data = name.encode("utf-8", "surrogateescape")
    if len(data) <= _LONGEST:
        return name
    return f"{name[:_KEPT]}~{hashlib.sha256(data).hexdigest()[:16]}"


def _created(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(str(folder), error) from error
    return folder


def _text(what: str, value: object) -> str:
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    raise UsageError(f"{what} gave {value!r}, which is not a path")
