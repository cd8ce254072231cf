"""Frozen records and their one JSON codec.

A :class:`RunDocument` is everything that is known of one run. The same bytes are the payload of a
journal record and, indented, the JSON snapshot of the run, so that either can rebuild the other.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from consist.models.observed import ObservedSchema

Direction = Literal["input", "output"]
RunStatus = Literal["running", "completed", "failed", "interrupted"]

FORMAT_VERSION = 1
"""Version of the record format; an older library leaves newer records alone and says so."""

EXPLANATION = "cache_miss_explanation"
"""Where the metadata of an executed run says why it was no hit."""

INVALIDATED = "invalidated"
"""Where the metadata of a run says who let it never be given back again, and why."""

NOTES = "notes"
"""Where the metadata of a run keeps what was noted about it."""

STATUS_FIXED = "status_fixed"
"""Where the metadata of a run says who corrected its status, and what it was before."""

Raw = msgspec.Raw
NULL = msgspec.Raw(b"null")
"""JSON null, embedded where a document has no such part."""

_CONTENT_NAMESPACE = bytes.fromhex("6b1f1b0e6f0b4c399d5e0d6d5a4c7a11")


class ArtifactRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded version of a file or of a part of one.

    ``root`` and ``container_uri`` together are its location: two run folders are two roots, so
    ``./x`` below each of them is two places. ``run_signature`` is the signature of the producing
    run, denormalised because it is what a consumer's identity needs.
    """

    id: str
    key: str
    container_uri: str
    root: str = ""
    driver: str = "unknown"
    hash: str | None = None
    content_id: str | None = None
    table_path: str | None = None
    array_path: str | None = None
    parent_artifact_id: str | None = None
    run_id: str | None = None
    run_signature: str | None = None
    meta: dict[str, Any] = {}
    created_at: datetime

    @property
    def content(self) -> str | None:
        """What stands for the content: a digest of the driver's, or else that of the bytes."""
        return self.meta.get("content_digest") or self.hash

    @property
    def location(self) -> tuple[str, str, str | None, str | None]:
        """Where the recorded bytes lie: root, URI and the path inside a container."""
        return (self.root, self.container_uri, self.table_path, self.array_path)

    @property
    def is_folder(self) -> bool:
        """Whether a folder was recorded, and not a file."""
        return self.meta.get("artifact_kind") == "directory"


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The row of one run; field by field the columns of table ``run``."""

    id: str
    uid: str
    requested_id: str
    attempt: int = 1
    parent_run_id: str | None = None
    status: str = "running"
    model_name: str
    description: str | None = None
    year: int | None = None
    iteration: int | None = None
    stage: str | None = None
    phase: str | None = None
    tags: tuple[str, ...] = ()
    config_hash: str | None = None
    git_hash: str | None = None
    input_hash: str | None = None
    signature: str | None = None
    meta: dict[str, Any] = {}
    started_at: datetime
    ended_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


class FacetRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the facet of a run is to be stored: its namespace, its schema, whether it is indexed.

    ``exact`` has those leaves, by flattened key, that hold a number which JSON has no place for
    (``NaN``, an infinity, more than 64 bits), as Python's ``json`` writes and reads them. In the
    facet itself such a number is text.
    """

    namespace: str
    schema_name: str | None = None
    schema_version: str | None = None
    index: bool = True
    exact: dict[str, str] = {}


class ArtifactFacetRecord(msgspec.Struct, frozen=True):
    """The facet of an artifact, and how it is to be stored."""

    values: dict[str, Any]
    how: FacetRecord

    @property
    def id(self) -> str:
        """Digest of the values, under which equal facets are stored once."""
        return facet_digest(self.values)


class ProcessRecord(msgspec.Struct, frozen=True):
    """Which process a run belongs to; told apart from a later one of the same pid by its start."""

    host: str
    pid: int
    started: float


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that was said of a run after it was recorded; see ``models.changes``.

    Attributes
    ----------
    id : str
        Random, so that a change enters once however often it is met.
    at : datetime.datetime
        When it was said; of two that contradict each other, the later counts.
    by : str or None
        Who said it: ``user@host``.
    tags, untagged : tuple of str
        Labels that the run has from then on, and labels that it loses.
    note : str or None
        A remark.
    invalid : bool
        Whether the run may never be given back again.
    status : str or None
        How the run ended, corrected by hand.
    reason : str or None
        Why it is invalid or has another status.
    news : dict
        Metadata of its artifacts, by artifact id.
    schemas : tuple of ObservedSchema
        Schemas of its artifacts that were captured then.
    """

    id: str
    at: datetime
    by: str | None = None
    tags: tuple[str, ...] = ()
    untagged: tuple[str, ...] = ()
    note: str | None = None
    invalid: bool = False
    status: str | None = None
    reason: str | None = None
    news: dict[str, dict[str, Any]] = {}
    schemas: tuple[ObservedSchema, ...] = ()


class Extra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the documented snapshot has no place for.

    Attributes
    ----------
    content_signature : str or None
        The signature computed with every input by content; the second chance of a look-up.
    reusable : bool
        Whether the run may ever be a cache source.
    claimed : bool
        Whether the id was asked for by name.
    block : bool
        Whether the run was an inline block, whose outputs the code around it decides.
    input_digests : dict
        Digest of each declared input when the run began, by artifact id.
    late_inputs : tuple of str
        Artifact ids that were logged as inputs while the run was active.
    supersedes : tuple of str
        Internal ids of runs that are never cache sources again.
    facet : FacetRecord or None
        How to store ``facet``.
    process : ProcessRecord or None
        Who executed the run.
    input_names : dict
        Names that inputs were given under, by artifact id, where they are not their keys.
    artifact_facets : dict
        Facets that the run gave to artifacts, by artifact id.
    news : dict
        What the run said of artifacts that were recorded before: metadata by artifact id.
    code_parts : dict
        What the identity of the code was made of: label → digest. A hit has those of its source.
    binding : dict or None
        How each input reached the function, by parameter; ``None`` where that was not recorded.
    changes : tuple of Change
        What was said of the run afterwards. Its row, and the metadata of its artifacts, are as
        they follow from that.
    environment : msgspec.Raw
        Where the run was done, encoded once per process; JSON null where that was not recorded.
    schemas : tuple of ObservedSchema
        What schemas the run observed on artifacts.
    """

    content_signature: str | None = None
    reusable: bool = True
    claimed: bool = False
    block: bool = False
    input_digests: dict[str, str | None] = {}
    late_inputs: tuple[str, ...] = ()
    supersedes: tuple[str, ...] = ()
    facet: FacetRecord | None = None
    process: ProcessRecord | None = None
    input_names: dict[str, str] = {}
    artifact_facets: dict[str, ArtifactFacetRecord] = {}
    news: dict[str, dict[str, Any]] = {}
    code_parts: dict[str, str] = {}
    binding: dict[str, str] | None = None
    changes: tuple[Change, ...] = ()
    environment: msgspec.Raw = NULL
    schemas: tuple[ObservedSchema, ...] = ()


class RunDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one run."""

    run: RunRecord
    inputs: tuple[ArtifactRecord, ...] = ()
    outputs: tuple[ArtifactRecord, ...] = ()
    cached_run: msgspec.Raw = NULL
    config: msgspec.Raw = NULL
    facet: dict[str, Any] | None = None
    extra: Extra = Extra()

    @property
    def is_hit(self) -> bool:
        """Whether the run gave back what another one had done."""
        return bool(self.run.meta.get("cache_hit"))

    @property
    def is_source(self) -> bool:
        """Whether a later run of the same signature may take its outputs."""
        run = self.run
        return (
            run.status == "completed"
            and run.signature is not None
            and self.extra.reusable
            and not self.is_hit
            and INVALIDATED not in run.meta
            and STATUS_FIXED not in run.meta
        )


class RunEvent(msgspec.Struct, frozen=True, tag="run", tag_field="kind"):
    """A run began, ended or was corrected; the document replaces what was known."""

    doc: RunDocument


class LogEvent(msgspec.Struct, frozen=True, tag="log", tag_field="kind", omit_defaults=True):
    """Artifacts were logged into a run that is still active.

    ``facets``, ``news`` and ``schemas`` are of these artifacts; see :class:`Extra`.
    """

    uid: str
    run_id: str
    direction: Direction
    artifacts: tuple[ArtifactRecord, ...]
    facets: dict[str, ArtifactFacetRecord] = {}
    news: dict[str, dict[str, Any]] = {}
    schemas: tuple[ObservedSchema, ...] = ()


class RowEvent(msgspec.Struct, frozen=True, tag="row", tag_field="kind"):
    """The row of a run is now this; its artifacts, config and facet are as before."""

    run: RunRecord


class RowsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one artifact, as they were staged.

    Attributes
    ----------
    table : str
        Table of the rows, in schema ``global_tables``.
    file : str
        Name of the staged Parquet file in the folder ``rows`` of the journal.
    count : int
        How many rows there are.
    columns : tuple of StoredColumn
        The columns of the source, in its order.
    recipe : dict
        What else it takes to make the source again; the room that ingests gives it its meaning.
    children : tuple of RowsRecord
        Tables that the lists inside these rows became; they come and go with these rows.
    parent : str or None
        Of such a table, the one that it belongs to.
    added : tuple of StoredColumn
        Columns of the table that the source lacks, and that a schema has a default for.
    first : tuple of str
        Columns that come first in a table that is made for these rows, in this order.
    """

    table: str
    file: str
    count: int
    columns: tuple[StoredColumn, ...]
    recipe: dict[str, Any] = {}
    children: tuple[RowsRecord, ...] = ()
    parent: str | None = None
    added: tuple[StoredColumn, ...] = ()
    first: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The staged files of all tables, that of the first one first."""
        return (self.file, *(child.file for child in self.children))


class StoredColumn(msgspec.Struct, frozen=True):
    """A column of ingested rows.

    ``name`` is that of the source, ``staged`` that in the staged file, ``stored`` that in the
    table, and ``type`` the DuckDB type that the values have. ``text`` is the staged column that
    holds what the source said where the value alone does not tell, if there is one. ``source`` is
    the type that reading the source gives, where a schema gave the values another.
    """

    name: str
    staged: str
    stored: str
    type: str
    text: str | None = None
    source: str | None = None


class IngestEvent(
    msgspec.Struct, frozen=True, tag="ingest", tag_field="kind", kw_only=True, omit_defaults=True
):
    """The rows of an artifact are now these, whatever they were before.

    ``news`` are the metadata that the artifact took in, which its record here has already;
    ``schemas`` is the layout that its table has.
    """

    uid: str
    run_id: str
    year: int | None = None
    iteration: int | None = None
    artifact: ArtifactRecord
    news: dict[str, Any]
    rows: RowsRecord
    at: datetime
    schemas: tuple[ObservedSchema, ...] = ()


class ChangeEvent(msgspec.Struct, frozen=True, tag="change", tag_field="kind", omit_defaults=True):
    """Something was said of a run after it was recorded.

    ``run_dir`` is the run folder that its snapshot lies in, where that is known.
    """

    uid: str
    run_id: str
    change: Change
    run_dir: str | None = None


class PurgeEvent(msgspec.Struct, frozen=True, tag="purge", tag_field="kind", kw_only=True):
    """Runs were removed from the record, and nothing brings them back.

    Attributes
    ----------
    runs : dict
        Recorded ids of the runs, by internal id.
    artifacts : tuple of str
        Ids of artifacts that go with them, unless another run turns out to use them.
    rows : bool
        Whether rows that were ingested from these artifacts, or name these runs, go as well.
    cache : bool
        Whether rows of shared tables go that only these runs were linked to.
    at, by
        When, and by whom.
    """

    runs: dict[str, str]
    artifacts: tuple[str, ...] = ()
    rows: bool = False
    cache: bool = False
    at: datetime
    by: str | None = None


class PackagesEvent(msgspec.Struct, frozen=True, tag="packages", tag_field="kind"):
    """The packages of an environment, stored once under the digest that runs name."""

    id: str
    packages: dict[str, str]
    at: datetime


RunBound: TypeAlias = RunEvent | LogEvent | RowEvent | IngestEvent | ChangeEvent
"""What is about one run."""

Event: TypeAlias = RunBound | PurgeEvent | PackagesEvent
EVENTS = (RunEvent, LogEvent, RowEvent, IngestEvent, ChangeEvent, PurgeEvent, PackagesEvent)

_encoder = msgspec.json.Encoder(enc_hook=str)
_document_decoder = msgspec.json.Decoder(RunDocument)
_event_decoder = msgspec.json.Decoder(Event)

encode = _encoder.encode
"""Any record or plain value as compact JSON."""

decode_document = _document_decoder.decode
decode_event = _event_decoder.decode
replace = msgspec.structs.replace


def raw(value: object) -> msgspec.Raw:
    """``value`` encoded once, to be embedded in documents as it is."""
    return msgspec.Raw(encode(value))


def storable(text: str) -> str:
    """Return text that can be written: halves of characters, as odd file names have, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def encode_run_event(document: bytes) -> bytes:
    """Return the journal payload of an encoded document, without encoding it again."""
    return b'{"kind":"run","doc":' + document + b"}"


def indent(document: bytes) -> bytes:
    """Return an encoded document as people like to read it."""
    return msgspec.json.format(document, indent=2)


def canonical_facet(facet: Mapping[str, Any]) -> bytes:
    """Return a facet as JSON that is the same for equal facets."""
    return msgspec.json.encode(facet, order="sorted", enc_hook=str)


def facet_digest(facet: Mapping[str, Any]) -> str:
    """Return the id under which equal facets are stored once."""
    return hashlib.sha256(canonical_facet(facet)).hexdigest()


def content_id(digest: str | None, driver: str) -> str | None:
    """Return the id that all artifacts of equal bytes and driver share, if a digest is known."""
    if digest is None:
        return None
    name = hashlib.sha1(_CONTENT_NAMESPACE + f"{driver}:{digest}".encode(), usedforsecurity=False)
    return _uuid_text(bytearray(name.digest()[:16]), 5)


def new_uuid() -> str:
    """Return a random UUID as text; the standard library's module costs more to import."""
    return _uuid_text(bytearray(os.urandom(16)), 4)


def _uuid_text(octets: bytearray, version: int) -> str:
    octets[6] = octets[6] & 0x0F | version << 4
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
