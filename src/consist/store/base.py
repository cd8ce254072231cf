"""The protocol behind which the rest of the library does not know how runs are remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

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
)
from consist.store.captured import LatestSchema
from consist.store.claims import Claim
from consist.store.index import Attempt, Location, Overwritten
from consist.store.joint import Joint
from consist.store.recent import Earlier, PassedOver
from consist.store.staging import StagedFile
from consist.store.tail_rows import ArtifactRows

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from consist.store.leases import Holder, Lease


class Store(Protocol):
    """Remembers runs and answers questions about them."""

    @property
    def has_database(self) -> bool:
        """Whether questions can be asked at all."""
        ...

    @property
    def incomplete(self) -> str | None:
        """Why look-ups may miss what was recorded, or ``None`` if they cannot."""
        ...

    def append(self, document: RunDocument) -> bytes:
        """Acknowledge what is known of a run; return the document as encoded."""
        ...

    def amend(self, event: LogEvent | RowEvent) -> None:
        """Acknowledge a change of an active run."""
        ...

    def change(self, events: Iterable[ChangeEvent]) -> None:
        """Acknowledge what is said of runs that were recorded, and let their snapshots tell it."""
        ...

    def purge(self, event: PurgeEvent) -> None:
        """Remove runs from the record before returning, or say who holds the database."""
        ...

    def remember_packages(self, event: PackagesEvent) -> None:
        """Keep the packages of this environment, once."""
        ...

    def stage(self) -> AbstractContextManager[StagedFile]:
        """Yield a place for the rows of one table; they are gone if the block raises."""
        ...

    def ingest(self, event: IngestEvent, *staged: StagedFile) -> None:
        """Acknowledge staged rows, which every question sees from then on."""
        ...

    def ingest_now(self, event: IngestEvent, *staged: StagedFile) -> None:
        """Store staged rows in the database before returning, or say who holds it."""
        ...

    def rows_of(self, artifact_id: str) -> AbstractContextManager[ArtifactRows | None]:
        """Yield the ingested rows of an artifact, ``None`` if there are none."""
        ...

    def write_snapshot(self, run_id: str, document: bytes, *, latest: bool = True) -> None:
        """Write the readable file of a run, once its record is acknowledged.

        ``latest`` also makes it ``consist.json``.
        """
        ...

    def candidates(self, signature: str, *, thorough: bool = True) -> list[RunDocument]:
        """Return the runs that may be given back for a signature, newest first.

        ``thorough`` also reads what other processes recorded since the last look, if nothing
        was found without.
        """
        ...

    def recent(self, model: str) -> list[Earlier]:
        """Return the latest executed runs of a model that have ended, newest first."""
        ...

    def recent_document(self, model: str, uid: str) -> RunDocument | None:
        """Return one of :meth:`recent` without outputs, with its config where that is known."""
        ...

    def passed_over(self, signature: str) -> list[PassedOver]:
        """Return the runs of a signature that can never be given back, and why; the latest few."""
        ...

    def located(self, location: Location) -> ArtifactRecord | None:
        """Return the latest recorded version at a location."""
        ...

    def schema_of_content(self, content: str) -> SchemaRecord | None:
        """Return the layout that a file of this content was seen to have."""
        ...

    def latest_schema(self, key: str, kind: str) -> LatestSchema | None:
        """Return what schema was captured last under a key, of files or of tables."""
        ...

    def layout(self, schema_id: str) -> SchemaRecord | None:
        """Return a captured layout by its id."""
        ...

    def overwritten(self, artifact: ArtifactRecord) -> Overwritten | None:
        """Return what was recorded later where an artifact lies, in it or around it."""
        ...

    def of_content(self, content_id: str) -> list[ArtifactRecord]:
        """Return the recorded artifacts of a content, newest first; this asks the database."""
        ...

    def attempts(self, requested_id: str) -> dict[int, Attempt]:
        """Return the runs that asked for an id, by number."""
        ...

    def claim(self, requested_id: str) -> Claim:
        """Claim the next attempt of an id."""
        ...

    def try_lease(self, name: str, what: str) -> Lease | Holder | None:
        """Take the sole right to do something, or tell who has it.

        Look-ups after this know what was recorded before it. ``None`` where no leases are kept.
        """
        ...

    def last_claimed(self, requested_id: str) -> int:
        """Return the highest attempt of an id that was claimed, recorded or not; 0 without any."""
        ...

    def claim_attempt(self, requested_id: str, attempt: int) -> Claim | None:
        """Claim one attempt of an id, or return ``None`` if somebody else has it."""
        ...

    def recorded(self, claim: Claim, run_dir: str | None = None) -> RunDocument | None:
        """Return what is recorded of a claimed run, with its config where that is at hand."""
        ...

    def joint(self, requested_id: str) -> Joint:
        """Return what the blocks share that joined a scenario."""
        ...

    def artifacts_of_scenario(self, run_id: str) -> list[ArtifactRecord]:
        """Return the latest artifact of each key that a scenario has made; asks the database."""
        ...

    def ask(self, *, views: bool = False) -> AbstractContextManager[Any]:
        """Yield a DuckDB connection whose tables hold every acknowledged record.

        ``views`` are there for who may name them: bringing them up to date costs time.
        """
        ...

    def scratch(self) -> Any:
        """Return a connection that sees those tables while somebody asks, and holds nothing."""
        ...

    @property
    def instance(self) -> int:
        """Which instance such connections belong to: after a merge that failed, another."""
        ...

    def furnish(self, function: Callable[[Any, int], None]) -> None:
        """Call ``function`` with the connection of every question that may name views.

        The number it also gets is another one if anything may have been recorded since the last.
        """
        ...

    def publish(self, function: Callable[[Any], None]) -> None:
        """Call ``function`` with the connection of every merge, once the records are stored."""
        ...

    def publish_soon(self) -> None:
        """Let the next merge, at the latest that of :meth:`close`, publish in any case."""
        ...

    @property
    def engine(self) -> Engine | None:
        """SQLAlchemy engine over the same tables and the views."""
        ...

    @property
    def engine_without_views(self) -> Engine | None:
        """The same for questions of our own, which name no view."""
        ...

    def sync(self, wait: float = 2.0) -> bool:
        """Bring the database file up to date; return whether it could be had in time."""
        ...

    def rebuild(self, run_dirs: Iterable[Path]) -> int:
        """Take in the runs of snapshots that the store does not know; return how many."""
        ...

    def close(self) -> None:
        """Finish what is pending and let go of every file."""
        ...
