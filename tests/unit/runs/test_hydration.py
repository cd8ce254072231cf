"""Cached outputs and missing inputs, brought to where they are wanted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import CacheOptions, RunResult, Tracker, define_step
from consist.errors import ArtifactChanged, FileGone, InputChanged, PathEscape

REQUESTED = CacheOptions(cache_hydration="outputs-requested")
ALL = CacheOptions(cache_hydration="outputs-all")
INPUTS = CacheOptions(cache_hydration="inputs-missing")


def table(*values: int) -> pd.DataFrame:
    return pd.DataFrame({"a": list(values)})


def one() -> pd.DataFrame:
    return table(1)


def two() -> dict[str, pd.DataFrame]:
    return {"f": table(1), "g": table(2)}


def log_two(tracker: Tracker) -> None:
    tracker.log_dataframe(table(1), "f")
    tracker.log_dataframe(table(2), "g")


# ---------------------------------------------------------------- every surface


def block(context: Any, tracker: Tracker) -> bool:
    with context:
        hit = tracker.is_cached
        if not hit:
            log_two(tracker)
    return hit


def surfaces(tracker: Tracker) -> dict[str, Callable[..., bool]]:
    """Return every way to run the same step, each telling whether it was a hit."""
    found = (*functions(tracker), *blocks(tracker))
    return {surface.__name__: surface for surface in found}


def functions(tracker: Tracker) -> tuple[Callable[..., bool], ...]:
    """Return the surfaces that call a function."""

    def run(**options: Any) -> bool:
        paths = options.pop("paths", None)
        return tracker.run(
            two,
            outputs=["f", "g"],
            output_paths=paths,
            cache_options=CacheOptions(**options),
        ).cache_hit

    def module_level(**options: Any) -> bool:
        paths = options.pop("paths", None)
        return consist.run(
            two,
            outputs=["f", "g"],
            output_paths=paths,
            cache_options=CacheOptions(**options),
            tracker=tracker,
        ).cache_hit

    def step_default(**options: Any) -> bool:
        paths = options.pop("paths", None)

        def step() -> dict[str, pd.DataFrame]:
            return two()

        define_step(outputs=["f", "g"], output_paths=paths, **options)(step)
        return tracker.run(step).cache_hit

    def scenario_run(**options: Any) -> bool:
        paths = options.pop("paths", None)
        with tracker.scenario("s") as sc:
            return sc.run(
                two,
                outputs=["f", "g"],
                output_paths=paths,
                cache_options=CacheOptions(**options),
            ).cache_hit

    return run, module_level, step_default, scenario_run


def blocks(tracker: Tracker) -> tuple[Callable[..., bool], ...]:
    """Return the surfaces around code that executes in any case."""

    def trace(**options: Any) -> bool:
        paths = options.pop("paths", None)
        return block(tracker.trace("t", output_paths=paths, **options), tracker)

    def scenario_trace(**options: Any) -> bool:
        paths = options.pop("paths", None)
        with tracker.scenario("s") as sc:
            return block(sc.trace("t", output_paths=paths, **options), tracker)

    def start_run(**options: Any) -> bool:
        _name_destinations(options)
        return block(tracker.start_run("r", "m", **options), tracker)

    def begin_run(**options: Any) -> bool:
        _name_destinations(options)
        tracker.begin_run("r", "m", **options)
        hit = tracker.is_cached
        if not hit:
            log_two(tracker)
        tracker.end_run()
        return hit

    return trace, scenario_trace, start_run, begin_run


def _name_destinations(options: dict[str, Any]) -> None:
    if paths := options.pop("paths", None):
        options["materialize_cached_output_paths"] = paths
    if options.get("cache_hydration") == "outputs-all":
        options["materialize_cached_outputs_dir"] = "everything"


SURFACES = (
    "run",
    "module_level",
    "step_default",
    "scenario_run",
    "trace",
    "scenario_trace",
    "start_run",
    "begin_run",
)


@pytest.mark.parametrize("name", SURFACES)
def test_requested_outputs_are_copied_on_every_surface(tracker: Tracker, name: str) -> None:
    # HYD-008 to HYD-010, HYD-027
    surface = surfaces(tracker)[name]
    assert not surface()
    target = tracker.run_dir / "wanted" / "f.parquet"
    assert surface(cache_hydration="outputs-requested", paths={"f": "wanted/f.parquet"})
    assert pd.read_parquet(target)["a"].tolist() == [1]
    assert [path.name for path in target.parent.iterdir()] == ["f.parquet"]
    latest = tracker.last_run
    assert latest is not None


@pytest.mark.parametrize("name", SURFACES)
def test_all_outputs_are_copied_on_every_surface(tracker: Tracker, name: str) -> None:
    # HYD-012, HYD-013, C-05: the folder of the run, where no other is named
    surface = surfaces(tracker)[name]
    assert not surface()
    before = set(tracker.run_dir.rglob("*.parquet"))
    assert surface(cache_hydration="outputs-all")
    new = {path for path in tracker.run_dir.rglob("*.parquet") if path not in before}
    assert sorted(path.name for path in new) == ["f.parquet", "g.parquet"]
    if name in {"start_run", "begin_run"}:
        assert {path.parent for path in new} == {tracker.run_dir / "everything"}


@pytest.mark.parametrize("name", SURFACES)
def test_metadata_copies_nothing_and_nobody_knows_other_policies(
    tracker: Tracker, name: str
) -> None:
    # HYD-001, HYD-002
    surface = surfaces(tracker)[name]
    assert not surface(cache_hydration="metadata")
    before = set(tracker.run_dir.rglob("*.parquet"))
    assert surface(cache_hydration="metadata")
    assert surface(cache_hydration="inputs-missing"), "HYD-004: nothing is copied on a hit"
    assert set(tracker.run_dir.rglob("*.parquet")) == before
    with pytest.raises(ValueError, match="cache_hydration"):
        surface(cache_hydration="everything")


@pytest.mark.parametrize("name", ["run", "module_level", "scenario_run", "trace", "step_default"])
def test_requested_outputs_need_destinations(tracker: Tracker, name: str) -> None:
    # ERR-027
    with pytest.raises(ValueError, match="outputs-requested"):
        surfaces(tracker)[name](cache_hydration="outputs-requested")


# ---------------------------------------------------------------- all or nothing


def requested(tracker: Tracker, **paths: Any) -> RunResult:
    return tracker.run(two, outputs=["f", "g"], output_paths=paths, cache_options=REQUESTED)


@pytest.fixture
def made(tracker: Tracker) -> RunResult:
    return tracker.run(two, outputs=["f", "g"])


def test_nothing_is_copied_if_one_source_was_changed(tracker: Tracker, made: RunResult) -> None:
    made.outputs["g"].path.write_bytes(b"other")
    with pytest.raises(ArtifactChanged, match="'g'") as caught:
        requested(tracker, f="x/f.parquet", g="x/g.parquet")
    assert made.run_id in str(caught.value)
    assert not (tracker.run_dir / "x").exists()
    options = CacheOptions(cache_hydration="outputs-requested", validate_cached_outputs="eager")
    mended = tracker.run(
        two, outputs=["f", "g"], output_paths={"f": "x/f.parquet"}, cache_options=options
    )
    assert not mended.cache_hit, "the remedy works"


def test_nothing_is_copied_if_one_source_is_gone(tracker: Tracker, made: RunResult) -> None:
    # ERR-032
    made.outputs["g"].path.unlink()
    with pytest.raises(FileGone, match="'g'") as caught:
        tracker.run(two, run_id="r", outputs=["f", "g"], cache_options=ALL)
    assert isinstance(caught.value, FileNotFoundError)
    assert made.run_id in caught.value.__notes__[0]
    run = tracker.get_run("r")
    assert run is not None
    assert not list(tracker.run_artifact_dir(run).glob("*.parquet"))


def test_a_requested_output_that_is_gone_is_left_out_with_a_warning(
    tracker: Tracker, made: RunResult, caplog: pytest.LogCaptureFixture
) -> None:
    made.outputs["g"].path.unlink()
    with caplog.at_level(logging.WARNING):
        found = requested(tracker, f="x/f.parquet", g="x/g.parquet")
    assert found.cache_hit
    assert "'g'" in caplog.text
    assert found.run.meta["materialized_outputs"] == {"f": str(tracker.run_dir / "x" / "f.parquet")}


def test_a_run_by_hand_remembers_where_copies_went(tracker: Tracker) -> None:
    # HYD-022
    for _ in range(2):
        with tracker.start_run(
            "r",
            model="m",
            cache_hydration="outputs-requested",
            materialize_cached_output_paths={"f": "copy.txt"},
        ):
            if not tracker.is_cached:
                (tracker.run_dir / "f.txt").write_text("f")
                tracker.log_output(tracker.run_dir / "f.txt", key="f")
    run = tracker.get_run("r")
    assert run is not None
    assert run.meta["materialized_outputs"] == {"f": str(tracker.run_dir / "copy.txt")}


def test_nothing_is_copied_if_one_destination_cannot_be(
    tracker: Tracker, made: RunResult, tmp_path: Path
) -> None:
    # HYD-022
    assert made.outputs
    with pytest.raises(PathEscape):
        requested(tracker, f="x/f.parquet", g=tmp_path / "outside.parquet")
    (tracker.run_dir / "taken").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        requested(tracker, f="x/f.parquet", g="taken")
    for same in ("x/f.parquet", "x/f.parquet/inner"):
        with pytest.raises(ValueError, match="would both be copied"):
            requested(tracker, f="x/f.parquet", g=same)
    assert not (tracker.run_dir / "x").exists()


def test_what_was_copied_is_not_copied_again(tracker: Tracker, made: RunResult) -> None:
    assert made.outputs
    requested(tracker, f="x/f.parquet")
    inode = (tracker.run_dir / "x" / "f.parquet").stat().st_ino
    requested(tracker, f="x/f.parquet")
    assert (tracker.run_dir / "x" / "f.parquet").stat().st_ino == inode


# ---------------------------------------------------------------- destinations


def test_a_way_out_of_the_run_folder_needs_permission(
    tracker: Tracker, made: RunResult, tmp_path: Path
) -> None:
    # HYD-022, TRK-029, G-28
    assert made.outputs
    (tmp_path / "outside").mkdir()
    (tracker.run_dir / "way").symlink_to(tmp_path / "outside")
    for place in ("way/f.parquet", "../f.parquet", "a/../../f.parquet"):
        with pytest.raises(PathEscape) as caught:
            requested(tracker, f=place)
        assert "allow_external_paths" in caught.value.__notes__[0]
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_tracker_or_a_run_may_permit_it(tmp_path: Path) -> None:
    # TRK-028, TRK-029
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb", allow_external_paths=True) as tracker:
        tracker.run(two, outputs=["f", "g"])
        assert requested(tracker, f=tmp_path / "out" / "f.parquet").cache_hit
        assert (tmp_path / "out" / "f.parquet").exists()
        outside: dict[str, Any] = {
            "cache_hydration": "outputs-all",
            "materialize_cached_outputs_dir": tmp_path / "everything",
        }
        assert not block(tracker.start_run("r", "m"), tracker)
        refused = tracker.start_run("r", "m", allow_external_paths=False, **outside)
        with pytest.raises(PathEscape):
            block(refused, tracker)
        assert block(tracker.start_run("r", "m", **outside), tracker)
        assert (tmp_path / "everything" / "g.parquet").exists()


def test_a_destination_may_be_a_uri_of_the_run_folder(tracker: Tracker, made: RunResult) -> None:
    assert made.outputs
    requested(tracker, f="workspace://uri/f.parquet")
    assert (tracker.run_dir / "uri" / "f.parquet").exists()


@pytest.mark.parametrize("paths", [{"f": 5}, {"f": ""}, ["f"], {"": "x"}])
def test_destinations_are_checked_before_a_run_begins(tracker: Tracker, paths: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        tracker.begin_run(
            "r",
            "m",
            cache_hydration="outputs-requested",
            materialize_cached_output_paths=paths,
        )
    assert consist.current_run() is None


def test_outputs_of_one_file_name_are_told_apart_by_their_keys(
    tracker: Tracker, here: Path
) -> None:
    def step() -> dict[str, Path]:
        found = {}
        for key in ("day1/trips", "day2/trips", "other"):
            path = here / key / "part.csv.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(key)
            found[key] = path
        return found

    keys = ["day1/trips", "day2/trips", "other"]
    tracker.run(step, outputs=keys)
    assert tracker.run(step, run_id="r", outputs=keys, cache_options=ALL).cache_hit
    run = tracker.get_run("r")
    assert run is not None
    folder = tracker.run_artifact_dir(run)
    for key in keys:
        assert (folder / f"{key}.csv.gz").read_text() == key


# ---------------------------------------------------------------- inputs


def elsewhere(tmp_path: Path, name: str = "r2", **options: Any) -> Tracker:
    return Tracker(tmp_path / name, tmp_path / "d.duckdb", **options)


def use(t: Path) -> pd.DataFrame:
    return pd.read_parquet(t) * 2


def test_inputs_come_from_the_run_folder_of_their_run(tmp_path: Path) -> None:
    # HYD-003, HYD-005, HYD-027
    with elsewhere(tmp_path, "r1") as tracker:
        made = tracker.run(one, outputs=["f"]).output
    with elsewhere(tmp_path) as tracker:
        found = tracker.get_artifact("f")
        assert found is not None
        tracker.run(use, inputs={"t": found}, outputs=["g"], cache_options=INPUTS)
        brought = tracker.run_dir / made.path.relative_to(tmp_path / "r1")
        assert brought.read_bytes() == made.path.read_bytes()
        assert found.path == brought


def test_an_original_that_was_changed_is_no_source(tmp_path: Path) -> None:
    with elsewhere(tmp_path, "r1") as tracker:
        made = tracker.run(one, outputs=["f"]).output
        table(5).to_parquet(made.path)
    with elsewhere(tmp_path) as tracker:
        found = tracker.get_artifact("f")
        with pytest.raises(InputChanged):
            tracker.run(use, inputs={"t": found}, outputs=["g"], cache_options=INPUTS)
        assert not list(tracker.run_dir.glob("outputs/**/f.parquet"))


def test_inputs_under_a_mount_come_from_where_it_was(tmp_path: Path) -> None:
    # background 4.4: the mount of the run that wrote them
    def step() -> Path:
        table(3).to_parquet(tmp_path / "old" / "x.parquet")
        return tmp_path / "old" / "x.parquet"

    (tmp_path / "old").mkdir()
    with elsewhere(tmp_path, "r1", mounts={"data": tmp_path / "old"}) as tracker:
        assert tracker.run(step, outputs=["f"]).output.container_uri == "data://x.parquet"
    with elsewhere(tmp_path) as tracker:
        found = tracker.get_artifact("f")
        assert found is not None
        assert not found.path.exists(), "no such mount here"
    with elsewhere(tmp_path, mounts={"data": tmp_path / "new"}) as tracker:
        found = tracker.get_artifact("f")
        options: dict[str, Any] = {"inputs": {"t": found}, "outputs": ["g"]}
        with pytest.raises(PathEscape) as caught:
            tracker.run(use, **options, cache_options=INPUTS)
        assert "allow_external_paths" in caught.value.__notes__[0]
    allowed = {"mounts": {"data": tmp_path / "new"}, "allow_external_paths": True}
    with elsewhere(tmp_path, **allowed) as tracker:
        found = tracker.get_artifact("f")
        assert found is not None
        tracker.run(use, inputs={"t": found}, outputs=["g"], cache_options=INPUTS)
        assert found.path == tmp_path / "new" / "x.parquet"


def test_inputs_come_from_a_recovery_root(tmp_path: Path) -> None:
    with elsewhere(tmp_path, "r1") as tracker:
        made = tracker.run(one, outputs=["f"]).output
        saved = tmp_path / "saved" / made.path.relative_to(tracker.run_dir)
        saved.parent.mkdir(parents=True)
        made.path.rename(saved)
    with elsewhere(tmp_path) as tracker:
        found = tracker.get_artifact("f")
        assert found is not None
        found.meta = {**found.meta, "recovery_roots": [str(tmp_path / "saved")]}
        tracker.run(use, inputs={"t": found}, outputs=["g"], cache_options=INPUTS)
        assert found.path.is_relative_to(tmp_path / "r2")


def test_an_input_that_nothing_brings_back_is_named(tmp_path: Path) -> None:
    # G-23
    with elsewhere(tmp_path, "r1") as tracker:
        tracker.run(one, outputs=["f"]).output.path.unlink()
        found = tracker.get_artifact("f")
        for hydration in (CacheOptions(), INPUTS):
            with pytest.raises(FileGone, match="'f'"):
                tracker.run(use, inputs={"t": found}, outputs=["g"], cache_options=hydration)


def test_raw_paths_are_not_recovered(tracker: Tracker, here: Path) -> None:
    # HYD-007
    (here / "raw.parquet").write_bytes(table(1).to_parquet())
    tracker.run(use, inputs={"t": here / "raw.parquet"}, outputs=["g"])
    (here / "raw.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"raw\.parquet"):
        tracker.run(use, inputs={"t": here / "raw.parquet"}, outputs=["g"], cache_options=INPUTS)


# ---------------------------------------------------------------- readonly


@pytest.mark.parametrize("cached", [True, False])
def test_readonly_leaves_nothing_behind(tracker: Tracker, tmp_path: Path, cached: bool) -> None:
    # CACHE-004, C-02
    tracker.run(one, outputs=["f"])
    tracker.store.sync(5)

    def everything() -> dict[Path, bytes]:
        # SQLite counts its readers in memory that it shares by way of a file
        files = (p for p in tmp_path.rglob("*") if p.is_file() and not p.name.endswith("-shm"))
        return {path: path.read_bytes() for path in files}

    before = everything()
    with tracker.trace(
        "t" if not cached else "one", cache_mode="readonly", validate_cached_outputs="eager"
    ):
        tracker.log_meta(note="nothing")
    assert tracker.run(
        one, outputs=["f"], cache_options=CacheOptions(cache_mode="readonly")
    ).cache_hit
    assert everything() == before
    assert len(tracker.find_runs()) == 1
