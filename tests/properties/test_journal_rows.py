"""Any run that can be acknowledged can be merged and asked."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consist.models.record import RunDocument
from tests.unit.store.worlds import artifact, document, open_store, table

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scalars = st.none() | st.booleans() | st.integers() | text | st.floats()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(text, values, max_size=4)


@st.composite
def documents(draw: st.DrawFn) -> RunDocument:
    return document(
        year=draw(st.none() | st.integers(-(2**31), 2**31 - 1)),
        description=draw(st.none() | text),
        tags=tuple(draw(st.lists(text, max_size=3))),
        stage=draw(text),
        meta=draw(objects),
        facet=draw(objects),
        inputs=(artifact(draw(text), container_uri=draw(text), meta=draw(objects)),),
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(documents(), min_size=1, max_size=5))
def test_whatever_is_acknowledged_is_asked_and_merged(done: list[RunDocument]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        for one in done:
            store.append(one)
        asked = table(store, "SELECT id, stage, year, description FROM run ORDER BY id")
        assert [row[0] for row in asked] == sorted(one.run.id for one in done)
        assert store.sync()
        assert table(store, "SELECT id, stage, year, description FROM run ORDER BY id") == asked
        stages = {row[0]: row[1] for row in asked}
        for one in done:
            assert stages[one.run.id] == (one.run.stage or "")
        store.close()
