"""The store of a tracker without a database: snapshots, and nothing to look up or ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from consist.errors import NoDatabase
from consist.files.places import RunPlaces
from consist.models.observed import SchemaRecord
from consist.models.record import (
    ArtifactRecord,
    ChangeEvent,
    IngestEvent,
    LogEvent,
    PackagesEvent,
    PurgeEvent,
    RowEvent,
    RunDocument,
    encode,
)
from consist.store import claims, snapshots
from consist.store.captured import LatestSchema
from consist.store.claims import Claim
from consist.store.index import Attempt, Location, Overwritten
from consist.store.joint import Joint
from consist.store.recent import Earlier, PassedOver
from consist.store.staging import StagedFile
from consist.store.tail_rows import ArtifactRows


class UnindexedStore:
    """Writes snapshots below ``run_dir``. Every run executes."""

    has_database = False
    incomplete: str | None = None

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.places = RunPlaces(run_dir)

    def append(self, document: RunDocument) -> bytes:
        """Return the document as encoded; its snapshot is the record."""
        return encode(document)

    def amend(self, event: LogEvent | RowEvent) -> None:
        """Do nothing: the next snapshot holds the change."""

    def change(self, events: Iterable[ChangeEvent]) -> None:  # noqa: ARG002
        """Refuse.

        Raises
        ------
        NoDatabase
        """
        raise NoDatabase("changing what is recorded")

    def purge(self, event: PurgeEvent) -> None:  # noqa: ARG002
        """Refuse, as :meth:`change` does."""
        raise NoDatabase("purging runs")

    def remember_packages(self, event: PackagesEvent) -> None:
        """Write the packages beside the snapshots."""
        snapshots.write_packages(self.places, event)

    def stage(self) -> AbstractContextManager[StagedFile]:
        """Refuse.

        Raises
        ------
        NoDatabase
        """
        raise NoDatabase("ingest")

    def ingest(self, event: IngestEvent, *staged: StagedFile) -> None:  # noqa: ARG002
        """Refuse, as :meth:`stage` does."""
        raise NoDatabase("ingest")

    def ingest_now(self, event: IngestEvent, *staged: StagedFile) -> None:  # noqa: ARG002
        """Refuse, as :meth:`stage` does."""
        raise NoDatabase("ingest")

    def rows_of(self, artifact_id: str) -> AbstractContextManager[ArtifactRows | None]:  # noqa: ARG002
        """Refuse, as :meth:`stage` does."""
        raise NoDatabase("reading ingested rows")

    def write_snapshot(self, run_id: str, document: bytes, *, latest: bool = True) -> None:
        """Write the readable file of a run."""
        snapshots.write_snapshot(self.places, run_id, document, latest=latest)

    def candidates(self, signature: str, *, thorough: bool = True) -> list[RunDocument]:  # noqa: ARG002
        """Return nothing."""
        return []

    def recent(self, model: str) -> list[Earlier]:  # noqa: ARG002
        """Return nothing."""
        return []

    def recent_document(self, model: str, uid: str) -> RunDocument | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def passed_over(self, signature: str) -> list[PassedOver]:  # noqa: ARG002
        """Return nothing."""
        return []

    def located(self, location: Location) -> ArtifactRecord | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def schema_of_content(self, content: str) -> SchemaRecord | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def latest_schema(self, key: str, kind: str) -> LatestSchema | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def layout(self, schema_id: str) -> SchemaRecord | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def overwritten(self, artifact: ArtifactRecord) -> Overwritten | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def of_content(self, content_id: str) -> list[ArtifactRecord]:  # noqa: ARG002
        """Return nothing."""
        return []

    def attempts(self, requested_id: str) -> dict[int, Attempt]:  # noqa: ARG002
        """Return nothing; the snapshot file alone makes an id unique."""
        return {}

    def claim(self, requested_id: str) -> Claim:
        """Claim the next attempt of an id by its snapshot."""
        return claims.claim(requested_id, 1, None, self.run_dir)

    def try_lease(self, name: str, what: str) -> None:
        """Keep none: what one run did, no other finds."""

    def last_claimed(self, requested_id: str) -> int:
        """Return the highest attempt of an id whose snapshot is there; 0 without any."""
        return claims.last_claimed(requested_id, 0, None, self.run_dir)

    def claim_attempt(self, requested_id: str, attempt: int) -> Claim | None:
        """Claim one attempt of an id by its snapshot, or return ``None``."""
        return claims.claim_attempt(requested_id, attempt, None, self.run_dir)

    def recorded(self, claim: Claim, run_dir: str | None = None) -> RunDocument | None:
        """Return what the snapshot of a claimed run holds, ``None`` if that is nothing."""
        return snapshots.first_snapshot((run_dir, str(self.run_dir)), claim.run_id)

    def joint(self, requested_id: str) -> Joint:
        """Return what the blocks share that joined a scenario."""
        return Joint(self.run_dir / snapshots.FOLDER / "joined", requested_id)

    def artifacts_of_scenario(self, run_id: str) -> list[ArtifactRecord]:  # noqa: ARG002
        """Return nothing."""
        return []

    def ask(self, *, views: bool = False) -> AbstractContextManager[Any]:  # noqa: ARG002
        """Refuse.

        Raises
        ------
        NoDatabase
        """
        raise NoDatabase("a question")

    def scratch(self) -> Any:
        """Refuse.

        Raises
        ------
        NoDatabase
        """
        raise NoDatabase("a question")

    def publish(self, function: Callable[[Any], None]) -> None:
        """Do nothing: there are no merges."""

    def publish_soon(self) -> None:
        """Do nothing."""

    @property
    def instance(self) -> int:
        """Which instance such connections belong to: after a merge that failed, another."""
        return 0

    def furnish(self, function: Callable[[Any, int], None]) -> None:
        """Do nothing: there are no questions."""

    @property
    def engine(self) -> None:
        """There is none."""
        return None

    @property
    def engine_without_views(self) -> None:
        """There is none."""
        return None

    def sync(self, wait: float = 0.0) -> bool:  # noqa: ARG002
        """Do nothing."""
        return True

    def rebuild(self, run_dirs: Iterable[Path]) -> int:  # noqa: ARG002
        """Refuse.

        Raises
        ------
        NoDatabase
        """
        raise NoDatabase("rebuilding")

    def close(self) -> None:
        """Do nothing."""
