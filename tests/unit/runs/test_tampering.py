"""Inputs that were changed behind our back, and what is done about them."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import Artifact, CacheOptions, RunResult, Tracker, define_step
from consist.errors import ArtifactChanged, InputChanged


def table(*values: int) -> pd.DataFrame:
    return pd.DataFrame({"a": list(values)})


def make(n: int = 1) -> pd.DataFrame:
    return table(n)


def double(t: pd.DataFrame) -> pd.DataFrame:
    return t * 2


def use(**inputs: Any) -> None:
    """Take inputs and leave nothing."""


def chain(tracker: Tracker) -> None:
    """Run two steps, between which the output of the first is changed."""
    with tracker.scenario("s") as sc:
        sc.run(make, outputs=["f"])
        tamper(sc.coupler.require("f"))
        sc.run(double, inputs={"t": "f"}, outputs=["g"])


def tamper(artifact: Artifact) -> None:
    """Write other bytes of the same size, and put the time of modification back."""
    status = artifact.path.stat()
    data = bytearray(artifact.path.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.path.chmod(0o644)
    artifact.path.write_bytes(data)
    os.utime(artifact.path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def made(tracker: Tracker) -> RunResult:
    return tracker.run(make, outputs=["f"])


MISS = CacheOptions(input_mismatch="miss")


@pytest.mark.parametrize("given", ["artifact", "result", "again"])
@pytest.mark.parametrize("known", [False, True], ids=["miss", "hit"])
def test_a_changed_input_is_never_used(
    tracker: Tracker, made: RunResult, given: str, known: bool
) -> None:
    # G-27: on a miss and to answer a hit
    source: Any = {"artifact": made.output, "result": made}.get(given)
    if given == "again":
        source = tracker.get_artifact(made.output.id)
    if known:
        tracker.run(double, inputs={"t": source}, outputs=["g"])
        assert tracker.run(double, inputs={"t": source}, outputs=["g"]).cache_hit
    tamper(made.output)
    with pytest.raises(InputChanged, match="'f'") as caught:
        tracker.run(double, inputs={"t": source}, outputs=["g"], run_id="r")
    error = caught.value
    assert (error.key, error.writer, error.overwriter) == ("f", made.run_id, None)
    assert error.path == str(made.output.path)
    assert made.run_id in str(error)
    assert "input_mismatch='miss'" in error.__notes__[0]
    assert tracker.get_run("r") is None
    copied = pickle.loads(pickle.dumps(error))
    assert str(copied) == str(error)
    assert isinstance(error, ValueError | ArtifactChanged)


def test_a_changed_coupler_input_is_an_error(tracker: Tracker) -> None:
    # G-27
    with pytest.raises(InputChanged, match="'f'"):
        chain(tracker)


def test_a_raw_input_that_was_logged_as_an_artifact_is_held_to_its_record(
    tracker: Tracker, raw: Path
) -> None:
    # G-27: without a producer its digest is its identity
    with tracker.scenario("s") as sc:
        assert sc.add_input(raw, "raw").run_id is None
        assert not sc.run(use, inputs={"raw": "raw"}).cache_hit
        raw.write_text("category,value\nb,1\n")
        with pytest.raises(InputChanged, match="'raw'"):
            sc.run(use, inputs={"raw": "raw"})


def test_a_changed_input_counts_by_its_content_on_request(
    tracker: Tracker, made: RunResult
) -> None:
    # G-27: input_mismatch="miss"
    def run() -> RunResult:
        return tracker.run(double, inputs={"t": made.output}, outputs=["g"], cache_options=MISS)

    assert [run().cache_hit, run().cache_hit] == [False, True]
    table(7, 7).to_parquet(made.output.path)
    changed = run()
    assert not changed.cache_hit
    assert tracker.load_df(changed.output)["a"].tolist() == [14, 14]
    (note,) = changed.run.meta["changed_inputs"].values()
    assert note["path"] == str(made.output.path)
    assert note["run_id"] == made.run_id
    assert note["recorded"] == made.output.hash
    (used,) = tracker.get_run_inputs(changed.run_id).values()
    assert used.run_id is None
    assert used.hash == note["found"]
    assert run().cache_hit
    by_path = tracker.run(double, inputs={"t": made.output.path}, outputs=["g"])
    assert by_path.cache_hit, "it counts as the raw file that it is"


def test_the_run_that_overwrote_an_input_is_named(tracker: Tracker, here: Path) -> None:
    def step(n: int) -> Path:
        (here / "f.csv").write_text(f"a\n{n}\n")
        return here / "f.csv"

    old = tracker.run(step, config={"n": 1}, outputs=["f"])
    new = tracker.run(step, config={"n": 2}, outputs=["f"])
    with pytest.raises(InputChanged) as caught:
        tracker.run(double, inputs={"t": old.output}, outputs=["g"])
    assert caught.value.overwriter == new.run_id
    taken = tracker.run(double, inputs={"t": old.output}, outputs=["g"], cache_options=MISS)
    assert taken.run.meta["changed_inputs"]["t"]["overwritten_by"] == new.run_id
    assert tracker.load_df(taken.output)["a"].tolist() == [4]


# ---------------------------------------------------------------- every surface


def surfaces(tracker: Tracker, artifact: Artifact) -> dict[str, Callable[..., Any]]:
    def run(**options: Any) -> Any:
        return tracker.run(use, inputs={"t": artifact}, cache_options=CacheOptions(**options))

    def module_level(**options: Any) -> Any:
        return consist.run(
            use, inputs={"t": artifact}, cache_options=CacheOptions(**options), tracker=tracker
        )

    def trace(**options: Any) -> Any:
        with tracker.trace("t", inputs=[artifact], **options):
            return consist.current_run()

    def start_run(**options: Any) -> Any:
        with tracker.start_run("r", "m", inputs=[artifact], **options):
            return consist.current_run()

    def begin_run(**options: Any) -> Any:
        tracker.begin_run("b", "m", inputs=[artifact], **options)
        return tracker.end_run()

    def scenario_run(**options: Any) -> Any:
        with tracker.scenario("s") as sc:
            options = {"cache_options": CacheOptions(**options)}
            return sc.run(use, inputs={"t": artifact}, **options)

    def scenario_trace(**options: Any) -> Any:
        with tracker.scenario("s") as sc, sc.trace("t", inputs=[artifact], **options):
            return consist.current_run()

    def step_default(**options: Any) -> Any:
        def step(t: Path) -> None:
            pass

        return tracker.run(define_step(**options)(step), inputs={"t": artifact})

    found = (run, module_level, trace, start_run, begin_run, scenario_run, scenario_trace)
    return {surface.__name__: surface for surface in (*found, step_default)}


NAMES = ("run", "module_level", "trace", "start_run", "begin_run", "step_default")
IN_SCENARIOS = ("scenario_run", "scenario_trace")


@pytest.mark.parametrize("name", [*NAMES, *IN_SCENARIOS])
def test_every_surface_takes_input_mismatch(tracker: Tracker, made: RunResult, name: str) -> None:
    surface = surfaces(tracker, made.output)[name]
    made.output.path.write_bytes(table(3).to_parquet())
    with pytest.raises(InputChanged):
        surface()
    with pytest.raises(ValueError, match="input_mismatch"):
        surface(input_mismatch="ignore")
    surface(input_mismatch="miss")
    noted = [run for run in tracker.find_runs() if "changed_inputs" in run.meta]
    assert len(noted) == 1


# ---------------------------------------------------------------- cost, and what is gone


def test_a_managed_input_costs_one_look_on_a_hit(
    tracker: Tracker, made: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> RunResult:
        return tracker.run(double, inputs={"t": made.output}, outputs=["g"])

    run()
    time.sleep(0.05)  # a file that was written this instant is read again
    assert run().cache_hit
    looked: list[str] = []
    target = made.output.path
    for name in ("stat", "lstat", "open"):
        really = getattr(os, name)

        def watched(path: object, *args: object, _really: Any = really, **kwargs: object) -> Any:
            if str(path) == str(target) or str(path).startswith(str(target.parent)):
                looked.append(str(path))
            return _really(path, *args, **kwargs)

        monkeypatch.setattr(os, name, watched)
    assert run().cache_hit
    assert looked == [str(target)]


def test_an_input_that_is_gone_may_hit_and_is_named_on_a_miss(
    tracker: Tracker, made: RunResult
) -> None:
    # G-23, CACHE-006
    tracker.run(double, inputs={"t": made.output}, outputs=["g"])
    made.output.path.unlink()
    assert tracker.run(double, inputs={"t": made.output}, outputs=["g"]).cache_hit
    with pytest.raises(FileNotFoundError, match="'f'") as caught:
        tracker.run(lambda: None, "other", inputs=[made.output], run_id="r")
    assert str(made.output.path) in str(caught.value)
    failed = tracker.get_run("r")
    assert failed is not None
    assert failed.status == "failed"


def test_a_file_that_was_only_touched_is_still_the_recorded_one(
    tracker: Tracker, made: RunResult
) -> None:
    tracker.run(double, inputs={"t": made.output}, outputs=["g"])
    made.output.path.touch()
    assert tracker.run(double, inputs={"t": made.output}, outputs=["g"]).cache_hit
    shutil.copy(made.output.path, made.output.path.with_suffix(".bak"))
    made.output.path.unlink()
    made.output.path.with_suffix(".bak").rename(made.output.path)
    assert tracker.run(double, inputs={"t": made.output}, outputs=["g"]).cache_hit


# ---------------------------------------------------------------- loads


@pytest.mark.parametrize("verb", ["load", "load_df", "load_relation"])
def test_tampered_bytes_are_never_loaded(tracker: Tracker, made: RunResult, verb: str) -> None:
    def read() -> None:
        found = getattr(tracker, verb)(made.output)
        if verb == "load_relation":
            found.__enter__()

    tamper(made.output)
    with pytest.raises(ArtifactChanged, match="'f'") as caught:
        read()
    assert made.run_id in str(caught.value)
    assert made.run_id in caught.value.__notes__[0]


def test_an_artifact_without_a_digest_is_loaded(tracker: Tracker, here: Path) -> None:
    with tracker.start_run("r", "m"):
        artifact = tracker.log_artifact(here / "late.csv", "late")
    (here / "late.csv").write_text("a\n1\n")
    assert artifact.hash is None
    assert tracker.load_df(artifact)["a"].tolist() == [1]


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Tracker]:
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb", hashing_strategy="fast") as tracker:
        yield tracker


def test_what_was_recorded_by_size_and_time_is_loaded_with_a_word_of_doubt(
    fast: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    made = fast.run(make, outputs=["f"])
    assert fast.load_df(made.output)["a"].tolist() == [1]
    assert "cannot be verified" not in caplog.text
    os.utime(made.output.path, (1, 1))
    assert fast.load_df(made.output)["a"].tolist() == [1]
    assert "'f' cannot be verified" in caplog.text


def test_what_was_recorded_by_size_and_time_is_no_input_once_they_differ(fast: Tracker) -> None:
    made = fast.run(make, outputs=["f"])
    os.utime(made.output.path, (1, 1))
    with pytest.raises(InputChanged, match="size or time"):
        fast.run(double, inputs={"t": made.output}, outputs=["g"])


def test_loading_what_the_memo_knows_reads_it_once(
    tracker: Tracker, made: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(0.05)
    tracker.load_df(made.output)
    digested: list[str] = []
    monkeypatch.setattr(tracker.files.memo, "_digest_file", digested.append)
    tracker.load_df(made.output)
    assert digested == []


# ---------------------------------------------------------------- folders


def test_a_folder_with_one_changed_file_is_never_used(tracker: Tracker, here: Path) -> None:
    def step() -> Path:
        for name in ("a", "deep/b"):
            (here / "d" / name).parent.mkdir(parents=True, exist_ok=True)
            (here / "d" / name).write_text(name)
        return here / "d"

    made = tracker.run(step, outputs=["d"])
    assert tracker.run(use, inputs={"d": made.output}).run_id
    (here / "d" / "deep" / "b").write_text("B")
    with pytest.raises(InputChanged, match="'d'"):
        tracker.run(use, inputs={"d": made.output})
    with pytest.raises(ArtifactChanged, match="'d'"):
        tracker.materialize(made.output, here / "copy")
    assert not (here / "copy").exists()


# ---------------------------------------------------------------- eager validation


@pytest.mark.parametrize("eager", ["eager", "strict"])
def test_eager_validation_finds_other_bytes_and_says_so(
    tracker: Tracker, made: RunResult, eager: str
) -> None:
    # CACHE-007, C-01
    tamper(made.output)
    assert tracker.run(make, outputs=["f"]).cache_hit, "lazy trusts the record"
    options = CacheOptions(validate_cached_outputs=eager)
    again = tracker.run(make, outputs=["f"], cache_options=options)
    assert not again.cache_hit
    (reason,) = again.run.meta["cache_rejected"]
    assert "'f'" in reason
    assert "other bytes" in reason
    assert made.run_id in reason
    again.output.path.unlink()
    tamperless = tracker.run(make, outputs=["f"], cache_options=options)
    assert any("is not there" in r for r in tamperless.run.meta["cache_rejected"])
    assert tracker.run(make, outputs=["f"], cache_options=options).cache_hit


def test_a_validation_nobody_knows_is_an_error_everywhere(tracker: Tracker) -> None:
    # C-01
    with pytest.raises(ValueError, match="validate_cached_outputs"):
        CacheOptions(validate_cached_outputs="sometimes")
    with (
        pytest.raises(ValueError, match="validate_cached_outputs"),
        tracker.trace("t", validate_cached_outputs="sometimes"),
    ):
        pass
    with pytest.raises(ValueError, match="validate_cached_outputs"):
        tracker.begin_run("r", "m", validate_cached_outputs="sometimes")
    step = define_step(validate_cached_outputs="sometimes")(lambda: None)
    with pytest.raises(ValueError, match="validate_cached_outputs"):
        tracker.run(step, "s")


@pytest.mark.parametrize("validation", ["eager", "strict", "lazy", "none"])
def test_a_block_is_validated_like_a_function(tracker: Tracker, validation: str) -> None:
    # C-01
    def block() -> bool:
        with tracker.trace("t", validate_cached_outputs=validation):
            hit = tracker.is_cached
            if not hit:
                artifact = tracker.log_dataframe(table(1), "f")
                assert artifact.path.exists()
        return hit

    assert [block(), block()] == [False, True]
    found = tracker.get_artifact("f")
    assert found is not None
    found.path.unlink()
    assert block() is (validation in {"lazy", "none"})
