"""Observed schemas travel with the records of runs, and are stored once."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consist.models.observed import (
    ObservedSchema,
    SchemaField,
    SchemaRecord,
    SchemaRelation,
    layout,
)
from consist.models.record import (
    Change,
    ChangeEvent,
    LogEvent,
    PurgeEvent,
    RunEvent,
    decode_event,
    encode,
    new_uuid,
    replace,
)
from consist.store.shard_in import merge_shard
from consist.store.shard_out import write_shard
from tests.unit.store.worlds import document, ended, merged, open_store, record, table

if TYPE_CHECKING:
    from consist.models.record import ArtifactRecord
    from consist.store.embedded import EmbeddedStore

TABLES = (
    "artifact_schema",
    "artifact_schema_field",
    "artifact_schema_observation",
    "artifact_schema_relation",
)


def trips(*more: str) -> SchemaRecord:
    return layout(
        [
            SchemaField(name="id", type="BIGINT", nullable=False, stats={"min": 1, "nulls": 0}),
            SchemaField(name="mode", type="VARCHAR", values=("bus", "car")),
            *(SchemaField(name=name, type="DOUBLE") for name in more),
        ],
        summary={"table_name": "trips"},
        relations=[SchemaRelation(from_field="id", to_table="persons", to_field="id")],
    )


def seen(made: ArtifactRecord, what: SchemaRecord | None = None, **values: Any) -> ObservedSchema:
    what = what or trips()
    given: dict[str, Any] = {"source": "file", "sample_rows": 10, "layout": what}
    return ObservedSchema(
        id=new_uuid(),
        artifact_id=made.id,
        schema_id=what.id,
        at=datetime.now(UTC),
        **(given | values),
    )


def counts(store: EmbeddedStore) -> dict[str, int]:
    with store.ask() as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for table in TABLES
        }


def test_the_id_is_of_names_types_and_nullability_in_their_order() -> None:
    one, other = SchemaField(name="a", type="BIGINT"), SchemaField(name="b", type="VARCHAR")
    known = layout([one, other])
    assert known.id == layout([replace(one, stats={"min": 0}), other], summary={"x": 1}).id
    changed = [
        [other, one],
        [one],
        [replace(one, name="A"), other],
        [replace(one, type="INTEGER"), other],
        [replace(one, nullable=False), other],
    ]
    assert len({known.id, *(layout(fields).id for fields in changed)}) == 6


def test_a_record_without_schemas_is_as_it_was() -> None:
    event = RunEvent(document())
    assert b"schemas" not in encode(event)
    told = replace(event, doc=replace(event.doc, extra=replace(event.doc.extra, schemas=())))
    assert encode(told) == encode(event)
    assert decode_event(encode(event)) == event


def test_a_layout_is_stored_once_and_seen_before_and_after_the_merge(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        first, second = document(tables=2), document()
        store.append(
            replace(
                first,
                extra=replace(
                    first.extra,
                    schemas=(seen(first.outputs[0]), seen(first.outputs[1], layout=None)),
                ),
            )
        )
        told = seen(second.outputs[0], trips("cost"), source="duckdb")
        begun = replace(second, run=replace(second.run, status="running"), outputs=())
        store.append(begun)
        event = LogEvent(second.run.uid, second.run.id, "output", second.outputs, schemas=(told,))
        store.amend(event)
        expected = {
            "artifact_schema": 2,
            "artifact_schema_field": 5,
            "artifact_schema_observation": 3,
            "artifact_schema_relation": 2,
        }
        assert counts(store) == expected
        store.sync()
        assert counts(store) == expected
        # The final document repeats what was logged; and a layout comes again with another run.
        store.append(
            ended(
                replace(begun, outputs=second.outputs, extra=replace(begun.extra, schemas=(told,)))
            )
        )
        third = document()
        again = seen(third.outputs[0])
        store.append(replace(third, extra=replace(third.extra, schemas=(again,))))
        expected["artifact_schema_observation"] = 4
        assert counts(store) == expected
        store.sync()
        assert counts(store) == expected
    links = merged(tmp_path, "SELECT from_field, to_table, to_field FROM consist_schema_links")
    assert set(links) == {("id", "persons", "id")}
    rows = merged(
        tmp_path,
        "SELECT name, ordinal_position, logical_type, nullable, stats_json, is_enum,"
        " enum_values_json FROM artifact_schema_field WHERE schema_id ="
        f" '{trips().id}' ORDER BY 2",
    )
    assert rows[0][:4] == ("id", 0, "BIGINT", False)
    assert json.loads(rows[0][4]) == {"min": 1, "nulls": 0}
    assert rows[1][:4] == ("mode", 1, "VARCHAR", True)
    assert (rows[1][5], json.loads(rows[1][6])) == (True, ["bus", "car"])


def test_snapshots_and_shards_bring_schemas_along(tmp_path: Path) -> None:
    done = document()
    late = Change(id=new_uuid(), at=datetime.now(UTC))
    with closing(open_store(tmp_path / "here")) as store:
        done = replace(done, extra=replace(done.extra, schemas=(seen(done.outputs[0]),)))
        done = record(store, done)
        late = replace(late, schemas=(seen(done.outputs[0], trips("cost")),))
        store.change([ChangeEvent(done.run.uid, done.run.id, late, str(store.run_dir))])
        expected = counts(store)
        assert expected["artifact_schema"] == 2
        write_shard(store, done.run.id, tmp_path / "shard.duckdb")
    with closing(open_store(tmp_path / "merged")) as store:
        merge_shard(store, tmp_path / "shard.duckdb", conflict="error", dry_run=False)
        assert counts(store) == expected
        other = document()
        store.append(replace(other, extra=replace(other.extra, schemas=(seen(other.outputs[0]),))))
        store.sync()
        assert counts(store) == {**expected, "artifact_schema_observation": 3}
    (tmp_path / "here/db.duckdb").unlink()
    shutil.rmtree(tmp_path / "here/db.duckdb.journal")
    with closing(open_store(tmp_path / "here")) as store:
        assert store.rebuild([store.run_dir]) in {0, 1}
        assert counts(store) == expected
        known = table(store, "SELECT run_id, source, sample_rows FROM artifact_schema_observation")
        assert known == [(done.run.id, "file", 10)] * 2


def test_what_no_artifact_has_any_more_is_purged(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        for what in (trips(), trips(), trips("cost")):
            done = document()
            store.append(
                replace(done, extra=replace(done.extra, schemas=(seen(done.outputs[0], what),)))
            )
            last = done
        store.sync()
        store.purge(
            PurgeEvent(
                runs={last.run.uid: last.run.id},
                artifacts=tuple(a.id for a in last.outputs),
                at=datetime.now(UTC),
            )
        )
        assert counts(store) == {
            "artifact_schema": 1,
            "artifact_schema_field": 2,
            "artifact_schema_observation": 2,
            "artifact_schema_relation": 1,
        }
        again = document()
        told = seen(again.outputs[0], trips("cost"))
        store.append(replace(again, extra=replace(again.extra, schemas=(told,))))
        store.sync()
        assert counts(store)["artifact_schema_field"] == 5
