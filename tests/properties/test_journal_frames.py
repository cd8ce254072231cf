"""Whatever happens to a journal's bytes, undamaged records are read and nothing else is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from consist.models.record import decode_event, encode, encode_run_event
from consist.store.frames import frame, read_frames
from consist.store.journals import read_entries
from tests.unit.store.worlds import artifact, document

payloads = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=30), max_size=4).map(encode), max_size=8
)


def read(content: bytes, *, resync: bool = False, offset: int = 0) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "one.journal")
        path.write_bytes(content)
        return [found.payload for found in read_frames(path, offset, resync=resync)]


@given(payloads)
def test_what_was_written_is_read(records: list[bytes]) -> None:
    assert read(b"".join(map(frame, records))) == records


@given(payloads, st.integers(0, 2_000))
def test_a_cut_anywhere_leaves_the_whole_records_before_it(records: list[bytes], cut: int) -> None:
    content = b"".join(map(frame, records))[:cut]
    ends, at = [], 0
    for record in records:
        at += len(frame(record))
        ends.append(at)
    whole = sum(end <= len(content) for end in ends)
    assert read(content) == read(content, resync=True) == records[:whole]


@given(payloads.filter(bool), st.data())
def test_damage_costs_the_records_it_touches_and_no_others(
    records: list[bytes], data: st.DataObject
) -> None:
    hit = data.draw(st.integers(0, len(records) - 1))
    frames = [bytearray(frame(record)) for record in records]
    at = data.draw(st.integers(0, len(frames[hit]) - 2))
    frames[hit][at] ^= data.draw(st.integers(1, 255))
    found = read(b"".join(frames), resync=True)
    expected = records[:hit] + records[hit + 1 :]
    # A byte that becomes a line end or another record's header can cost no more than this one.
    assert found == expected


@given(st.binary(max_size=3_000))
def test_garbage_is_never_a_record_and_never_an_error(garbage: bytes) -> None:
    for payload in read(garbage, resync=True):
        assert frame(payload) in garbage


@given(st.binary(max_size=200).map(frame))
def test_any_framed_bytes_are_an_entry_or_unknown(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "one.journal")
        path.write_bytes(content)
        assert len(list(read_entries(path))) <= 1


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=4), st.text(max_size=30))
def test_a_document_comes_back_as_it_was(meta: dict[str, object], text: str) -> None:
    done = document("a", meta=meta, facet=meta, description=text, inputs=(artifact(meta=meta),))
    encoded = encode(done)
    assert encode(decode_event(encode_run_event(encoded)).doc) == encoded  # type: ignore[union-attr]
    assert msgspec.json.decode(encoded)["run"]["meta"] == meta
