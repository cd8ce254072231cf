"""Every error that Consist raises, drawn as one tree.

::

    ConsistError
    ├── UsageError                    a call that cannot mean anything (ValueError)
    │   ├── InvalidOption             an option has a value it does not know
    │   ├── InvalidKey                an artifact key breaks the key rules
    │   ├── InvalidMetadata           run metadata, tags or names break a limit
    │   ├── InvalidRunId              a run id cannot be recorded
    │   ├── AmbiguousOutput           one output was asked for, several exist
    │   ├── NoSingleMatch             exactly one run was asked for
    │   ├── UnknownField              runs have no such column, nor facets such a key
    │   ├── AmbiguousAlignment        several runs of one side have the same value
    │   ├── ModelUnusable             a SQLModel class asks for what no query can check
    │   └── PathEscape                a path leaves the folder it belongs to
    │       └── Untrusted             … and only a database of unknown origin names it
    ├── SchemaViolation               rows are not what their schema says (ValueError)
    ├── WrongType                     an argument of a type nobody accepts (TypeError)
    │   └── UnhashableValue           a config value that identity cannot digest
    ├── IdentityError                 something could not be digested (RuntimeError)
    │   ├── CodeIdentityUnavailableError
    │   └── CodeDiffers               a worker has loaded other code than its driver
    ├── InputMissing                  an input is not there (FileNotFoundError)
    ├── FileGone                      recorded bytes are not there (FileNotFoundError)
    ├── BundleMissing                 a run has no config of a role (FileNotFoundError)
    ├── SnapshotMissing               a run left no snapshot here (FileNotFoundError)
    ├── ArtifactChanged               recorded bytes are no longer what they were (ValueError)
    │   └── InputChanged              … and a run was to use them
    ├── ChangedWhileCopied            a file was written while it was copied (RuntimeError)
    ├── HashMismatch                  a stated content hash is wrong (ValueError)
    ├── UnsupportedFormat             no driver can do what was asked (ValueError)
    ├── UnknownKey                    nothing is stored under this key (KeyError)
    │   ├── NotRecorded               … nor is it a run or a recorded file
    │   └── UnknownInput              … nor is it a file (InputMissing as well)
    ├── RunStateError                 not possible in the present state (RuntimeError)
    │   ├── NoActiveRun
    │   ├── RunAlreadyActive
    │   ├── NoDatabase
    │   ├── NoTracker
    │   ├── PurgeRefused              a purge would remove what it must not
    │   ├── ReadOnlyTracker
    │   └── TrackerClosed
    ├── OutputError                   a step broke its own promise (RuntimeError)
    │   ├── OutputMissing
    │   └── OutputMismatch
    ├── SweepError                    a sweep ended before all of it was done (RuntimeError)
    │   ├── PointsFailed              … because points failed
    │   └── WorkersLost               … because its executor broke
    ├── PointsFileUnusable            a points file cannot be read or used here (ValueError)
    ├── StepNotFound                  code is not where a points file says it is (ImportError)
    ├── MissingExtra                  an optional library is not installed (ImportError)
    ├── NotSupportedYet               documented, and not built in this version
    └── StoreError                    the record could not be read or written (RuntimeError)
        ├── StoreLocked
        ├── StoreUnwritable
        ├── StoreDamaged
        ├── StoreTooNew
        └── RunIdTaken                … by other runs, in the database that a shard goes into

    TimeLimitExceeded                 a step took too long (BaseException)

Each class also subclasses the builtin that callers expect, so ``except ValueError`` works as
well. Facts are positional arguments, which lets every error cross a process pool; a remedy is a
note (:meth:`BaseException.add_note`), which tracebacks and the command line print below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

_E = TypeVar("_E", bound=BaseException)


def hint(error: _E, remedy: str) -> _E:
    """Attach ``remedy`` to ``error`` as a note and return the error, ready to be raised."""
    error.add_note(remedy)
    return error


def a_kind(value: object) -> str:
    """Return what kind of thing a value is, with its article: ``an int``, ``a DataFrame``."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


_SHOWN = 20


def some_of(names: Sequence[object]) -> str:
    """Return names for a message; of many, the first, and how many there are besides."""
    more = len(names) - _SHOWN
    return ", ".join(map(str, names[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


class ConsistError(Exception):
    """Base of every error of this library."""


class ConsistWarning(UserWarning):
    """Base of every warning of this library."""


class FacetNotIndexed(ConsistWarning):
    """A facet is stored, but is too large for its values to be asked for one by one."""

    def __init__(self, what: str, size: int, unit: str, limit: int, setting: str) -> None:
        super().__init__(what, size, unit, limit, setting)
        self.what, self.size, self.unit = what, size, unit
        self.limit, self.setting = limit, setting

    def __str__(self) -> str:
        return (
            f"the facet of {self.what} has {self.size:,} {self.unit}, more than {self.limit:,}: it"
            f" is stored, but its values cannot be asked for one by one; raise {self.setting}, or"
            " pass facet_index=False"
        )


# ---------------------------------------------------------------- usage


class UsageError(ConsistError, ValueError):
    """A call that cannot mean anything."""


class InvalidOption(UsageError):
    """An option has a value it does not know."""

    def __init__(self, option: str, value: object, allowed: tuple[str, ...]) -> None:
        super().__init__(option, value, allowed)
        self.option, self.value, self.allowed = option, value, allowed

    def __str__(self) -> str:
        return f"{self.option}={self.value!r} is not one of {', '.join(map(repr, self.allowed))}"


class InvalidKey(UsageError):
    """An artifact key breaks the key rules."""

    def __init__(self, key: object, reason: str) -> None:
        super().__init__(key, reason)
        self.key, self.reason = key, reason

    def __str__(self) -> str:
        return f"artifact key {self.key!r} {self.reason}"


class InvalidMetadata(UsageError):
    """Run metadata, a tag or a name breaks a limit."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what} {self.reason}"


class InvalidRunId(UsageError):
    """A run id cannot be recorded."""

    def __init__(self, run_id: object, reason: str) -> None:
        super().__init__(run_id, reason)
        self.run_id, self.reason = run_id, reason

    def __str__(self) -> str:
        return f"run id {self.run_id!r} {self.reason}"


class AmbiguousOutput(UsageError):
    """One output was asked for and several exist, or none."""

    def __init__(self, run_id: str, keys: tuple[str, ...]) -> None:
        super().__init__(run_id, keys)
        self.run_id, self.keys = run_id, keys

    def __str__(self) -> str:
        if not self.keys:
            return f"run {self.run_id!r} has no outputs"
        return f"run {self.run_id!r} has several outputs: {some_of(self.keys)}"


class NoSingleMatch(UsageError):
    """Exactly one run was asked for and another number was found."""

    def __init__(self, found: int, filters: str) -> None:
        super().__init__(found, filters)
        self.found, self.filters = found, filters

    def __str__(self) -> str:
        count = "no run" if self.found == 0 else f"{self.found} runs"
        return f"{count} found for {self.filters or 'no filters'}"


class UnknownField(UsageError):
    """A name is neither a column of runs nor a key of their facets."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name!r} is neither a column of runs nor a key of the facet of any of these"


class AmbiguousAlignment(UsageError):
    """Several runs of one side have the value that two sets are aligned on."""

    def __init__(self, side: str, on: str, value: object, run_ids: tuple[str, ...]) -> None:
        super().__init__(side, on, value, run_ids)
        self.side, self.on, self.value, self.run_ids = side, on, value, run_ids

    def __str__(self) -> str:
        return (
            f"cannot align: {len(self.run_ids)} runs of {self.side} have {self.on}={self.value!r}:"
            f" {some_of(self.run_ids)}"
        )


class ModelUnusable(UsageError):
    """A SQLModel class asks for what DuckDB cannot hold or check.

    ``field`` is ``None`` where the class as a whole does.
    """

    def __init__(self, model: str, field: str | None, reason: str) -> None:
        super().__init__(model, field, reason)
        self.model, self.field, self.reason = model, field, reason

    def __str__(self) -> str:
        what = self.model if self.field is None else f"field {self.field!r} of {self.model}"
        return f"{what} {self.reason}"


class PathEscape(UsageError):
    """A path leaves the folder it belongs to."""

    def __init__(self, path: str, root: str) -> None:
        super().__init__(path, root)
        self.path, self.root = path, root

    def __str__(self) -> str:
        return f"{self.path!r} lies outside {self.root!r}"


class Untrusted(PathEscape):
    """An artifact lies in a folder that only its database names."""

    def __init__(self, key: str, uri: str) -> None:
        super().__init__(key, uri)
        self.key, self.uri = key, uri

    def __str__(self) -> str:
        return f"{self.key!r} lies at {self.uri}, a place that only the database names"


class WrongType(ConsistError, TypeError):
    """An argument has a type that nobody accepts there."""


class UnhashableValue(WrongType):
    """A value has no defined identity."""

    def __init__(self, key_path: str, type_name: str) -> None:
        super().__init__(key_path, type_name)
        self.key_path, self.type_name = key_path, type_name

    def __str__(self) -> str:
        return f"{self.key_path} is a {self.type_name}, which has no defined identity"


# ---------------------------------------------------------------- schemas


class Violation(NamedTuple):
    """A rule of a schema that rows break.

    Attributes
    ----------
    column : str
        The column, or several of one key.
    rule : str
        What is wrong, as the end of a sentence about the column or its values.
    rows : int or None
        How many rows; ``None`` where it is about the column.
    examples : tuple
        Number (from 1) and value of the first of these rows.
    """

    column: str
    rule: str
    rows: int | None = None
    examples: tuple[tuple[int, str | None], ...] = ()

    def __str__(self) -> str:
        if self.rows is None:
            return f"{self.column}: {self.rule}"
        shown = ", ".join(
            f"row {row}" if value is None else f"row {row}: {value!r}"
            for row, value in self.examples
        )
        return f"{self.column}: {self.rule}: {self.rows:,} row{'s'[: self.rows != 1]} ({shown})"


class SchemaViolation(ConsistError, ValueError):
    """The rows of an artifact are not what their schema says."""

    def __init__(
        self, key: str, model: str, rows: int, violations: tuple[Violation, ...], more: int = 0
    ) -> None:
        super().__init__(key, model, rows, violations, more)
        self.key, self.model, self.rows = key, model, rows
        self.violations, self.more = violations, more

    def __str__(self) -> str:
        lines = [f"Schema Contract Violation: {self.key!r} ({self.rows:,} rows) is no {self.model}"]
        lines += [f"  {violation}" for violation in self.violations]
        lines += [f"  and {self.more} more"] if self.more else []
        return "\n".join(lines)


# ---------------------------------------------------------------- identity


class IdentityError(ConsistError, RuntimeError):
    """Something could not be digested."""


class CodeIdentityUnavailableError(IdentityError):
    """The identity of the code cannot be obtained in the mode that was asked for."""

    def __init__(self, mode: str, reason: str) -> None:
        super().__init__(mode, reason)
        self.mode, self.reason = mode, reason

    def __str__(self) -> str:
        return f"code identity {self.mode!r} is not available: {self.reason}"


# ---------------------------------------------------------------- files and keys


class CodeDiffers(IdentityError):
    """A worker process has loaded other code than the process that sent it a step."""

    def __init__(self, name: str, host: str, parts: tuple[str, ...] = ()) -> None:
        super().__init__(name, host, parts)
        self.name, self.host, self.parts = name, host, parts

    def __str__(self) -> str:
        where = f" ({', '.join(self.parts)})" if self.parts else ""
        return f"a worker on {self.host} has other code for {self.name!r} than its driver{where}"


class InputMissing(ConsistError, FileNotFoundError):
    """A declared input is not there."""

    def __init__(self, key: str, path: str) -> None:
        super().__init__(key, path)
        self.key, self.path = key, path

    def __str__(self) -> str:
        return f"input {self.key!r} does not exist: {self.path}"


class FileGone(ConsistError, FileNotFoundError):
    """The recorded bytes of an artifact are not where they were."""

    def __init__(self, key: str, tried: tuple[str, ...]) -> None:
        super().__init__(key, tried)
        self.key, self.tried = key, tried

    def __str__(self) -> str:
        return f"no file for artifact {self.key!r} at {', '.join(self.tried)}"


class BundleMissing(ConsistError, FileNotFoundError):
    """No artifact of a run is a config of the role that was asked for."""

    def __init__(self, run_id: str, role: str, adapter: str | None = None) -> None:
        super().__init__(run_id, role, adapter)
        self.run_id, self.role, self.adapter = run_id, role, adapter

    def __str__(self) -> str:
        by = "" if self.adapter is None else f" by adapter {self.adapter!r}"
        return f"no artifact of run {self.run_id!r} is a config of role {self.role!r}{by}"


class SnapshotMissing(ConsistError, FileNotFoundError):
    """A run left no readable snapshot here."""

    def __init__(self, run_id: str, path: str) -> None:
        super().__init__(run_id, path)
        self.run_id, self.path = run_id, path

    def __str__(self) -> str:
        return f"no snapshot of run {self.run_id!r} at {self.path}"


class ArtifactChanged(ConsistError, ValueError):
    """The bytes of an artifact are no longer those that were recorded."""

    what = "artifact"

    def __init__(
        self,
        key: str,
        path: str,
        recorded: str,
        found: str,
        writer: str | None = None,
        overwriter: str | None = None,
    ) -> None:
        super().__init__(key, path, recorded, found, writer, overwriter)
        self.key, self.path, self.recorded, self.found = key, path, recorded, found
        self.writer, self.overwriter = writer, overwriter

    def __str__(self) -> str:
        wrote = "what was recorded" if self.writer is None else f"what run {self.writer!r} wrote"
        since = "" if self.overwriter is None else f"; run {self.overwriter!r} overwrote it"
        return (
            f"{self.what} {self.key!r} changed: {self.path} is not {wrote}{since}"
            f" (recorded {_short(self.recorded)}, found {_short(self.found)})"
        )


class InputChanged(ArtifactChanged):
    """An input that was recorded no longer has the bytes it had."""

    what = "input"


def _short(digest: str) -> str:
    return "another size or time" if digest.startswith("fast:") else digest[:12]


class ChangedWhileCopied(ConsistError, RuntimeError):
    """A file was written while it was copied."""

    def __init__(self, path: str, before: str, after: str) -> None:
        super().__init__(path, before, after)
        self.path, self.before, self.after = path, before, after

    def __str__(self) -> str:
        return f"{self.path} changed while it was copied: {self.before}, then {self.after}"


class HashMismatch(ConsistError, ValueError):
    """A stated content hash is not that of the file."""

    def __init__(self, path: str, stated: str, found: str) -> None:
        super().__init__(path, stated, found)
        self.path, self.stated, self.found = path, stated, found

    def __str__(self) -> str:
        return f"content hash of {self.path} is {self.found}, not {self.stated}"


class UnsupportedFormat(ConsistError, ValueError):
    """No driver can do what was asked with this format."""

    def __init__(self, driver: str, action: str) -> None:
        super().__init__(driver, action)
        self.driver, self.action = driver, action

    def __str__(self) -> str:
        return f"driver {self.driver!r} cannot {self.action}"


class UnknownKey(ConsistError, KeyError):
    """Nothing is stored under this key."""

    def __init__(self, key: str, where: str, known: tuple[str, ...]) -> None:
        super().__init__(key, where, known)
        self.key, self.where, self.known = key, where, known

    def __str__(self) -> str:
        known = some_of(self.known) or "none"
        return f"no {self.key!r} in {self.where}; known keys: {known}"


class NotRecorded(UnknownKey):
    """Nothing is recorded by this name."""

    def __init__(self, key: str) -> None:
        Exception.__init__(self, key)
        self.key, self.where, self.known = key, "the database", ()

    def __str__(self) -> str:
        return f"nothing is recorded by the name {self.key!r}"


class UnknownInput(InputMissing, UnknownKey):
    """A text among the inputs of a step is neither a key of the coupler nor a file."""

    def __init__(self, key: str, path: str, known: tuple[str, ...]) -> None:
        Exception.__init__(self, key, path, known)
        self.key, self.where, self.path, self.known = key, "the coupler", path, known

    def __str__(self) -> str:
        known = ", ".join(self.known) if self.known else "none"
        return (
            f"input {self.key!r} is neither a key of the coupler nor a file:"
            f" known keys: {known}; no file {self.path}"
        )


# ---------------------------------------------------------------- state


class RunStateError(ConsistError, RuntimeError):
    """Not possible in the present state of runs and trackers."""


class NoActiveRun(RunStateError):
    """A call that belongs into a run was made outside one, or several runs could be meant."""

    def __init__(self, action: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(action, candidates)
        self.action, self.candidates = action, candidates

    def __str__(self) -> str:
        if not self.candidates:
            return f"{self.action} needs an active run and there is none"
        return f"{self.action} needs one active run; open are {', '.join(self.candidates)}"


class RunAlreadyActive(RunStateError):
    """A run was begun while another one, or one of the same id, is active."""

    def __init__(self, active: str, asked: str) -> None:
        super().__init__(active, asked)
        self.active, self.asked = active, asked

    def __str__(self) -> str:
        return f"cannot begin run {self.asked!r}: run {self.active!r} is active"


class NoDatabase(RunStateError):
    """The tracker has no ``db_path``, and the call cannot do without a database."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action

    def __str__(self) -> str:
        return f"{self.action} needs a tracker with a db_path"


class NoTracker(RunStateError):
    """A module-level verb was called with no tracker in reach."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action

    def __str__(self) -> str:
        return f"consist.{self.action} needs a tracker: none is active and none was passed"


class PurgeRefused(RunStateError):
    """A purge would remove what it must not."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"nothing was purged: {self.reason}"


class ReadOnlyTracker(RunStateError):
    """The access mode of the tracker does not allow the call."""

    def __init__(self, action: str, access_mode: str) -> None:
        super().__init__(action, access_mode)
        self.action, self.access_mode = action, access_mode

    def __str__(self) -> str:
        return f"a tracker in access mode {self.access_mode!r} cannot {self.action}"


class TrackerClosed(RunStateError):
    """The tracker was closed."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action

    def __str__(self) -> str:
        return f"cannot {self.action}: the tracker is closed"


# ---------------------------------------------------------------- outputs


class OutputError(ConsistError, RuntimeError):
    """A step broke a promise about its outputs."""


class OutputMissing(OutputError):
    """Declared outputs were not produced."""

    def __init__(self, run_id: str, missing: tuple[str, ...]) -> None:
        super().__init__(run_id, missing)
        self.run_id, self.missing = run_id, missing

    def __str__(self) -> str:
        return f"run {self.run_id!r} did not produce {', '.join(self.missing)}"


class OutputMismatch(OutputError):
    """The number or the names of the returned outputs are not those declared."""

    def __init__(self, run_id: str, declared: tuple[str, ...], returned: str) -> None:
        super().__init__(run_id, declared, returned)
        self.run_id, self.declared, self.returned = run_id, declared, returned

    def __str__(self) -> str:
        declared = ", ".join(self.declared)
        return f"run {self.run_id!r} declared outputs {declared} and returned {self.returned}"


class SweepError(ConsistError, RuntimeError):
    """A sweep ended before all of it was done.

    Attributes
    ----------
    result : SweepResult
        What was done.
    """

    def __init__(self, name: str, facts: str, result: Any = None) -> None:
        super().__init__(name, facts, result)
        self.name, self.facts, self.result = name, facts, result


class PointsFailed(SweepError):
    """Points of a sweep failed."""

    def __str__(self) -> str:
        return f"sweep {self.name!r}: {self.facts}"


class WorkersLost(SweepError):
    """The executor of a sweep broke, so that nothing more can be sent to it."""

    def __str__(self) -> str:
        return f"sweep {self.name!r} lost its workers: {self.facts}"


class PointsFileUnusable(ConsistError, ValueError):
    """A points file cannot be read, or does not fit to what is asked for or found here."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"points file {self.path}: {self.reason}"


class StepNotFound(ConsistError, ImportError):
    """Code that a points file names cannot be loaded."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(step, reason)
        self.step, self.reason = step, reason

    def __str__(self) -> str:
        return f"cannot load {self.step!r}: {self.reason}"


class TimeLimitExceeded(BaseException):
    """A step took longer than it was allowed to.

    No ``Exception``, so that a step that handles every error of its own does not handle this one.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the step took longer than its time limit of {self.seconds:g} s"


class ColumnConflict(ConsistError, ValueError):
    """A column of ingested rows and that of the same name in their table cannot be one."""

    def __init__(self, table: str, column: str, stored: str, given: str) -> None:
        super().__init__(table, column, stored, given)
        self.table, self.column, self.stored, self.given = table, column, stored, given

    def __str__(self) -> str:
        return (
            f"column {self.column!r} of table {self.table!r} is {self.stored}, and these rows have"
            f" {self.given}: no type holds the values of both"
        )


class MissingExtra(ConsistError, ImportError):
    """An optional library is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(purpose, extra)
        self.purpose, self.extra = purpose, extra

    def __str__(self) -> str:
        return f"{self.purpose} needs: pip install 'consist[{self.extra}]'"


class NotSupportedYet(ConsistError, NotImplementedError):
    """A documented feature is not part of this version; better said than ignored."""

    def __init__(self, feature: str) -> None:
        super().__init__(feature)
        self.feature = feature

    def __str__(self) -> str:
        return f"{self.feature} is not supported by this version of Consist"


# ---------------------------------------------------------------- store


class StoreError(ConsistError, RuntimeError):
    """The record could not be read or written."""


class StoreLocked(StoreError):
    """Another process holds the database and did not let go in time."""

    def __init__(self, path: str, holder: str, waited: float) -> None:
        super().__init__(path, holder, waited)
        self.path, self.holder, self.waited = path, holder, waited

    def __str__(self) -> str:
        return f"{self.path} is held by {self.holder} (waited {self.waited:.1f} s)"


class StoreUnwritable(StoreError):
    """A record could not be written: disk full, read-only folder or no permission."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"cannot write {self.path}: {self.reason}"


class InvalidRecord(StoreError):
    """A record has a part that nobody could read again."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(run_id, reason)
        self.run_id, self.reason = run_id, reason

    def __str__(self) -> str:
        return f"run {self.run_id!r} cannot be recorded: {self.reason}"


class StoreDamaged(StoreError):
    """A stored file cannot be read as what it should be."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} is damaged: {self.reason}"


class StoreTooNew(StoreError):
    """The store was written by a newer version of this library."""

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(path, found, known)
        self.path, self.found, self.known = path, found, known

    def __str__(self) -> str:
        return f"{self.path} has format {self.found}; this library knows up to {self.known}"


class RunIdTaken(StoreError):
    """A shard holds runs whose ids other runs have in the database."""

    def __init__(self, run_ids: tuple[str, ...]) -> None:
        super().__init__(run_ids)
        self.run_ids = run_ids

    def __str__(self) -> str:
        return f"other runs of this database have the ids {some_of(self.run_ids)}"
