"""What is a hit and what is not."""

# ruff: noqa: PLW0108 - the name of the parameter is what binds

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

import consist
from consist import Artifact, CacheOptions, Tracker, define_step
from consist.cache import lookup
from consist.errors import InputChanged


def table(*values: int) -> pd.DataFrame:
    return pd.DataFrame({"a": list(values)})


def one() -> pd.DataFrame:
    return table(1)


def double(table: pd.DataFrame) -> pd.DataFrame:
    return table * 2


class Broken(Exception):
    """Raised by steps under test."""


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# ---------------------------------------------------------------- what counts


def test_code_config_and_inputs_each_cause_a_miss(tracker: Tracker, raw: Path) -> None:
    # SIG-001, SIG-002
    def step(raw: pd.DataFrame) -> pd.DataFrame:
        return raw

    def hits(fn: Callable[..., Any] = step, config: Any = None) -> bool:
        given = config or {"a": 1}
        return tracker.run(fn, "step", inputs={"raw": raw}, config=given, outputs=["f"]).cache_hit

    assert not hits()
    assert hits()
    assert not hits(config={"a": 2})
    assert not hits(fn=lambda raw: raw)
    raw.write_text("category,value\na,1\n")
    assert not hits()
    assert hits()


def test_the_order_of_config_keys_does_not_count(tracker: Tracker) -> None:
    # SIG-021
    assert not tracker.run(one, config={"a": 1, "b": {"c": 1, "d": 2}}, outputs=["f"]).cache_hit
    assert tracker.run(one, config={"b": {"d": 2, "c": 1}, "a": 1}, outputs=["f"]).cache_hit


def test_two_configs_are_two_entries_and_both_stay(tracker: Tracker) -> None:
    # SIG-005
    hits = [tracker.run(one, config={"a": a}, outputs=["f"]).cache_hit for a in (1, 2, 1, 2)]
    assert hits == [False, False, True, True]


def test_an_output_that_a_later_run_overwrote_is_no_hit_and_executes_again(
    tracker: Tracker, here: Path
) -> None:
    # SIG-005
    def step(value: int) -> Path:
        out = here / "shared.csv"
        out.write_text(f"a\n{value}\n")
        return out

    def run(value: int) -> consist.RunResult:
        return tracker.run(step, config={"value": value}, outputs=["f"])

    assert not run(1).cache_hit
    assert not run(2).cache_hit
    third = run(1)
    assert not third.cache_hit
    assert consist.load_df(third.outputs["f"], tracker=tracker)["a"].tolist() == [1]
    assert not run(2).cache_hit


def test_overwriting_with_the_same_bytes_keeps_the_hit(tracker: Tracker, here: Path) -> None:
    # SIG-005
    def step(value: int) -> Path:
        out = here / "shared.csv"
        out.write_text("a\n1\n")
        return out

    def run(value: int) -> bool:
        return tracker.run(step, config={"value": value}, outputs=["f"]).cache_hit

    assert [run(1), run(2), run(1), run(2)] == [False, False, True, True]


@pytest.mark.parametrize("field", ["year", "iteration", "model"])
def test_year_iteration_and_model_take_part(tracker: Tracker, field: str) -> None:
    # SIG-027
    values = ("m1", "m2") if field == "model" else (2020, 2030)
    hits = [
        tracker.run(one, outputs=["f"], **{field: value}).cache_hit for value in (*values, *values)
    ]
    assert hits == [False, False, True, True]


@pytest.mark.parametrize(
    "labels",
    [
        {"tags": ["x"]},
        {"description": "x"},
        {"phase": "x"},
        {"stage": "x"},
        {"facet": {"a": 1}},
        {"run_id": "x"},
        {"runtime_kwargs": {}},
    ],
)
def test_labels_do_not_take_part(tracker: Tracker, labels: dict[str, Any]) -> None:
    # SIG-020
    tracker.run(one, "s", model="m", outputs=["f"])
    assert tracker.run(one, "s", model="m", outputs=["f"], **labels).cache_hit


def test_another_closure_value_is_another_step(tracker: Tracker) -> None:
    # SIG-002
    def make(threshold: float) -> Callable[[], pd.DataFrame]:
        def step() -> pd.DataFrame:
            return pd.DataFrame({"t": [threshold]})

        return step

    first = tracker.run(make(0.5), outputs=["f"])
    second = tracker.run(make(0.7), outputs=["f"])
    again = tracker.run(make(0.5), outputs=["f"])
    assert (first.cache_hit, second.cache_hit, again.cache_hit) == (False, False, True)
    assert consist.load_df(second.outputs["f"], tracker=tracker)["t"].tolist() == [0.7]
    assert again.outputs["f"].id == first.outputs["f"].id


def test_two_functions_of_one_name_are_two_steps(tracker: Tracker) -> None:
    # SIG-002
    def make_a() -> Callable[[], pd.DataFrame]:
        def step() -> pd.DataFrame:
            return table(1)

        return step

    def make_b() -> Callable[[], pd.DataFrame]:
        def step() -> pd.DataFrame:
            return table(2)

        return step

    assert not tracker.run(make_a(), outputs=["f"]).cache_hit
    assert not tracker.run(make_b(), outputs=["f"]).cache_hit
    assert tracker.run(make_a(), outputs=["f"]).cache_hit


def test_another_default_or_partial_argument_is_another_step(tracker: Tracker) -> None:
    # SIG-002
    from functools import partial

    def step(n: int) -> pd.DataFrame:
        return table(n)

    assert not tracker.run(partial(step, n=1), outputs=["f"]).cache_hit
    assert not tracker.run(partial(step, n=2), outputs=["f"]).cache_hit
    assert tracker.run(partial(step, n=1), outputs=["f"]).cache_hit


def test_the_state_of_a_bound_object_counts(tracker: Tracker) -> None:
    # SIG-002
    class Model:
        def __init__(self, rate: float) -> None:
            self.rate = rate

        def step(self) -> pd.DataFrame:
            return pd.DataFrame({"r": [self.rate]})

    assert not tracker.run(Model(0.1).step, outputs=["f"]).cache_hit
    assert not tracker.run(Model(0.2).step, outputs=["f"]).cache_hit
    assert tracker.run(Model(0.1).step, outputs=["f"]).cache_hit


def test_a_closure_that_appends_to_a_list_hits_the_second_time(tracker: Tracker) -> None:
    # RUN-007
    calls: list[int] = []

    def step() -> pd.DataFrame:
        calls.append(len(calls))
        return table(1)

    assert [tracker.run(step, outputs=["f"]).cache_hit for _ in range(3)] == [False, True, True]
    assert calls == [0]


def test_a_counter_and_a_dict_that_the_closure_changes_are_state(tracker: Tracker) -> None:
    # RUN-007
    count = 0
    log: dict[str, int] = {}

    def step() -> pd.DataFrame:
        nonlocal count
        count += 1
        log["calls"] = count
        return table(1)

    assert [tracker.run(step, outputs=["f"]).cache_hit for _ in range(3)] == [False, True, True]
    assert log == {"calls": 1}


def test_where_an_input_lies_does_not_count_but_its_content_does(
    tracker: Tracker, raw: Path, here: Path
) -> None:
    # SIG-004, G-27
    def step(raw: pd.DataFrame) -> pd.DataFrame:
        return raw

    other = here / "elsewhere" / "raw.csv"
    other.parent.mkdir()
    other.write_bytes(raw.read_bytes())
    assert not tracker.run(step, inputs={"raw": raw}, outputs=["f"]).cache_hit
    assert tracker.run(step, inputs={"raw": other}, outputs=["f"]).cache_hit


def test_touching_a_file_does_not_count(tracker: Tracker, raw: Path) -> None:
    # SIG-004
    assert not tracker.run(one, inputs=[raw], outputs=["f"]).cache_hit
    os.utime(raw, (1, 1))
    assert tracker.run(one, inputs=[raw], outputs=["f"]).cache_hit


def test_same_size_and_time_but_other_bytes_is_a_miss(tracker: Tracker, raw: Path) -> None:
    # SIG-004, G-20
    os.utime(raw, ns=(10**18, 10**18))
    assert not tracker.run(one, inputs=[raw], outputs=["f"]).cache_hit
    raw.write_text(raw.read_text().replace("0.2", "0.3"))
    os.utime(raw, ns=(10**18, 10**18))
    assert not tracker.run(one, inputs=[raw], outputs=["f"]).cache_hit


def test_identity_inputs_count_and_are_no_inputs(tracker: Tracker, here: Path) -> None:
    # SIG-007, SIG-008
    folder = here / "settings"
    folder.mkdir()
    (folder / "a.yaml").write_text("a: 1")

    def run() -> consist.RunResult:
        return tracker.run(one, identity_inputs=[("asim", folder)], outputs=["f"])

    first = run()
    assert run().cache_hit
    (folder / "a.yaml").write_text("a: 2")
    changed = run()
    assert not changed.cache_hit
    assert tracker.get_run_inputs(first.run_id) == {}
    summaries = [r.run.identity_summary["identity_inputs"] for r in (first, changed)]
    assert summaries[0].keys() == summaries[1].keys() == {"asim"}
    assert summaries[0] != summaries[1]


def test_the_label_of_an_identity_input_is_free_of_its_place(tracker: Tracker, here: Path) -> None:
    # SIG-007
    for name in ("a.yaml", "b.yaml"):
        (here / name).write_text("same")
    assert not tracker.run(one, identity_inputs=[("c", here / "a.yaml")], outputs=["f"]).cache_hit
    assert tracker.run(one, identity_inputs=[("c", here / "b.yaml")], outputs=["f"]).cache_hit


def test_the_identity_summary_says_what_a_signature_is_made_of(tracker: Tracker) -> None:
    # SIG-023, C-25
    run = tracker.run(one, outputs=["f"], year=2030, config={"a": 1}).run
    summary = run.identity_summary
    assert summary["code_hash"] == run.git_hash
    assert summary["config_hash"] == run.config_hash
    assert summary["input_hash"] == run.input_hash
    assert summary["signature"] == run.signature
    assert summary["year"] == 2030
    assert summary["adapter"] is None
    assert summary["identity_inputs"] == {}


def test_find_matching_run_finds_a_completed_run_by_its_three_digests(tracker: Tracker) -> None:
    # SIG-022
    run = tracker.run(one, outputs=["f"]).run
    assert run.config_hash
    assert run.input_hash
    assert run.git_hash
    found = tracker.find_matching_run(run.config_hash, run.input_hash, run.git_hash)
    assert found is not None
    assert found.id == run.id
    assert tracker.find_matching_run("x", run.input_hash, run.git_hash) is None


def test_find_matching_run_passes_over_failed_runs(tracker: Tracker) -> None:
    # SIG-022
    def step() -> None:
        raise Broken

    with pytest.raises(Broken):
        tracker.run(step, run_id="r")
    run = tracker.get_run("r")
    assert run is not None
    assert run.config_hash
    assert run.input_hash
    assert run.git_hash
    assert tracker.find_matching_run(run.config_hash, run.input_hash, run.git_hash) is None


# ---------------------------------------------------------------- code identity


STEP = """
def other():
    return 1

def step():
    import pandas as pd
    return pd.DataFrame({"a": [%d]})
"""


@pytest.fixture
def load_step(here: Path) -> Callable[[str], Callable[..., Any]]:
    import importlib.util
    import linecache

    def load(text: str) -> Callable[..., Any]:
        path = here / "steps_under_test.py"
        path.write_text(text)
        linecache.checkcache()
        spec = importlib.util.spec_from_file_location("steps_under_test", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["steps_under_test"] = module
        spec.loader.exec_module(module)
        return module.step

    return load


def test_callable_source_sees_the_function_and_not_its_neighbours(
    tracker: Tracker, load_step: Callable[[str], Callable[..., Any]]
) -> None:
    # SIG-017
    options = CacheOptions(code_identity="callable_source")

    def hits(text: str) -> bool:
        return tracker.run(load_step(text), outputs=["f"], cache_options=options).cache_hit

    assert not hits(STEP % 1)
    assert hits((STEP % 1).replace("return 1", "return 2"))
    assert not hits(STEP % 5)


def test_callable_module_sees_the_whole_module(
    tracker: Tracker, load_step: Callable[[str], Callable[..., Any]]
) -> None:
    # SIG-016
    options = CacheOptions(code_identity="callable_module")

    def hits(text: str) -> bool:
        return tracker.run(load_step(text), outputs=["f"], cache_options=options).cache_hit

    assert not hits(STEP % 1)
    assert hits(STEP % 1)
    assert not hits((STEP % 1).replace("return 1", "return 2"))


def test_extra_dependencies_count_as_code(tracker: Tracker, here: Path) -> None:
    # SIG-018
    (here / "lib.py").write_text("1")
    options = CacheOptions(code_identity="callable_source", code_identity_extra_deps=["lib.py"])

    def hits() -> bool:
        return tracker.run(one, outputs=["f"], cache_options=options).cache_hit

    assert not hits()
    assert hits()
    (here / "lib.py").write_text("2")
    assert not hits()


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def test_repo_git_is_the_default_and_sees_commit_and_changed_files(
    here: Path, tmp_path: Path
) -> None:
    # SIG-015, G-19
    git("init", "-q")
    (here / "model.py").write_text("x = 1")
    git("add", "model.py")
    git("commit", "-qm", "first")

    def hits() -> bool:
        with Tracker(run_dir="runs", db_path="p.duckdb") as tracker:
            result = tracker.run(one, outputs=["f"])
            assert result.run.identity_summary["code_identity"] == "repo_git"
            return result.cache_hit

    assert not hits()
    assert hits()  # our own files in the project count for nothing
    (here / "model.py").write_text("x = 2")
    assert not hits()
    (here / "model.py").write_text("x = 1")
    assert hits()
    (here / "notes.txt").write_text("no source")
    (here / "new.py").write_text("y = 1")
    assert not hits()


# ---------------------------------------------------------------- epochs and versions


def test_a_raised_epoch_of_the_tracker_misses_everything(tmp_path: Path) -> None:
    # TRK-005, SIG-011
    def hits(epoch: int) -> bool:
        with Tracker(tmp_path / "r", tmp_path / "d.duckdb", cache_epoch=epoch) as tracker:
            return tracker.run(one, outputs=["f"]).cache_hit

    assert [hits(1), hits(1), hits(2), hits(2), hits(1)] == [False, True, False, True, True]


def test_the_epoch_of_a_scenario_overrides_that_of_the_tracker(tracker: Tracker) -> None:
    # SIG-012
    def hits(epoch: int | None) -> bool:
        with tracker.scenario("s", cache_epoch=epoch) as sc:
            return sc.run(one, outputs=["f"]).cache_hit

    assert [hits(None), hits(None), hits(4), hits(4)] == [False, True, False, True]


def test_the_epoch_of_a_run_overrides_that_of_the_scenario(tracker: Tracker) -> None:
    # SIG-014
    with tracker.scenario("s", cache_epoch=4) as sc:
        assert not sc.run(one, outputs=["f"]).cache_hit
        assert not sc.run(one, outputs=["f"], cache_options=CacheOptions(cache_epoch=5)).cache_hit
        with sc.trace("t"):
            assert not tracker.is_cached
        with sc.trace("t", cache_epoch=9):
            assert not tracker.is_cached
        with sc.trace("t"):
            assert tracker.is_cached


def test_a_raised_version_misses_that_step_only(tracker: Tracker) -> None:
    # SIG-013
    def versioned(version: int) -> Callable[[], pd.DataFrame]:
        def step() -> pd.DataFrame:
            return table(1)

        return define_step(cache_version=version, outputs=["f"])(step)

    assert not tracker.run(one, outputs=["f"]).cache_hit
    assert not tracker.run(versioned(1)).cache_hit
    assert tracker.run(versioned(1)).cache_hit
    assert not tracker.run(versioned(2)).cache_hit
    assert tracker.run(one, outputs=["f"]).cache_hit


def test_cache_options_are_discriminators(tracker: Tracker) -> None:
    # SIG-014
    def hits(**options: int) -> bool:
        return tracker.run(one, outputs=["f"], cache_options=CacheOptions(**options)).cache_hit

    assert not hits()
    assert not hits(cache_version=1)
    assert not hits(cache_epoch=7)
    assert hits(cache_version=1)
    assert hits(cache_epoch=7)
    assert hits()


# ---------------------------------------------------------------- chains


def test_an_input_made_by_a_run_counts_by_its_producers_signature(tracker: Tracker) -> None:
    # SIG-003, RUN-013
    first = tracker.run(one, outputs=["f"])
    second = tracker.run(double, inputs={"table": first.outputs["f"]}, outputs=["g"])
    again = tracker.run(one, outputs=["f"])
    assert again.cache_hit
    third = tracker.run(double, inputs={"table": again.outputs["f"]}, outputs=["g"])
    assert third.cache_hit
    assert third.outputs["g"].id == second.outputs["g"].id


def test_another_upstream_result_misses_downstream(tracker: Tracker) -> None:
    # SIG-025, C-27
    def make(n: int) -> pd.DataFrame:
        return table(n)

    for n, expected in ((1, False), (2, False), (1, True), (2, True)):
        up = tracker.run(make, config={"n": n}, outputs=["f"])
        down = tracker.run(double, inputs={"table": up.outputs["f"]}, outputs=["g"])
        assert down.cache_hit is expected
        assert consist.load_df(down.outputs["g"], tracker=tracker)["a"].tolist() == [2 * n]


def test_an_upstream_rerun_to_the_same_bytes_keeps_the_downstream_hit_and_says_so(
    tracker: Tracker,
) -> None:
    # SIG-025, SIG-026, C-27
    def make(label: str) -> pd.DataFrame:
        return table(1)

    up = tracker.run(make, config={"label": "a"}, outputs=["f"])
    first = tracker.run(double, inputs={"table": up.outputs["f"]}, outputs=["g"])
    rerun = tracker.run(make, config={"label": "b"}, outputs=["f"])
    assert not rerun.cache_hit
    second = tracker.run(double, inputs={"table": rerun.outputs["f"]}, outputs=["g"])
    assert second.cache_hit
    assert second.outputs["g"].id == first.outputs["g"].id
    assert second.run.meta["cache_match"] == "content"


def test_an_upstream_overwrite_to_other_bytes_misses_downstream(
    tracker: Tracker, here: Path
) -> None:
    # SIG-025, G-29: the code reads something that nobody declared
    outside = here / "outside.txt"
    outside.write_text("1")

    def make() -> pd.DataFrame:
        return table(int(outside.read_text()))

    def chain(mode: str) -> tuple[bool, list[int]]:
        up = tracker.run(make, outputs=["f"], cache_options=CacheOptions(cache_mode=mode))
        down = tracker.run(double, inputs={"table": up.outputs["f"]}, outputs=["g"])
        values = consist.load_df(down.outputs["g"], tracker=tracker)["a"].tolist()
        return down.cache_hit, values

    assert chain("reuse") == (False, [2])
    outside.write_text("5")
    assert chain("overwrite") == (False, [10])
    assert chain("reuse") == (True, [10])


def test_a_changed_managed_input_is_an_error_that_says_who_wrote_it(tracker: Tracker) -> None:
    # G-27
    first = tracker.run(one, outputs=["f"])
    artifact = first.outputs["f"]
    table(9, 9, 9).to_parquet(artifact.path)
    called = []
    with pytest.raises(InputChanged, match="'f'") as caught:
        tracker.run(
            lambda t: called.append(t), "s", run_id="r", inputs={"t": artifact}, outputs=["g"]
        )
    assert isinstance(caught.value, ValueError)
    assert first.run_id in caught.value.__notes__[0]
    assert called == []


def test_a_path_to_a_managed_file_is_linked_while_its_bytes_are_the_recorded_ones(
    tracker: Tracker,
) -> None:
    # ART-003, G-27
    artifact = tracker.run(one, outputs=["f"]).outputs["f"]
    linked = tracker.run(lambda: None, "s", inputs=[artifact.path])
    assert [a.id for a in tracker.get_run_inputs(linked.run_id).values()] == [artifact.id]
    table(9, 9, 9).to_parquet(artifact.path)
    changed = tracker.run(lambda: None, "s", inputs=[artifact.path])
    assert not changed.cache_hit
    (found,) = tracker.get_run_inputs(changed.run_id).values()
    assert found.id != artifact.id
    assert found.run_id is None


def test_a_managed_input_whose_file_is_gone_may_still_hit(tracker: Tracker) -> None:
    # CACHE-006, G-23
    up = tracker.run(one, outputs=["f"])
    tracker.run(double, inputs={"table": up.outputs["f"]}, outputs=["g"])
    up.outputs["f"].path.unlink()
    assert tracker.run(double, inputs={"table": up.outputs["f"]}, outputs=["g"]).cache_hit


def test_a_managed_input_whose_file_is_gone_fails_on_a_miss_with_its_path(
    tracker: Tracker,
) -> None:
    # G-23
    up = tracker.run(one, outputs=["f"])
    up.outputs["f"].path.unlink()
    with pytest.raises(FileNotFoundError, match="'f'") as caught:
        tracker.run(double, inputs={"table": up.outputs["f"]}, outputs=["g"])
    assert str(up.outputs["f"].path) in str(caught.value)


# ---------------------------------------------------------------- modes


def test_only_completed_runs_are_sources(tracker: Tracker) -> None:
    # CACHE-001, CACHE-010
    ok = [False]

    def step() -> pd.DataFrame:
        if not ok[0]:
            ok[0] = True
            raise Broken
        return table(1)

    with pytest.raises(Broken):
        tracker.run(step, outputs=["f"])
    assert not tracker.run(step, outputs=["f"]).cache_hit


def test_a_running_run_is_no_source(tracker: Tracker) -> None:
    # CACHE-001
    depth: list[int] = []
    inner: list[bool] = []

    def step() -> pd.DataFrame:
        depth.append(1)
        if len(depth) == 1:
            inner.append(tracker.run(step, outputs=["f"]).cache_hit)
        return table(1)

    tracker.run(step, outputs=["f"])
    assert inner == [False]
    assert len(depth) == 2


def test_overwrite_always_executes_and_becomes_the_source(tracker: Tracker) -> None:
    # CACHE-003, G-29
    calls: list[int] = []

    def step() -> pd.DataFrame:
        calls.append(1)
        return table(len(calls))

    overwrite = CacheOptions(cache_mode="overwrite")
    tracker.run(step, outputs=["f"])
    second = tracker.run(step, outputs=["f"], cache_options=overwrite)
    third = tracker.run(step, outputs=["f"])
    assert not second.cache_hit
    assert len(calls) == 2
    assert third.cache_hit
    assert third.outputs["f"].run_id == second.run_id


def test_readonly_hits_and_writes_nothing_at_all(tracker: Tracker, tmp_path: Path) -> None:
    # CACHE-004, C-02
    first = tracker.run(one, outputs=["f"])
    count = len(tracker.find_runs())
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    hit = tracker.run(one, outputs=["f"], cache_options=CacheOptions(cache_mode="readonly"))
    assert hit.cache_hit
    assert hit.outputs["f"].id == first.outputs["f"].id
    after = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    assert after.keys() == before.keys()
    assert after == before
    assert len(tracker.find_runs()) == count


def test_a_readonly_miss_executes_and_leaves_only_what_the_function_wrote(
    tracker: Tracker, tmp_path: Path
) -> None:
    # CACHE-004, C-02
    tracker.run(one, outputs=["f"])
    before = files_below(tmp_path)

    def step() -> Path:
        out = tmp_path / "written_by_me.csv"
        out.write_text("a\n1\n")
        return out

    options = CacheOptions(cache_mode="readonly")
    result = tracker.run(step, run_id="r", outputs=["g"], cache_options=options)
    assert not result.cache_hit
    assert result.outputs["g"].path.exists()
    assert files_below(tmp_path) - before == {"written_by_me.csv"}
    assert tracker.get_run("r") is None
    assert tracker.get_artifact("g") is None
    assert not tracker.run(step, outputs=["g"]).cache_hit


def test_a_readonly_block_writes_no_record_either(tracker: Tracker, tmp_path: Path) -> None:
    # CACHE-004, C-02
    tracker.run(one, outputs=["f"])
    (tmp_path / "x.csv").write_text("a\n1\n")
    before = files_below(tmp_path)
    with tracker.trace("t", run_id="r", cache_mode="readonly"):
        tracker.log_artifact(tmp_path / "x.csv", key="x")
        tracker.log_meta(score=1)
    assert files_below(tmp_path) == before
    assert tracker.get_run("r") is None
    assert tracker.last_run is not None
    assert tracker.last_run.run.meta["score"] == 1


def test_a_failing_readonly_run_writes_no_record(tracker: Tracker, tmp_path: Path) -> None:
    # CACHE-004
    tracker.run(one, outputs=["f"])
    before = files_below(tmp_path)

    def step() -> None:
        raise Broken

    with pytest.raises(Broken):
        tracker.run(step, run_id="r", cache_options=CacheOptions(cache_mode="readonly"))
    assert files_below(tmp_path) == before


def test_skip_check_is_accepted_and_never_validates(tracker: Tracker) -> None:
    # CACHE-005, C-02
    first = tracker.run(one, outputs=["f"])
    first.outputs["f"].path.unlink()
    options = CacheOptions(cache_mode="skip_check", validate_cached_outputs="eager")
    assert tracker.run(one, outputs=["f"], cache_options=options).cache_hit
    with tracker.trace("t", cache_mode="skip_check"):
        pass


# ---------------------------------------------------------------- validation


def test_lazy_validation_hits_though_the_file_is_gone(tracker: Tracker) -> None:
    # CACHE-006, CACHE-008, CACHE-018
    tracker.run(one, outputs=["f"]).outputs["f"].path.unlink()
    second = tracker.run(one, outputs=["f"])
    assert second.cache_hit
    assert not second.outputs["f"].path.exists()


@pytest.mark.parametrize("eager", ["eager", "strict"])
def test_eager_validation_executes_again_where_a_file_is_gone(tracker: Tracker, eager: str) -> None:
    # CACHE-007, C-01
    options = CacheOptions(validate_cached_outputs=eager)
    tracker.run(one, outputs=["f"]).outputs["f"].path.unlink()
    second = tracker.run(one, outputs=["f"], cache_options=options)
    assert not second.cache_hit
    assert second.outputs["f"].path.exists()
    assert tracker.run(one, outputs=["f"], cache_options=options).cache_hit


def test_none_is_another_word_for_lazy(tracker: Tracker) -> None:
    # C-01
    tracker.run(one, outputs=["f"]).outputs["f"].path.unlink()
    options = CacheOptions(validate_cached_outputs="none")
    assert tracker.run(one, outputs=["f"], cache_options=options).cache_hit


def test_a_hit_touches_no_output(tracker: Tracker, tmp_path: Path) -> None:
    # CACHE-008, HYD-002, HYD-023
    tracker.run(one, outputs=["f"])
    before = files_below(tracker.run_dir / "outputs")
    tracker.run(one, outputs=["f"])
    assert files_below(tracker.run_dir / "outputs") == before


def test_other_declared_outputs_are_not_given_back(tracker: Tracker) -> None:
    # RUN-008: a run that never promised a key cannot give it back
    tracker.run(one, "s", outputs=["f"])
    second = tracker.run(one, "s", outputs=["g"])
    assert not second.cache_hit
    assert list(second.outputs) == ["g"]


def test_a_promised_output_that_was_missing_does_not_cost_the_hit_every_time(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    # RUN-039
    def step() -> dict[str, Any]:
        return {"f": table(1)}

    tracker.run(step, outputs=["f", "g"])
    assert tracker.run(step, outputs=["f", "g"]).cache_hit


def test_a_run_with_an_output_that_was_never_there_is_no_source_for_an_eager_hit(
    tracker: Tracker, here: Path
) -> None:
    # G-23
    def step() -> None:
        tracker.log_artifact(here / "ghost.csv", key="ghost")

    tracker.run(step)
    options = CacheOptions(validate_cached_outputs="eager")
    assert not tracker.run(step, cache_options=options).cache_hit


# ---------------------------------------------------------------- other trackers and processes


def test_a_new_tracker_on_the_same_database_hits(tmp_path: Path) -> None:
    # CACHE-016
    for expected in (False, True):
        with Tracker(tmp_path / "r", tmp_path / "d.duckdb") as tracker:
            assert tracker.run(one, outputs=["f"]).cache_hit is expected


def test_another_run_folder_on_the_same_database_hits_and_reads_the_first_ones_files(
    tmp_path: Path,
) -> None:
    # CACHE-017, HYD-020, G-17
    with Tracker(tmp_path / "r1", tmp_path / "d.duckdb") as tracker:
        first = tracker.run(one, outputs=["f"])
    with Tracker(tmp_path / "r2", tmp_path / "d.duckdb") as tracker:
        second = tracker.run(one, outputs=["f"])
        assert second.cache_hit
        assert second.outputs["f"].path == first.outputs["f"].path
        assert tracker.load_df(second.outputs["f"])["a"].tolist() == [1]


def test_two_run_folders_at_once_with_equal_uris_are_two_places(tmp_path: Path) -> None:
    # CACHE-017, G-17: "overwritten" compares locations, not URI texts
    def step(n: int, _consist_ctx: Any) -> Path:
        out = Path(_consist_ctx._workspace.run_dir) / "same.csv"
        out.write_text(f"a\n{n}\n")
        return out

    define_step(inject_context=True, outputs=["f"])(step)
    database = tmp_path / "d.duckdb"
    with Tracker(tmp_path / "r1", database) as a, Tracker(tmp_path / "r2", database) as b:
        first = a.run(step, config={"n": 1})
        second = b.run(step, config={"n": 2})
        assert not second.cache_hit
        assert first.outputs["f"].container_uri == second.outputs["f"].container_uri
        assert a.run(step, config={"n": 1}).cache_hit
        hit = b.run(step, config={"n": 1})
        assert hit.cache_hit
        assert b.load_df(hit.outputs["f"])["a"].tolist() == [1]


SCRIPT = """
import pandas as pd
from consist import Tracker

def step(n):
    print("executed")
    return pd.DataFrame({"a": [n]})

with Tracker(run_dir="runs", db_path="p.duckdb") as tracker:
    result = tracker.run(step, config={"n": 3}, outputs=["f"])
    print(result.cache_hit, tracker.load_df(result.outputs["f"])["a"].tolist())
"""


def test_a_fresh_process_hits(here: Path) -> None:
    # CACHE-016
    (here / "script.py").write_text(textwrap.dedent(SCRIPT))
    printed = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "script.py"], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert printed == ["executed\nFalse [3]\n", "True [3]\n"]


def test_moving_a_run_folder_and_its_tracker_keeps_artifacts_loadable(tmp_path: Path) -> None:
    # URI-007, G-17: the active tracker's root is tried first
    with Tracker(tmp_path / "r1", tmp_path / "d.duckdb") as tracker:
        tracker.run(one, outputs=["f"])
    (tmp_path / "r1").rename(tmp_path / "r2")
    with Tracker(tmp_path / "r2", tmp_path / "d.duckdb") as tracker:
        hit = tracker.run(one, outputs=["f"])
        assert hit.cache_hit
        assert hit.outputs["f"].path.is_relative_to(tmp_path / "r2")
        assert tracker.load_df(hit.outputs["f"])["a"].tolist() == [1]


# ---------------------------------------------------------------- hydration


def test_requested_outputs_are_copied_on_a_hit(tracker: Tracker) -> None:
    # HYD-008, HYD-009, HYD-027, HYD-028
    def outputs() -> None:
        folder = tracker.run_artifact_dir()
        folder.mkdir(parents=True, exist_ok=True)
        for key in ("features", "other"):
            (folder / f"{key}.csv").write_text(f"a\n{key}\n")
            tracker.log_artifact(folder / f"{key}.csv", key=key)

    with tracker.start_run("r1", model="step"):
        outputs()
    with tracker.start_run(
        "r2",
        model="step",
        cache_hydration="outputs-requested",
        materialize_cached_output_paths={"features": Path("deep/er/features.csv")},
    ):
        assert tracker.is_cached
        assert (tracker.run_dir / "deep/er/features.csv").read_bytes() == b"a\nfeatures\n"
    assert files_below(tracker.run_dir / "deep") == {"er", "er/features.csv"}


def test_a_requested_key_that_is_not_cached_warns_and_goes_on(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    # HYD-011
    with tracker.start_run("r1", model="step"):
        pass
    with (
        caplog.at_level(logging.WARNING),
        tracker.start_run(
            "r2",
            model="step",
            cache_hydration="outputs-requested",
            materialize_cached_output_paths={"nothing": Path("n.csv")},
        ),
    ):
        assert tracker.is_cached
    assert "'nothing'" in caplog.text


def test_requested_outputs_of_a_function_go_to_output_paths(tracker: Tracker, here: Path) -> None:
    # HYD-010
    def step() -> None:
        out = tracker.run_dir / "outputs" / "features.csv"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("a\n1\n")

    paths = {"features": Path("outputs/features.csv")}
    options = CacheOptions(cache_hydration="outputs-requested")
    first = tracker.run(step, output_paths=paths, cache_options=options)
    assert list(first.outputs) == ["features"]
    target = {"features": Path("elsewhere/features.csv")}
    second = tracker.run(step, output_paths=target, cache_options=options)
    assert second.cache_hit
    assert (tracker.run_dir / "elsewhere/features.csv").read_text() == "a\n1\n"


def test_outputs_all_copies_everything_into_the_folder(tracker: Tracker, here: Path) -> None:
    # HYD-012, TRK-041
    with tracker.start_run("r1", model="step"):
        tracker.log_dataframe(table(1), "a")
        tracker.log_dataframe(table(2), "b", driver="csv", index=False)
    with tracker.start_run(
        "r2",
        model="step",
        cache_hydration="outputs-all",
        materialize_cached_outputs_dir=Path("some/output/dir"),
    ):
        assert tracker.is_cached
    copied = tracker.run_dir / "some/output/dir"
    assert files_below(copied) == {"a.parquet", "b.csv"}


def test_outputs_all_with_a_missing_source_is_an_error_that_names_it(tracker: Tracker) -> None:
    # ERR-032
    with tracker.start_run("r1", model="step"):
        artifact = tracker.log_dataframe(table(1), "a")
    artifact.path.unlink()
    with (
        pytest.raises(FileNotFoundError, match="'a'"),
        tracker.start_run(
            "r2",
            model="step",
            cache_hydration="outputs-all",
            materialize_cached_outputs_dir=Path("some"),
        ),
    ):
        pytest.fail("the block must not run")
    failed = tracker.get_run("r2")
    assert failed is not None
    assert failed.status == "failed"
    with tracker.start_run("r3", model="other"):
        pass


@pytest.mark.parametrize(
    ("hydration", "paths", "folder"),
    [
        ("outputs-requested", None, None),  # ERR-027
        ("outputs-requested", {"a": "a.csv"}, "d"),  # ERR-028
        ("outputs-all", None, None),  # ERR-029
        ("outputs-all", {"a": "a.csv"}, "d"),  # ERR-030
        ("metadata", {"a": "a.csv"}, None),  # ERR-031
        ("metadata", None, "d"),  # ERR-031
        ("inputs-missing", {"a": "a.csv"}, None),  # ERR-031
        ("inputs-missing", None, "d"),  # ERR-031
        ("bogus", None, None),
    ],
)
def test_a_hydration_policy_takes_its_own_destinations_only(
    tracker: Tracker, hydration: str, paths: Any, folder: Any
) -> None:
    # HYD-001, ERR-027 to ERR-031
    with pytest.raises(ValueError, match=hydration):
        tracker.begin_run(
            "r",
            "m",
            cache_hydration=hydration,
            materialize_cached_output_paths=paths,
            materialize_cached_outputs_dir=folder,
        )
    assert tracker.get_run("r") is None
    assert consist.current_run() is None


def test_outputs_requested_without_output_paths_is_an_error_for_a_function(
    tracker: Tracker,
) -> None:
    # ERR-027
    options = CacheOptions(cache_hydration="outputs-requested")
    with pytest.raises(ValueError, match="output_paths"):
        tracker.run(one, outputs=["f"], cache_options=options)


def test_materializing_outside_the_run_folder_needs_permission(
    tracker: Tracker, tmp_path: Path
) -> None:
    # HYD-022, TRK-028, TRK-029
    outside: dict[str, Any] = {
        "cache_hydration": "outputs-all",
        "materialize_cached_outputs_dir": tmp_path / "outside",
    }

    def block(**options: Any) -> bool:
        with tracker.start_run("r", model="step", **options):
            hit = tracker.is_cached
            if not hit:
                tracker.log_dataframe(table(1), "a")
        return hit

    assert not block()
    with pytest.raises(ValueError, match="outside") as caught:
        block(**outside)
    assert "allow_external_paths" in caught.value.__notes__[0]
    assert not (tmp_path / "outside").exists()
    assert block(**outside, allow_external_paths=True)
    assert (tmp_path / "outside" / "a.parquet").exists()


def test_missing_inputs_are_brought_into_this_run_folder_on_a_miss(tmp_path: Path) -> None:
    # HYD-003, HYD-005, HYD-026
    with Tracker(tmp_path / "r1", tmp_path / "d.duckdb") as tracker:
        artifact = tracker.run(one, outputs=["f"]).outputs["f"]
    with Tracker(tmp_path / "r2", tmp_path / "d.duckdb") as tracker:
        found = tracker.get_artifact(artifact.id)
        assert found is not None
        assert found.path == artifact.path
        options = CacheOptions(cache_hydration="inputs-missing")
        seen: list[Path] = []

        def step(f: Path) -> pd.DataFrame:
            seen.append(f)
            return table(2)

        tracker.run(step, inputs={"f": found}, outputs=["g"], cache_options=options)
        assert seen[0].is_relative_to(tmp_path / "r2")
        assert seen[0].read_bytes() == artifact.path.read_bytes()


def test_missing_inputs_are_not_brought_on_a_hit(tmp_path: Path) -> None:
    # HYD-004
    options = CacheOptions(cache_hydration="inputs-missing")

    def chain(folder: str) -> bool:
        with Tracker(tmp_path / folder, tmp_path / "d.duckdb") as tracker:
            up = tracker.run(one, outputs=["f"])
            return tracker.run(
                double, inputs={"table": up.outputs["f"]}, outputs=["g"], cache_options=options
            ).cache_hit

    assert chain("r1") is False
    assert chain("r2") is True
    assert not (tmp_path / "r2" / "outputs").exists()


def test_outputs_all_of_a_block_go_to_its_artifact_folder(tmp_path: Path) -> None:
    # HYD-013, C-05
    def block(folder: str) -> Path:
        with Tracker(tmp_path / folder, tmp_path / "d.duckdb") as tracker:
            with tracker.trace("t", cache_hydration="outputs-all"):
                where = tracker.run_artifact_dir()
                if not tracker.is_cached:
                    tracker.log_dataframe(table(1), "a")
            return where

    block("r1")
    copied = block("r2")
    assert copied.is_relative_to(tmp_path / "r2")
    assert files_below(copied) == {"a.parquet"}


# ---------------------------------------------------------------- inside a hit


def test_cached_artifacts_are_there_on_a_hit_and_only_then(tracker: Tracker, raw: Path) -> None:
    # CACHE-011, CACHE-012, TRK-010, TRK-011
    def block() -> tuple[bool, dict[str, Artifact], dict[str, Artifact], list[Any]]:
        with tracker.trace("t", inputs={"raw": raw}):
            found = (
                tracker.is_cached,
                tracker.cached_artifacts(),
                tracker.cached_artifacts(direction="input"),
                [tracker.cached_output("a"), tracker.cached_output(), tracker.cached_output("x")],
            )
            if not tracker.is_cached:
                tracker.log_dataframe(table(1), "a")
        return found

    assert tracker.is_cached is False
    assert tracker.cached_artifacts() == {}
    assert tracker.cached_output() is None
    assert block() == (False, {}, {}, [None, None, None])
    cached, outputs, inputs, single = block()
    assert cached is True
    assert list(outputs) == ["a"]
    assert list(inputs) == ["raw"]
    assert [None if a is None else a.key for a in single] == ["a", "a", None]
    assert tracker.is_cached is False


@pytest.mark.parametrize("direction", ["bogus", ""])
def test_cached_artifacts_refuse_an_unknown_direction(tracker: Tracker, direction: str) -> None:
    with pytest.raises(ValueError, match="direction"):
        tracker.cached_artifacts(direction=direction)


# ---------------------------------------------------------------- diagnostics


def test_the_debug_line_says_what_was_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, raw: Path
) -> None:
    # CACHE-013, ENV-002
    monkeypatch.setenv("CONSIST_CACHE_DEBUG", "1")
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb") as tracker, caplog.at_level(logging.INFO):
        for _ in range(2):
            tracker.run(one, inputs=[raw], outputs=["f"])
    lines = [r.getMessage() for r in caplog.records if "[cache_debug]" in r.getMessage()]
    missed, why, found = lines
    assert "hit=False" in missed
    assert why == "[cache_debug] why: miss: no earlier run of model 'one'"
    assert "hit=True" in found
    assert "inputs=1 outputs=1 hydration=metadata" in found


def test_the_timing_line_has_its_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # CACHE-014, ENV-001
    monkeypatch.setenv("CONSIST_CACHE_TIMING", "1")
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb") as tracker, caplog.at_level(logging.INFO):
        tracker.run(one, outputs=["f"])
        with tracker.trace("t"):
            pass
    lines = [r.getMessage() for r in caplog.records if "[cache_timing]" in r.getMessage()]
    assert len(lines) == 2
    for line in lines:
        for phase in ("signature_prefetch", "input_hashing", "cache_lookup", "validate"):
            assert f"{phase}=" in line
        assert line.endswith("ms")


def test_checking_a_candidate_is_timed_as_validate(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # CACHE-014
    slow = lookup.objection

    def objection(*args: Any) -> str | None:
        time.sleep(0.02)
        return slow(*args)

    tracker.run(one, outputs=["f"])
    monkeypatch.setattr(lookup, "objection", objection)
    monkeypatch.setattr(
        tracker, "settings", msgspec.structs.replace(tracker.settings, cache_timing=True)
    )
    with caplog.at_level(logging.INFO):
        tracker.run(one, outputs=["f"])
    (line,) = [r.getMessage() for r in caplog.records if "[cache_timing]" in r.getMessage()]
    took = dict(part.removesuffix("ms").split("=") for part in line.split()[1:])
    assert float(took["validate"]) >= 20
    assert float(took["cache_lookup"]) < float(took["validate"])


def test_no_line_is_written_unasked(tracker: Tracker, caplog: pytest.LogCaptureFixture) -> None:
    # CACHE-013, CACHE-014
    with caplog.at_level(logging.INFO):
        tracker.run(one, outputs=["f"])
    assert "[cache_" not in caplog.text
