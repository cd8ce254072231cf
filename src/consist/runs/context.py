"""The handle on the active run that a step's function may ask for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from consist.active import ActiveRun
from consist.artifacts import load as _load
from consist.artifacts import log_artifact, log_artifacts, log_input, log_output
from consist.errors import NoActiveRun, UnknownKey, WrongType, hint
from consist.files.places import output_dir, output_path
from consist.runs.folders import artifact_dir_of
from consist.runs.lifecycle import log_meta
from consist.runs.outputs import OutputCapture, capture_outputs
from consist.types import PathLike

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.run import Run
    from consist.workspace import Workspace


class RunContext:
    r"""What a step may need of the run it is executed in, without naming a tracker.

    Examples
    --------
    >>> def simulate(config, ctx: RunContext):
    ...     out = ctx.output_path("results", ext="csv")
    ...     out.write_text("a,b\\n")
    ...     ctx.log_output(out, key="results")
    """

    def __init__(self, workspace: Workspace, run: ActiveRun) -> None:
        self._workspace, self._run = workspace, run

    def __repr__(self) -> str:
        return f"RunContext(run_id={self._run.run_id!r})"

    def __reduce__(self) -> NoReturn:
        problem = WrongType("a RunContext cannot be sent to another process")
        raise hint(problem, "send paths, such as ctx.output_path(key), and log what comes back")

    def _active(self, action: str) -> ActiveRun:
        run = self._run
        if not run.is_open:
            raise hint(NoActiveRun(f"RunContext.{action}"), f"run {run.run_id!r} has ended")
        run.check_here(f"RunContext.{action}")
        return run

    def _inside(self, action: str) -> AbstractContextManager[None]:
        """Let what is logged here go to this run, whichever is active."""
        return self._workspace.active.inside(self._active(action))

    @property
    def run(self) -> Run:
        """The run as recorded so far."""
        from consist.models.run import Run

        return Run.from_record(self._run.record)

    @property
    def run_dir(self) -> Path:
        """Folder for the outputs of this run; created when first asked for."""
        return output_dir(self._folder("run_dir"))

    @property
    def inputs(self) -> dict[str, Artifact]:
        """Input artifacts by the name they were given, or their key.

        Raises
        ------
        RuntimeError
            After the run has ended.
        """
        named = dict(self._active("inputs").named)
        return {name: self._workspace.artifact_of(record) for name, record in named.items()}

    @property
    def canonicalization(self) -> None:
        """What a config adapter made of the config: nothing, as runs have no adapter yet."""
        return

    def output_dir(self, namespace: str | None = None) -> Path:
        """Return the run's output folder, or one below it, and create it.

        Raises
        ------
        ValueError
            If ``namespace`` leads out of the folder.
        """
        return output_dir(self._folder("output_dir"), namespace)

    def output_path(self, key: str, ext: str = "parquet") -> Path:
        """Return ``<output folder>/<key>.<ext>``, always the same one, and create its parents.

        Raises
        ------
        ValueError
            If the path would leave the folder.
        """
        return output_path(self._folder("output_path"), key, ext)

    def _folder(self, action: str) -> Path:
        return artifact_dir_of(self._workspace, self._active(action))

    def load(self, key_or_artifact: str | Artifact) -> Any:
        """Read an input by its key, or any artifact, in the way of its format.

        Raises
        ------
        KeyError
            If there is no input of that key.
        """
        run, artifact = self._active("load"), key_or_artifact
        if isinstance(artifact, str):
            named = dict(run.named)
            if artifact not in named:
                raise UnknownKey(artifact, f"inputs of run {run.run_id!r}", tuple(named))
            artifact = self._workspace.artifact_of(named[artifact])
        with self._inside("load"):
            return _load(self._workspace, artifact)

    def log_artifact(self, *args: Any, **kwargs: Any) -> Artifact:
        """Record a file; arguments as for ``Tracker.log_artifact``."""
        with self._inside("log_artifact"):
            return log_artifact(self._workspace, *args, **kwargs)

    def log_artifacts(self, *args: Any, **kwargs: Any) -> dict[str, Artifact]:
        """Record many files; arguments as for ``Tracker.log_artifacts``."""
        with self._inside("log_artifacts"):
            return log_artifacts(self._workspace, *args, **kwargs)

    def log_input(self, *args: Any, **kwargs: Any) -> Artifact:
        """Record an input; arguments as for ``Tracker.log_input``."""
        with self._inside("log_input"):
            return log_input(self._workspace, *args, **kwargs)

    def log_output(self, *args: Any, **kwargs: Any) -> Artifact:
        """Record an output; arguments as for ``Tracker.log_output``."""
        with self._inside("log_output"):
            return log_output(self._workspace, *args, **kwargs)

    def log_meta(self, **kwargs: Any) -> None:
        """Merge values into the metadata of the run."""
        with self._inside("log_meta"):
            log_meta(self._workspace, **kwargs)

    @contextmanager
    def capture_outputs(
        self, directory: PathLike, pattern: str = "*", recursive: bool = False
    ) -> Generator[OutputCapture]:
        """Log the files that a block creates or changes in a folder, when the block ends.

        Parameters and result as for ``Tracker.capture_outputs``. If the block raises, what it
        wrote until then is logged.
        """
        with (
            self._inside("capture_outputs"),
            capture_outputs(self._workspace, directory, pattern, recursive) as captured,
        ):
            yield captured
