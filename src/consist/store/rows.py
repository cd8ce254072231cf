"""From events to rows: which tables a record touches, and with what."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from consist.models.changes import in_order, merged_news
from consist.models.observed import PROFILE_VERSION, SchemaRecord
from consist.models.record import (
    ArtifactFacetRecord,
    ArtifactRecord,
    Change,
    ChangeEvent,
    Direction,
    Extra,
    FacetRecord,
    IngestEvent,
    LogEvent,
    ObservedSchema,
    PackagesEvent,
    RowEvent,
    RunBound,
    RunDocument,
    RunEvent,
    facet_digest,
    replace,
)

Row = dict[str, Any]

KEYS: Mapping[str, tuple[str, ...]] = {
    "run": ("id",),
    "run_extra": ("run_id",),
    "run_change": ("id",),
    "package_set": ("id",),
    "artifact": ("id",),
    "artifact_content": ("id",),
    "run_artifact_link": ("run_id", "artifact_id", "direction"),
    "run_binding_invocation": ("id",),
    "config_facet": ("id", "namespace", "schema_name", "schema_version"),
    "run_config_kv": ("run_id", "facet_id", "namespace", "key"),
    "artifact_facet": ("id", "namespace", "schema_name", "schema_version"),
    "artifact_kv": ("artifact_id", "facet_id", "key_path", "namespace"),
    "artifact_schema": ("id",),
    "artifact_schema_field": ("schema_id", "name"),
    "artifact_schema_observation": ("id",),
    "artifact_schema_relation": ("schema_id", "from_field"),
}
"""The tables people ask, with what makes a row unique."""

REPLACED = frozenset({"run", "run_extra"})
"""Tables whose rows follow later events; all others keep the first row they get."""


@dataclass
class Rows:
    """Rows by table and key, ready to be stored; later events win where rows are replaced.

    ``news`` are metadata to be merged into those of artifacts, by artifact id; ``changes`` what was
    said of runs after they were recorded, by internal id.
    """

    tables: dict[str, dict[tuple[Any, ...], Row]] = field(
        default_factory=dict[str, dict[tuple[Any, ...], Row]]
    )
    news: dict[str, Row] = field(default_factory=dict[str, Row])
    changes: dict[str, list[Change]] = field(default_factory=dict[str, list[Change]])

    def add(self, table: str, row: Row) -> None:
        """Take a row in."""
        key = tuple(row[name] for name in KEYS[table])
        rows = self.tables.setdefault(table, {})
        if table in REPLACED:
            rows[key] = row
        else:
            rows.setdefault(key, row)

    def add_event(
        self, event: RunBound, *, current: bool = True, first: bool = True, begins: bool = True
    ) -> None:
        """Take in everything that one event says.

        Parameters
        ----------
        event : Event
            What happened.
        current : bool
            Whether the row of its run is to be what the event says.
        first : bool
            Whether nothing of the run is stored yet.
        begins : bool
            Whether this is the first that is heard of what the run said of artifacts; later
            documents repeat it, and others may have said something else meanwhile.
        """
        match event:
            case RunEvent(doc=document):
                self._add_run(document, current=current, first=first)
                self._add_parts(document)
                if begins:
                    self._add_news(document.extra.news)
            case LogEvent(run_id=run_id, direction=direction, artifacts=artifacts):
                self._add_artifacts(run_id, direction, artifacts)
                self._add_news(event.news)
                self._add_artifact_facets(artifacts, event.facets)
                self._add_schemas(run_id, event.schemas)
            case RowEvent(run=run):
                if current:
                    self.add("run", fields(run))
            case IngestEvent(artifact=artifact, news=news):
                self._add_artifact(artifact)
                self._add_news({artifact.id: news})
                self._add_schemas(event.run_id, event.schemas)
            case ChangeEvent(uid=uid, change=change):
                self._add_change(uid, event.run_id, change)

    def add_packages(self, event: PackagesEvent) -> None:
        """Take in the packages of an environment."""
        row = {"id": event.id, "packages": event.packages, "created_at": event.at}
        self.add("package_set", row)

    def tell_changes(self, known: Collection[str]) -> None:
        """Let what changes say of artifacts be news, those aside that are known already."""
        said = merged_news(
            change
            for changes in self.changes.values()
            for change in in_order(changes)
            if change.id not in known
        )
        self._add_news(said)

    def _add_change(self, uid: str, run_id: str, change: Change) -> None:
        self._add_schemas(run_id, change.schemas)
        self.changes.setdefault(uid, []).append(change)
        row = {"id": change.id, "uid": uid, "created_at": change.at}
        row |= {"author": change.by, "change": change}
        self.add("run_change", row)

    def _add_run(self, document: RunDocument, *, current: bool, first: bool) -> None:
        run = document.run
        extra = {"run_id": run.id, "extra": stored_extra(document.extra)}
        if current:
            self.add("run", fields(run))
            self.add("run_extra", extra)
        elif first:
            self.tables.setdefault("run_extra", {}).setdefault((run.id,), extra)
        for change in document.extra.changes:
            self._add_change(run.uid, run.id, change)

    def _add_parts(self, document: RunDocument) -> None:
        run, extra = document.run, document.extra
        self._add_artifacts(run.id, "input", document.inputs)
        self._add_artifacts(run.id, "output", document.outputs)
        if extra.artifact_facets:
            artifacts = (*document.inputs, *document.outputs)
            self._add_artifact_facets(artifacts, extra.artifact_facets)
        self._add_schemas(run.id, extra.schemas)
        if document.facet is not None and extra.facet is not None:
            facet_id = self._add_facet("config_facet", document.facet, extra.facet, run.created_at)
            ids = {"run_id": run.id, "facet_id": facet_id, "namespace": extra.facet.namespace}
            for key, leaf in leaves(document.facet, extra.facet) if extra.facet.index else ():
                self.add("run_config_kv", {**ids, "key": key, **leaf, "created_at": run.created_at})

    def _add_news(self, news: Mapping[str, Mapping[str, Any]]) -> None:
        for artifact_id, said in news.items():
            self.news[artifact_id] = {**self.news.get(artifact_id, {}), **said}

    def _add_artifacts(
        self, run_id: str, direction: Direction, artifacts: Iterable[ArtifactRecord]
    ) -> None:
        for artifact in artifacts:
            self._add_artifact(artifact)
            link = {"run_id": run_id, "artifact_id": artifact.id, "direction": direction}
            self.add("run_artifact_link", {**link, "is_implicit": False})

    def _add_artifact(self, artifact: ArtifactRecord) -> None:
        self.add("artifact", fields(artifact))
        if artifact.content_id is not None:
            self.add("artifact_content", _content_row(artifact))

    def _add_artifact_facets(
        self, artifacts: Iterable[ArtifactRecord], facets: Mapping[str, ArtifactFacetRecord]
    ) -> None:
        for artifact in artifacts:
            facet = facets.get(artifact.id)
            if facet is None:
                continue
            at = artifact.created_at
            facet_id = self._add_facet("artifact_facet", facet.values, facet.how, at)
            ids = {
                "artifact_id": artifact.id,
                "facet_id": facet_id,
                "namespace": facet.how.namespace,
            }
            for key, leaf in leaves(facet.values, facet.how) if facet.how.index else ():
                self.add("artifact_kv", {**ids, "key_path": key, **leaf, "created_at": at})

    def _add_schemas(self, run_id: str, observed: Iterable[ObservedSchema]) -> None:
        for one in observed:
            if one.layout is not None:
                self._add_layout(one.layout, one.at)
            row = {"id": one.id, "artifact_id": one.artifact_id, "schema_id": one.schema_id}
            row |= {"run_id": run_id, "source": one.source, "sample_rows": one.sample_rows}
            self.add("artifact_schema_observation", {**row, "observed_at": one.at})

    def _add_layout(self, layout: SchemaRecord, at: datetime) -> None:
        row = {"id": layout.id, "profile_version": PROFILE_VERSION, "created_at": at}
        row |= {"summary_json": layout.summary, "profile_json": layout.profile}
        self.add("artifact_schema", row)
        for position, column in enumerate(layout.fields):
            row = {"schema_id": layout.id, "name": column.name, "ordinal_position": position}
            row |= {"logical_type": column.type, "nullable": column.nullable}
            row |= {"stats_json": column.stats, "is_enum": column.values is not None}
            self.add("artifact_schema_field", {**row, "enum_values_json": column.values})
        for relation in layout.relations:
            row = {"schema_id": layout.id, "from_field": relation.from_field}
            row |= {"to_table": relation.to_table, "to_field": relation.to_field}
            row |= {"relationship_type": relation.kind, "cardinality": relation.cardinality}
            self.add("artifact_schema_relation", row)

    def _add_facet(
        self, table: str, facet: Mapping[str, Any], how: FacetRecord, created_at: datetime
    ) -> str:
        facet_id = facet_digest(facet)
        row = {
            "id": facet_id,
            "namespace": how.namespace,
            "schema_name": how.schema_name,
            "schema_version": how.schema_version,
            "json": facet,
            "created_at": created_at,
        }
        self.add(table, row)
        return facet_id


def stored_extra(extra: Extra) -> Extra:
    """Return what is stored beside a run: all but what has tables of its own."""
    return replace(extra, changes=(), schemas=()) if extra.changes or extra.schemas else extra


def fields(record: Any) -> Row:
    """Return a record as a row, by column."""
    return {name: getattr(record, name) for name in record.__struct_fields__}


def _content_row(artifact: ArtifactRecord) -> Row:
    return {
        "id": artifact.content_id,
        "content_hash": artifact.hash,
        "driver": artifact.driver,
        "created_at": artifact.created_at,
        "meta": {},
    }


# ---------------------------------------------------------------- facets


def flatten(facet: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    r"""Yield the leaves of a facet under dotted keys; a dot inside a key is written ``\.``."""
    for name, value in facet.items():
        key = prefix + flat_key(name)
        if isinstance(value, Mapping) and value:
            yield from flatten(cast("Mapping[str, Any]", value), key + ".")
        else:
            yield key, value


def flat_key(name: str) -> str:
    r"""Return one key as it stands in a dotted one.

    A dot is written ``\.``. Backslashes before a dot or at the end would be taken for that, so
    these are doubled; all others stay.
    """
    if "\\" in name:
        name = _SLASHES.sub(r"\1\1", name)
    return name.replace(".", r"\.")


_SLASHES = re.compile(r"(\\+)(?=\.|\Z)")


def leaves(facet: Mapping[str, Any], how: FacetRecord) -> Iterator[tuple[str, Row]]:
    """Yield the leaves of a stored facet by dotted key, each as :func:`typed` returns it."""
    for key, value in flatten(facet):
        exact = how.exact.get(key)
        yield key, typed(value) if exact is None else _typed_exactly(value, exact)


_INT64 = range(-(2**63), 2**63)


def typed(value: Any) -> Row:
    """Return the type name of a leaf and its value in the column of that type.

    Numbers stand in ``value_num``; integers also in ``value_int``, which holds 64 bits exactly.
    Larger ones are kept as text.
    """
    row: Row = {"value_type": "json", "value_str": None, "value_num": None, "value_int": None,
                "value_bool": None, "value_json": None}  # fmt: skip
    match value:
        case None:
            return row | {"value_type": "null"}
        case bool():
            return row | {"value_type": "bool", "value_bool": value}
        case int() if value in _INT64:
            return row | {"value_type": "int", "value_num": float(value), "value_int": value}
        case int():
            return row | {"value_type": "int", "value_str": str(value), "value_num": _near(value)}
        case float():
            # JSON has no NaN; DuckDB reads it from text.
            number = value if math.isfinite(value) else str(value)
            return row | {"value_type": "float", "value_num": number}
        case str():
            return row | {"value_type": "str", "value_str": value}
        case _:
            return row | {"value_json": value}


def _near(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _typed_exactly(value: Any, exact: str) -> Row:
    """Return a leaf whose numbers JSON has no place for; see :class:`FacetRecord`."""
    import json

    known = json.loads(exact)
    if isinstance(known, list | dict):
        return typed(value) | {"value_str": exact}
    return typed(known)
