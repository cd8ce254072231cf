"""What a step gives back becomes outputs."""

# ruff: noqa: PLW0108 - the name of the parameter is what binds

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import OutputPolicyOptions, Tracker
from consist.errors import OutputMismatch, OutputMissing


def table(*values: int) -> pd.DataFrame:
    return pd.DataFrame({"a": list(values)})


def status_of(tracker: Tracker, run_id: str) -> str:
    run = tracker.get_run(run_id)
    assert run is not None
    return run.status


STRICT = OutputPolicyOptions(output_missing="error", output_mismatch="error")


# ---------------------------------------------------------------- return values


@pytest.mark.parametrize(
    "value", [table(1, 2), pd.Series([1, 2], name="a")], ids=["frame", "series"]
)
def test_a_frame_or_series_is_written_under_its_key(tracker: Tracker, value: Any) -> None:
    # RUN-024
    result = tracker.run(lambda: value, "s", outputs=["k"])
    artifact = result.outputs["k"]
    assert artifact.driver == "parquet"
    assert artifact.path.is_relative_to(tracker.run_dir / "outputs")
    assert tracker.load_df(artifact)["a"].tolist() == [1, 2]


@pytest.mark.parametrize("as_text", [True, False])
def test_a_returned_path_is_logged_under_its_key(
    tracker: Tracker, here: Path, as_text: bool
) -> None:
    # RUN-025
    def step() -> Any:
        (here / "x.csv").write_text("a\n1\n")
        return "x.csv" if as_text else here / "x.csv"

    artifact = tracker.run(step, outputs=["k"]).outputs["k"]
    assert artifact.path == here / "x.csv"
    assert artifact.driver == "csv"


def test_a_returned_mapping_is_logged_by_key(tracker: Tracker, here: Path) -> None:
    # RUN-026
    def step() -> dict[str, Any]:
        (here / "b.csv").write_text("a\n5\n")
        return {"b": here / "b.csv", "a": table(1)}

    result = tracker.run(step, outputs=["a", "b"])
    assert tracker.load_df(result.outputs["a"])["a"].tolist() == [1]
    assert tracker.load_df(result.outputs["b"])["a"].tolist() == [5]


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_returned_sequence_is_logged_in_the_order_of_the_keys(
    tracker: Tracker, kind: type
) -> None:
    # RUN-024
    result = tracker.run(lambda: kind([table(1), table(2)]), "s", outputs=["a", "b"])
    assert tracker.load_df(result.outputs["b"])["a"].tolist() == [2]


def test_without_declared_outputs_files_are_logged_by_themselves(
    tracker: Tracker, here: Path
) -> None:
    # RUN-027
    (here / "x.csv").write_text("a\n1\n")
    assert list(tracker.run(lambda: here / "x.csv", "one").outputs) == ["one"]
    assert list(tracker.run(lambda: "x.csv", "two").outputs) == ["two"]
    many = tracker.run(lambda: {"p": "x.csv", "q": here / "x.csv"}, "three")
    assert set(many.outputs) == {"p", "q"}
    artifact = many.outputs["p"]
    assert tracker.run(lambda: artifact, "four").outputs["p"].id == artifact.id


@pytest.mark.parametrize("value", [5, {"k": 5}, {"k": table(1)}, table(1)])
def test_a_value_that_nobody_declared_is_an_error_that_names_the_remedy(
    tracker: Tracker, value: Any
) -> None:
    # RUN-027
    with pytest.raises(TypeError, match="'s'") as caught:
        tracker.run(lambda: value, "s", run_id="r")
    assert "outputs=" in caught.value.__notes__[0]
    assert status_of(tracker, "r") == "failed"


def test_a_declared_value_without_a_format_is_an_error_that_names_its_key(
    tracker: Tracker,
) -> None:
    with pytest.raises(TypeError, match=r"'k'.*object"):
        tracker.run(lambda: object(), "s", run_id="r", outputs=["k"])
    assert status_of(tracker, "r") == "failed"


def test_a_returned_path_that_is_not_there_warns_and_has_no_digest(
    tracker: Tracker, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # G-23: an output path that does not exist follows output_missing
    result = tracker.run(lambda: here / "nowhere.csv", "s", outputs=["k"])
    assert "'k'" in caplog.text or "k" in caplog.text
    assert result.outputs.get("k") is None or result.outputs["k"].hash is None


def test_a_returned_path_that_is_not_there_is_an_error_under_that_policy(
    tracker: Tracker, here: Path
) -> None:
    # G-23, RUN-040
    with pytest.raises(RuntimeError, match="k"):
        tracker.run(
            lambda: here / "nowhere.csv", "s", run_id="r", outputs=["k"], output_policy=STRICT
        )
    assert status_of(tracker, "r") == "failed"


# ---------------------------------------------------------------- policies


def test_a_missing_output_warns_by_default(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    # RUN-039
    result = tracker.run(lambda: None, "s", run_id="r", outputs=["a", "b"])
    assert result.outputs == {}
    assert "'r'" in caplog.text
    assert "a, b" in caplog.text
    assert status_of(tracker, "r") == "completed"


def test_a_missing_output_is_an_error_under_that_policy(tracker: Tracker) -> None:
    # RUN-039, RUN-040
    with pytest.raises(OutputMissing, match=r"'r'.*a, b") as caught:
        tracker.run(lambda: None, "s", run_id="r", outputs=["a", "b"], output_policy=STRICT)
    assert isinstance(caught.value, RuntimeError)
    assert status_of(tracker, "r") == "failed"
    assert not tracker.run(lambda: None, "s", outputs=["a", "b"]).cache_hit


def test_a_missing_output_may_be_ignored(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    # RUN-039
    quiet = OutputPolicyOptions(output_missing="ignore", output_mismatch="ignore")
    tracker.run(lambda: None, "s", outputs=["a"], output_policy=quiet)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "value", [(1, 2, 3), (1,), {"a": 1, "c": 2}], ids=["more", "fewer", "other"]
)
def test_another_number_or_name_of_outputs_follows_its_policy(
    tracker: Tracker, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # RUN-038
    def step() -> Any:
        if isinstance(value, dict):
            return {key: table(n) for key, n in value.items()}
        return tuple(table(n) for n in value)

    with pytest.raises(OutputMismatch, match=r"'r'.*a, b"):
        tracker.run(
            step,
            run_id="r",
            outputs=["a", "b"],
            output_policy=OutputPolicyOptions(output_mismatch="error"),
        )
    assert status_of(tracker, "r") == "failed"
    caplog.clear()
    ignored = OutputPolicyOptions(output_mismatch="ignore", output_missing="ignore")
    tracker.run(step, "quiet", outputs=["a", "b"], output_policy=ignored)
    assert caplog.text == ""
    result = tracker.run(step, outputs=["a", "b"])
    assert "declared outputs a, b" in caplog.text
    assert "a" in result.outputs
    assert result.run.status == "completed"


# ---------------------------------------------------------------- output_paths


def test_a_relative_output_path_may_mean_the_run_folder(tracker: Tracker, here: Path) -> None:
    # RUN-028, RUN-029, C-14
    def step() -> None:
        out = tracker.run_dir / "sub" / "x.csv"
        out.parent.mkdir(parents=True)
        out.write_text("a\n1\n")

    result = tracker.run(step, output_paths={"k": "sub/x.csv"})
    assert result.outputs["k"].path == tracker.run_dir / "sub" / "x.csv"
    assert result.outputs["k"].container_uri == "./sub/x.csv"


def test_a_relative_output_path_may_mean_the_current_folder(tracker: Tracker, here: Path) -> None:
    # C-14
    def step() -> None:
        (here / "x.csv").write_text("a\n1\n")

    result = tracker.run(step, output_paths={"k": "./x.csv"})
    assert result.outputs["k"].path == here / "x.csv"


def test_of_two_places_the_one_written_now_is_meant(tracker: Tracker, here: Path) -> None:
    # C-14
    tracker.run_dir.mkdir(exist_ok=True)
    (tracker.run_dir / "x.csv").write_text("old\n1\n")

    def step() -> None:
        (here / "x.csv").write_text("a\n1\n")

    assert tracker.run(step, output_paths={"k": "x.csv"}).outputs["k"].path == here / "x.csv"


def test_both_places_written_is_an_error_that_names_both(tracker: Tracker, here: Path) -> None:
    # C-14
    def step() -> None:
        tracker.run_dir.mkdir(exist_ok=True)
        (tracker.run_dir / "x.csv").write_text("a\n1\n")
        (here / "x.csv").write_text("a\n1\n")

    with pytest.raises(ValueError, match="'k'") as caught:
        tracker.run(step, run_id="r", output_paths={"k": "x.csv"})
    assert str(here / "x.csv") in str(caught.value)
    assert str(tracker.run_dir / "x.csv") in str(caught.value)
    assert status_of(tracker, "r") == "failed"


def test_neither_place_written_falls_to_the_policy(
    tracker: Tracker, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # C-14, G-23
    (here / "x.csv").write_text("old\n1\n")
    result = tracker.run(lambda: None, "s", output_paths={"k": "x.csv"})
    assert result.outputs == {}
    assert "k" in caplog.text
    with pytest.raises(OutputMissing, match="k"):
        tracker.run(lambda: None, "t", output_paths={"k": "x.csv"}, output_policy=STRICT)


def test_a_rewrite_with_the_same_size_is_noticed(tracker: Tracker, here: Path) -> None:
    # C-14
    (here / "x.csv").write_text("a\n1\n")

    def step() -> None:
        (here / "x.csv").write_text("a\n2\n")

    result = tracker.run(step, output_paths={"k": "x.csv"})
    assert tracker.load_df(result.outputs["k"])["a"].tolist() == [2]


def test_an_absolute_output_path_is_taken_as_it_is(tracker: Tracker, tmp_path: Path) -> None:
    # RUN-029, G-28
    def step() -> None:
        (tmp_path / "x.csv").write_text("a\n1\n")

    result = tracker.run(step, output_paths={"k": tmp_path / "x.csv"})
    assert result.outputs["k"].path == tmp_path / "x.csv"


def test_an_output_path_may_be_a_mount(tmp_path: Path) -> None:
    # RUN-029
    (tmp_path / "scratch").mkdir()
    mounts = {"scratch": tmp_path / "scratch"}
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb", mounts=mounts) as tracker:

        def step() -> None:
            (tmp_path / "scratch" / "x.csv").write_text("a\n1\n")

        result = tracker.run(step, output_paths={"k": "scratch://x.csv"})
        assert result.outputs["k"].container_uri == "scratch://x.csv"
        assert result.outputs["k"].path == tmp_path / "scratch" / "x.csv"


def test_an_output_path_may_be_an_artifact(tracker: Tracker) -> None:
    # RUN-028
    artifact = tracker.run(lambda: table(1), "first", outputs=["f"]).outputs["f"]
    result = tracker.run(lambda: None, "second", output_paths={"f": artifact})
    assert result.outputs["f"].id == artifact.id


def test_return_value_and_output_paths_may_be_combined(tracker: Tracker, here: Path) -> None:
    # RUN-028
    def step() -> pd.DataFrame:
        (here / "x.csv").write_text("a\n1\n")
        return table(1)

    result = tracker.run(step, outputs=["f"], output_paths={"k": "x.csv"})
    assert set(result.outputs) == {"f", "k"}


# ---------------------------------------------------------------- capture


def test_new_and_changed_files_of_a_folder_are_captured_by_stem(
    tracker: Tracker, here: Path
) -> None:
    # RUN-030, RUN-031, RUN-032
    folder = here / "out"
    folder.mkdir()
    (folder / "old.csv").write_text("a\n0\n")
    (folder / "changed.csv").write_text("a\n0\n")

    def step() -> None:
        (folder / "changed.csv").write_text("a\n9\n")
        (folder / "results.csv").write_text("a\n1\n")
        (folder / "log.txt").write_text("no")

    result = tracker.run(step, capture_dir=Path("out"), capture_pattern="*.csv")
    assert set(result.outputs) == {"changed", "results"}
    again = tracker.run(step, capture_dir=Path("out"), capture_pattern="*.csv")
    assert again.cache_hit
    assert set(again.outputs) == {"changed", "results"}


def test_the_captured_folder_need_not_exist(tracker: Tracker, here: Path) -> None:
    # RUN-030
    def step() -> None:
        (here / "out").mkdir()
        (here / "out" / "results.csv").write_text("a\n1\n")

    assert list(tracker.run(step, capture_dir="out").outputs) == ["results"]


def test_files_of_one_stem_are_both_captured(tracker: Tracker, here: Path) -> None:
    # RUN-031: nothing is lost
    def step() -> None:
        (here / "out").mkdir()
        (here / "out" / "x.csv").write_text("a\n1\n")
        (here / "out" / "x.json").write_text("{}")

    result = tracker.run(step, capture_dir="out")
    assert {a.path.name for a in result.outputs.values()} == {"x.csv", "x.json"}


def test_a_captured_step_that_returns_something_is_an_error(tracker: Tracker) -> None:
    with pytest.raises(TypeError, match="capture_dir"):
        tracker.run(lambda: 1, "s", run_id="r", capture_dir="out")
    assert status_of(tracker, "r") == "failed"


# ---------------------------------------------------------------- facets on runs


def test_a_facet_is_kept_beside_the_config(tracker: Tracker) -> None:
    # RUN-036, SIG-020
    result = tracker.run(
        lambda: None,
        "s",
        config={"a": 1, "b": 2},
        facet={"c": 3, "a": 9},
        facet_from=["a", "b"],
        facet_schema_version=2,
    )
    record = tracker.get_run_record(result.run_id)
    assert record is not None
    assert record.facet == {"a": 9, "b": 2, "c": 3}
    assert record.config == {"a": 1, "b": 2}


def test_a_facet_key_that_the_config_does_not_have_is_an_error(tracker: Tracker) -> None:
    with pytest.raises(KeyError, match="nothing"):
        tracker.run(lambda: None, "s", config={"a": 1}, facet_from=["nothing"])
    assert tracker.find_runs() == []


def test_consist_load_df_works_on_any_output(tracker: Tracker) -> None:
    # RUN-062, ART-040, G-17
    with consist.use_tracker(tracker):
        result = consist.run(lambda: table(1, 2), "s", outputs=["k"])
    assert consist.load_df(result.outputs["k"])["a"].tolist() == [1, 2]


def test_a_folder_that_a_tool_writes_into_again_was_written(tracker: Tracker, here: Path) -> None:
    # C-14: which of two places a relative path means is told by what this run wrote
    folder = here / "results"

    def step(n: int) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "a.csv").write_text(f"a\n{n}\n")

    for n in (1, 2):
        result = tracker.run(step, config={"n": n}, output_paths={"results": "results"})
        assert result.outputs["results"].path == folder


def test_values_beside_declared_files_are_no_outputs(tracker: Tracker, here: Path) -> None:
    def step() -> dict[str, float]:
        (here / "a.csv").write_text("a\n1\n")
        return {"gap": 0.1}

    result = tracker.run(step, output_paths={"a": here / "a.csv"})
    assert list(result.outputs) == ["a"]
    assert result.value == {"gap": 0.1}
