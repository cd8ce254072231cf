"""What the document on caching and hydration (000) says of loading, deleting and ingested rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import consist
from consist import CacheOptions, Tracker, use_tracker

if TYPE_CHECKING:
    from consist.models.artifact import Artifact


def features(n: int) -> pd.DataFrame:
    return pd.DataFrame({"n": range(n)})


def made(tracker: Tracker, **options: str) -> Artifact:
    cache = CacheOptions(**options) if options else None  # type: ignore[arg-type]
    result = tracker.run(features, config={"n": 3}, outputs=["features"], cache_options=cache)
    return result.outputs["features"]


def test_a_hit_recreates_no_file_and_its_bytes_are_there_if_asked_for(tracker: Tracker) -> None:
    # "What Happens on a Cache Hit?": a hit looks at no file, and makes none again
    tracker.ingest(made(tracker))
    made(tracker).path.unlink()
    result = tracker.run(features, config={"n": 3}, outputs=["features"])
    artifact = result.outputs["features"]
    assert result.cache_hit
    assert not artifact.path.exists()
    with use_tracker(tracker):
        with pytest.raises(FileNotFoundError):
            consist.load_df(artifact)
        assert consist.load_df(artifact, db_fallback="always")["n"].tolist() == [0, 1, 2]
        assert consist.load(artifact, db_fallback="always").fetchall() == [(0,), (1,), (2,)]
        before = consist.active_relation_count()
        with consist.load_relation(artifact, db_fallback="always") as relation:
            assert consist.active_relation_count() == before + 1
            assert len(relation) == 3
        assert consist.active_relation_count() == before
    assert not artifact.path.exists()


def test_eager_validation_wants_files_or_rows(tracker: Tracker) -> None:
    # "to require files exist or are ingested"
    made(tracker).path.unlink()
    assert made(tracker, validate_cached_outputs="eager").path.exists(), "it was executed again"
    tracker.ingest(made(tracker))
    made(tracker).path.unlink()
    assert not made(tracker, validate_cached_outputs="eager").path.exists(), "rows are as good"


def test_what_was_ingested_may_be_deleted(tracker: Tracker, raw: Path) -> None:
    # "Safe Deletion": with db_fallback="always", or by declaring them as inputs
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(raw, key="raw")
        tracker.ingest(artifact)
    raw.unlink()
    assert len(tracker.load_df(artifact, db_fallback="always")) == 3
    with tracker.start_run("use", model="use", inputs=[artifact]):
        assert len(tracker.load_df(artifact)) == 3
        with pytest.raises(FileNotFoundError):
            tracker.load_df(artifact, db_fallback="never")


def test_only_csv_and_parquet_inputs_are_reconstructed(tracker: Tracker, here: Path) -> None:
    # ERR-033: other drivers raise a ValueError to avoid silent or lossy conversions
    path = here / "r.json"
    path.write_text(json.dumps([{"a": 1}]))
    with tracker.start_run("make", model="make"):
        artifact = tracker.log_artifact(path, key="r")
        tracker.ingest(artifact, [{"a": 1}])
    path.unlink()
    with (
        pytest.raises(ValueError, match="json"),
        tracker.start_run("use", model="use", inputs=[artifact], cache_hydration="inputs-missing"),
    ):
        pass
    assert tracker.load_df(artifact, db_fallback="always").to_dict("list") == {"a": [1]}
