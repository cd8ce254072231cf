"""Ingested rows come back as frames, relations and files."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

import consist
from consist import Tracker
from consist.errors import FileGone, UnknownKey, UnsupportedFormat, UsageError
from consist.hot import rows

if TYPE_CHECKING:
    from consist.models.artifact import Artifact

ODD = (
    b'id,"full name",share,when,note,flag\r\n'
    b'007,"Ann, ""A""",1.50,01/31/2030,,True\r\n'
    b'008,"",2,12/01/2030,"",False\r\n'
    b"010,Zo\xc3\xab,1e-7,11/30/2030,NA,True\r\n"
)


def ingested(tracker: Tracker, path: Path, key: str = "t", name: str = "make") -> Artifact:
    with tracker.start_run(name, model="make"):
        artifact = tracker.log_artifact(path, key=key)
        tracker.ingest(artifact)
    return artifact


@pytest.fixture
def odd(here: Path) -> Path:
    path = here / "odd.csv"
    path.write_bytes(ODD)
    return path


@pytest.mark.parametrize("merged", [True, False])
def test_a_lost_csv_is_loaded_as_it_would_be_from_its_file(
    tracker: Tracker, odd: Path, merged: bool
) -> None:
    # ING-010, HYD-020, HYD-021
    artifact = ingested(tracker, odd)
    cold = tracker.load_df(artifact)
    if merged:
        tracker.store.sync()
    odd.unlink()
    hot = tracker.load_df(artifact, db_fallback="always")
    pd.testing.assert_frame_equal(hot, cold)
    some = tracker.load_df(artifact, db_fallback="always", columns=["share", "id"], nrows=2)
    pd.testing.assert_frame_equal(some, cold[["share", "id"]].head(2))
    pd.testing.assert_frame_equal(tracker.load(artifact, db_fallback="always").df(), cold)
    with tracker.load_relation(artifact, db_fallback="always", nrows=1) as relation:
        assert relation.fetchall()[0][0] == "007"


def test_loads_use_rows_as_the_policy_says(tracker: Tracker, odd: Path) -> None:
    # HYD-021, G-02
    artifact = ingested(tracker, odd)
    odd.unlink()
    with pytest.raises(FileGone) as caught:
        tracker.load_df(artifact)
    assert any("db_fallback='always'" in note for note in caught.value.__notes__)
    with tracker.start_run("use", model="use", inputs=[artifact]):
        assert len(tracker.load_df(artifact)) == 3
        with pytest.raises(FileGone):
            tracker.load_df(artifact, db_fallback="never")
        with consist.use_tracker(tracker):
            assert len(consist.load_df(artifact)) == 3
    with tracker.start_run("other", model="other"), pytest.raises(FileGone):
        tracker.load_df(artifact)
    with pytest.raises(ValueError, match="db_fallback='sometimes'"):
        tracker.load_df(artifact, db_fallback="sometimes")


def test_options_of_files_and_unknown_columns_are_refused(tracker: Tracker, odd: Path) -> None:
    artifact = ingested(tracker, odd)
    odd.unlink()
    with pytest.raises(UsageError, match="no option 'delimiter'"):
        tracker.load_df(artifact, db_fallback="always", delimiter=";")
    with pytest.raises(UnknownKey, match="'nope'"):
        tracker.load_df(artifact, db_fallback="always", columns=["nope"])
    with pytest.raises(UsageError, match="nrows"):
        tracker.load(artifact, db_fallback="always", nrows=-1)


def test_without_rows_a_missing_file_stays_missing(tracker: Tracker, odd: Path) -> None:
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(odd, key="t")
    odd.unlink()
    with pytest.raises(FileGone):
        tracker.load_df(artifact, db_fallback="always")
    with pytest.raises(FileGone, match="rows in"):
        rows.restore(tracker, artifact.to_record(), odd)


def test_a_restored_csv_has_every_byte(tracker: Tracker, odd: Path, tmp_path: Path) -> None:
    # HYD-006
    artifact = ingested(tracker, odd)
    target = tmp_path / "new" / "odd.csv"
    rows.restore(tracker, artifact.to_record(), target)
    assert target.read_bytes() == ODD
    zipped = odd.with_name("odd.csv.gz")
    zipped.write_bytes(gzip.compress(ODD))
    other = ingested(tracker, zipped, "z", "zip")
    rows.restore(tracker, other.to_record(), tmp_path / "b.csv.gz")
    assert gzip.decompress((tmp_path / "b.csv.gz").read_bytes()) == ODD
    assert tracker.files.is_same(tmp_path / "b.csv.gz", other.hash), "it stands for the original"


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n",
        "a\n1\n2\n",
        "\ufeffa;b\n1;2\n",
        'a,b\n"x\ny",2\n',
        "a|b\n1|\n|2\n",
        'a,"b\nc"\n1,2\n',
        "a,b\r\n1,2\r\n",
        "a,b\r1,2\r3,x\r",
        "a,b\r1,2",
        "a,b\r\n1,2\r\n,4",
        'a,b\n1,"x\ny"',
        "a,b",
        "a,b\n1,x\x01y\n",
    ],
)
def test_small_csv_files_come_back(tracker: Tracker, here: Path, text: str) -> None:
    path = here / "t.csv"
    path.write_bytes(text.encode())
    artifact = ingested(tracker, path)
    rows.restore(tracker, artifact.to_record(), here / "b.csv")
    assert (here / "b.csv").read_bytes() == path.read_bytes()


def test_a_restored_parquet_file_is_the_frame_again(tracker: Tracker, here: Path) -> None:
    # HYD-006
    categories = pd.CategoricalDtype(["low", "high", "never"], ordered=True)
    frame = pd.DataFrame(
        {
            "consist_run_id": ["mine", "mine", None],
            "A": pd.array([1, None, 3], dtype="Int64"),
            "a": pd.Categorical(["low", "high", "low"], dtype=categories),
            "when": pd.date_range("2030", periods=3, tz="Europe/Berlin"),
            "list": [[1, 2], [], None],
        },
        index=pd.Index([7, 8, 9], name="zone"),
    )
    frame.to_parquet(here / "f.parquet")
    artifact = ingested(tracker, here / "f.parquet")
    tracker.store.sync()
    original = pq.read_schema(here / "f.parquet")
    (here / "f.parquet").unlink()
    rows.restore(tracker, artifact.to_record(), here / "f.parquet")
    assert pq.read_schema(here / "f.parquet").equals(original, check_metadata=True)
    pd.testing.assert_frame_equal(tracker.load_df(artifact), frame)
    assert tracker.files.is_same(here / "f.parquet", artifact.hash)
    (here / "f.parquet").unlink()
    hot = tracker.load_df(artifact, db_fallback="always", columns=["a"])
    pd.testing.assert_frame_equal(hot, frame[["a"]])


def test_many_row_groups_keep_their_order(tracker: Tracker, here: Path) -> None:
    frame = pd.DataFrame({"n": range(250_000, 0, -1)})
    frame.to_parquet(here / "f.parquet", row_group_size=70_000)
    artifact = ingested(tracker, here / "f.parquet")
    tracker.store.sync()
    rows.restore(tracker, artifact.to_record(), here / "g.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(here / "g.parquet"), frame)
    assert pq.read_metadata(here / "g.parquet").num_row_groups == 4


def test_rows_that_were_given_make_a_file_with_a_warning(
    tracker: Tracker, odd: Path, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = pd.DataFrame({"x": [1, 2]})
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(odd, key="t")
        tracker.ingest(artifact, frame)
    rows.restore(tracker, artifact.to_record(), here / "b.csv")
    pd.testing.assert_frame_equal(pd.read_csv(here / "b.csv"), frame)
    assert "given as data" in caplog.text


def test_other_formats_are_not_rebuilt(tracker: Tracker, here: Path) -> None:
    # HYD-006
    (here / "t.json").write_text('[{"a": 1}]')
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact("t.json", key="t")
        tracker.ingest(artifact, [{"a": 1}])
    (here / "t.json").unlink()
    with (
        pytest.raises(UnsupportedFormat, match="'json' cannot rebuild 't'"),
        tracker.start_run("use", model="use", inputs=[artifact], cache_hydration="inputs-missing"),
    ):
        pass
    assert tracker.load_df(artifact, db_fallback="always")["a"].tolist() == [1]


def test_restoring_needs_a_place(tracker: Tracker, odd: Path, here: Path) -> None:
    artifact = ingested(tracker, odd)
    (here / "file").touch()
    with pytest.raises(RuntimeError, match="cannot write"):
        rows.restore(tracker, artifact.to_record(), here / "file" / "b.csv")


def use(tracker: Tracker, artifact: Any, name: str = "use") -> bytes:
    with tracker.start_run(
        name, model="use", inputs=[artifact], cache_hydration="inputs-missing",
        cache_mode="overwrite",
    ):  # fmt: skip
        return artifact.path.read_bytes()


def test_missing_inputs_come_from_the_original_place_first(
    tracker: Tracker, tmp_path: Path
) -> None:
    # HYD-006, HYD-007
    with tracker.start_run("make", model="make"):
        path = tracker.run_dir / "odd.csv"
        path.write_bytes(ODD)
        artifact = tracker.log_artifact(path, key="t")
        tracker.ingest(artifact)
    with Tracker(tmp_path / "elsewhere", tracker.db_path) as other:
        here = other.load_input_bundle("make")["t"]
        assert use(other, here) == ODD
        copied = other.run_dir / "odd.csv"
        assert here.path == copied
        copied.unlink()
        path.unlink()
        assert use(other, here, "again") == ODD
        assert here.path == copied, "rebuilt where the copy would be"
        copied.unlink()
        copied.write_text("another file has the place\n")
        assert use(other, here, "third") == ODD
        assert here.path.is_relative_to(other.run_dir / "restored")
        assert copied.read_text() == "another file has the place\n"


def test_a_rebuilt_input_that_was_changed_is_made_again(tracker: Tracker, odd: Path) -> None:
    artifact = ingested(tracker, odd)
    odd.unlink()
    assert use(tracker, artifact) == ODD
    artifact.path.write_text("tampered")
    assert use(tracker, artifact, "again") == ODD
    artifact.path.unlink()
    assert use(tracker, artifact, "third") == ODD


def test_a_path_that_is_gone_is_not_recovered(tracker: Tracker, odd: Path) -> None:
    # HYD-007
    ingested(tracker, odd)
    odd.unlink()
    with (
        pytest.raises(FileNotFoundError),
        tracker.start_run("use", model="use", inputs=[odd], cache_hydration="inputs-missing"),
    ):
        pass


def test_whole_numbers_beyond_64_bits_stay_exact(tracker: Tracker, here: Path) -> None:
    numbers = [12345678901234567891, None, -7]
    text = "n,m\n" + "".join(f"{'' if n is None else n},1\n" for n in numbers)
    (here / "t.csv").write_text(text)
    artifact = ingested(tracker, here / "t.csv")
    for gone in (False, True):
        if gone:
            assert tracker.store.sync()
            (here / "t.csv").unlink()
        frame = tracker.load_df(artifact, db_fallback="always")
        assert list(frame["n"]) == numbers
        relation = tracker.load(artifact, db_fallback="always")
        assert [str(kind) for kind in relation.dtypes] == ["HUGEINT", "BIGINT"]
        assert [row[0] for row in relation.fetchall()] == numbers
    first = tracker.load_df(artifact, db_fallback="always", columns=["n"], nrows=1)
    assert list(first["n"]) == numbers[:1]
    seen = "SELECT sum(n)::VARCHAR FROM global_tables.t"
    with tracker.store.ask() as connection:
        assert connection.execute(seen).fetchall() == [("12345678901234567884",)]


@pytest.mark.parametrize("merged", [False, True])
def test_materialize_makes_no_file_from_rows(
    tracker: Tracker, odd: Path, tmp_path: Path, merged: bool
) -> None:
    # HYD-018
    artifact = ingested(tracker, odd)
    if merged:
        assert tracker.store.sync()
    odd.unlink()
    assert tracker.materialize(artifact, tmp_path / "x.csv") is None
    with pytest.raises(FileGone):
        tracker.materialize(artifact, tmp_path / "x.csv", on_missing="raise")
    assert not (tmp_path / "x.csv").exists()
    assert not odd.exists()
    assert len(tracker.load_df(artifact, db_fallback="always")) == 3, "the rows are there"


def test_staged_rows_are_read_while_somebody_holds_the_database(
    tracker: Tracker, odd: Path, tmp_path: Path
) -> None:
    with tracker.start_run("earlier", model="make"):
        pass
    assert tracker.store.sync()
    with duckdb.connect(str(tmp_path / "provenance.duckdb")):
        artifact = ingested(tracker, odd)
        odd.unlink()
        began = time.monotonic()
        assert len(tracker.load_df(artifact, db_fallback="always")) == 3
        relation = tracker.load(artifact, db_fallback="always")
        assert relation.aggregate("count(*)").fetchall() == [(3,)]
        rows.restore(tracker, artifact.to_record(), odd)
        assert odd.read_bytes() == ODD
        assert time.monotonic() - began < 0.5 * tracker.settings.lock_wait, "nobody waited"
    assert tracker.store.sync(10)
    odd.unlink()
    rows.restore(tracker, artifact.to_record(), odd)
    assert odd.read_bytes() == ODD


def test_a_hit_rebuilds_nothing(tracker: Tracker, tmp_path: Path) -> None:
    # HYD-014
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_dataframe(pd.DataFrame({"a": [1]}), "made")
        tracker.ingest(artifact)
    path = artifact.path
    path.unlink()
    out = tracker.run_dir / "out"
    with (
        pytest.raises(FileGone),
        tracker.start_run(
            "make", model="make", cache_hydration="outputs-all", materialize_cached_outputs_dir=out
        ),
    ):
        pass
    assert not path.exists()
    assert not list(out.glob("*"))
