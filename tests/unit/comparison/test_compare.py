"""Runs and scenarios that a tracker recorded, compared."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import consist
from consist import CacheOptions, ExecutionOptions, RunComparison, ScenarioComparison, Tracker
from consist.comparison.runs import environment_differences
from consist.errors import NoDatabase, UnknownKey, UsageError, WrongType

AGAIN = CacheOptions(cache_mode="overwrite")
LOADED = ExecutionOptions(load_inputs=True)


def trips(scale: float, rows: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {"trip_id": range(rows), "km": [scale * n for n in range(rows)], "mode": "car"}
    )


def total(trips: pd.DataFrame) -> Path:
    path = Path(consist.output_path("kpi", "json"))
    facts = {"km": {"total": float(trips["km"].sum())}, "unit": "km", "rows": len(trips)}
    path.write_text(json.dumps(facts))
    return path


def note(text: str) -> Path:
    path = Path(consist.output_path("note", "txt"))
    path.write_text(text)
    return path


def run(tracker, scale=1.0, **options):
    return tracker.run(trips, config={"scale": scale}, outputs=["trips"], **options)


def pair(tracker):
    return run(tracker, 1.0), run(tracker, 2.0)


# ---------------------------------------------------------------- runs


def test_what_differs_between_two_runs(tracker):
    found = tracker.compare(*pair(tracker))
    assert isinstance(found, RunComparison)
    assert not found.same
    assert [(d.name, d.kind, d.left, d.right) for d in found.config] == [
        ("scale", "changed", 1.0, 2.0)
    ]
    assert (found.code, found.inputs) == ((), ())
    data = found.outputs[0].data
    assert (data.key, data.key_found, data.changed) == (("trip_id",), True, 3)
    assert found.headline == (
        "same code, 1 config value differs, same inputs,"
        " the output differs: trips: 3 of 4 rows changed in 1 column"
    )


def test_a_hit_is_the_same_as_its_source_and_nothing_is_read(tracker):
    first = run(tracker)
    first.outputs["trips"].path.unlink()
    found = tracker.compare(first, run(tracker))
    assert found.same
    assert found.outputs[0].verdict == "identical"
    assert "same output" in found.headline


def test_the_same_data_in_other_bytes_is_equal(tracker):
    def zipped() -> Path:
        path = Path(consist.output_path("t", "parquet"))
        trips(1.0).to_parquet(path, compression="gzip")
        return path

    with_other = tracker.run(zipped, outputs=["trips"])
    found = tracker.compare(run(tracker), with_other)
    assert found.outputs[0].verdict == "equal"
    assert found.outputs[0].data.same
    by_digest = tracker.compare(run(tracker), with_other, data=False)
    assert (by_digest.outputs[0].verdict, by_digest.outputs[0].data) == ("differs", None)


def test_tolerances_make_close_numbers_equal(tracker):
    close = run(tracker, 1.0), run(tracker, 1.0 + 1e-12)
    assert tracker.compare(*close).outputs[0].verdict == "differs"
    assert tracker.compare(*close, rtol=1e-9).outputs[0].verdict == "equal"
    assert tracker.compare(*close, atol=1e-9).outputs[0].verdict == "equal"


def test_outputs_of_one_side_only_and_a_choice_of_keys(tracker):
    first = run(tracker)
    second = tracker.run(trips, config={"scale": 1.0}, outputs=["other"])
    verdicts = {output.key: output.verdict for output in tracker.compare(first, second).outputs}
    assert verdicts == {"trips": "removed", "other": "added"}
    assert [o.key for o in tracker.compare(first, second, keys=["other"]).outputs] == ["other"]


def test_a_file_that_is_gone_or_altered_is_told_and_not_taken_for_the_recorded_one(tracker):
    left, right = pair(tracker)
    path = left.outputs["trips"].path
    trips(2.0).to_parquet(path, compression="gzip")
    output = tracker.compare(left, right).outputs[0]
    assert (output.verdict, output.data) == ("differs", None)
    assert "the left file is no longer what was recorded" in output.reason
    path.unlink()
    output = tracker.compare(left, right).outputs[0]
    assert "the left file is gone" in output.reason
    assert str(path) in output.reason
    assert not tracker.compare(left, right).same


def test_ingested_rows_stand_in_for_a_file_that_is_gone(tracker):
    left, right = pair(tracker)
    before = tracker.compare(left, right).outputs[0].data
    tracker.ingest(left.outputs["trips"])
    left.outputs["trips"].path.unlink()
    output = tracker.compare(left, right).outputs[0]
    assert output.detail == "left: ingested rows, since the file is gone"
    assert output.data == before


def test_json_documents_are_compared_leaf_by_leaf(tracker):
    results = [
        tracker.run(
            total, inputs={"trips": result.outputs["trips"]}, outputs=["kpi"],
            execution_options=LOADED,
        )
        for result in pair(tracker)
    ]  # fmt: skip
    output = tracker.compare(*results).outputs[0]
    assert [(d.name, d.left, d.right) for d in output.data.leaves] == [("km.total", 6.0, 12.0)]
    assert tracker.compare(*results, rtol=0.5).outputs[0].verdict == "equal"


def test_other_files_are_compared_by_their_bytes(tracker):
    results = [tracker.run(note, config={"text": text}, outputs=["note"]) for text in ("a", "bcd")]
    output = tracker.compare(*results).outputs[0]
    assert (output.verdict, output.data) == ("differs", None)
    assert output.detail == "1 bytes and 3 bytes"


def test_csv_files_are_tables_whose_types_are_those_of_all_their_rows(tracker, tmp_path):
    results = []
    for last in ("7", "x"):
        raw = tmp_path / f"{last}.csv"
        raw.write_text(
            "id,value\n" + "".join(f"{n},{n}\n" for n in range(30_000)) + f"30000,{last}\n"
        )
        with tracker.start_run(f"csv_{last}", model="csv"):
            results.append(tracker.log_artifact(raw, key="table", direction="output").run_id)
    output = tracker.compare(*results).outputs[0]
    assert output.reason == ""
    assert output.data.changed == 1
    assert output.data.schema[0].kind == "retyped"
    assert "compared as text" in output.data.notes[0]


def test_key_columns_given_for_all_or_by_output(tracker):
    left, right = pair(tracker)
    found = tracker.compare(left, right, on="mode").outputs[0].data
    assert (found.how, found.added, found.removed) == ("sets", 3, 3)
    assert "(mode) is no key: 4 rows share one value" in found.notes[0]
    assert tracker.compare(left, right, on={"trips": ["trip_id"]}).outputs[0].data.how == "keyed"
    assert tracker.compare(left, right, on=[]).outputs[0].data.how == "sets"
    with pytest.raises(UsageError, match="no table that was compared has the key column 'nope'"):
        tracker.compare(left, right, on="nope")
    with pytest.raises(UsageError, match="'nope' is not in both tables"):
        tracker.compare(left, right, on={"trips": "nope"})
    with pytest.raises(UnknownKey, match="no 'other' in the outputs"):
        tracker.compare(left, right, on={"other": "id"})
    with pytest.raises(UnknownKey, match="no 'other' in the outputs"):
        tracker.compare(left, right, keys="other")


def test_inputs_are_compared_by_name(tracker, tmp_path):
    results = []
    for text in ("a", "b"):
        raw = tmp_path / "raw.txt"
        raw.write_text(text)
        results.append(run(tracker, inputs={"raw": raw}))
    found = tracker.compare(*results)
    assert [(d.name, d.kind) for d in found.inputs] == [("raw", "changed")]
    assert "1 input differs" in found.headline


def test_without_snapshots_facets_stand_for_configs_and_the_result_says_so(tracker):
    left, right = (run(tracker, scale, facet={"scale": scale}) for scale in (1.0, 2.0))
    shutil.rmtree(tracker.run_dir / "consist_runs")
    found = tracker.compare(left.run_id, right.run_id)
    assert [(d.name, d.left, d.right) for d in found.config] == [("scale", 1.0, 2.0)]
    assert "only facets were compared" in found.notes[0]


def test_without_snapshots_and_facets_it_says_that_nothing_can_be_told(tracker):
    left, right = pair(tracker)
    shutil.rmtree(tracker.run_dir / "consist_runs")
    found = tracker.compare(left.run_id, right.run_id)
    assert found.config[0].detail == "what differs was not recorded"
    assert "cannot be told" in found.notes[0]


def test_a_plain_id_means_the_latest_completed_attempt(tracker):
    def fails(scale: float) -> None:
        raise RuntimeError("no")

    run(tracker, 1.0, run_id="a")
    run(tracker, 2.0, run_id="a")
    with pytest.raises(RuntimeError):
        tracker.run(fails, config={"scale": 3.0}, run_id="a", outputs=["trips"])
    assert tracker.compare("a", "a~1").left.id == "a~2"
    assert tracker.compare("a~1", "a~3").right.status == "failed"
    assert tracker.compare(tracker.get_run("a~1"), "a").left.id == "a"


def test_a_comparison_is_text_a_frame_and_plain_data(tracker):
    found = tracker.compare(*pair(tracker))
    assert repr(found) == str(found) == found.text
    assert max(map(len, found.text.splitlines())) <= 80
    assert "km: 3 rows differ, by up to 3 or 50.000%" in found.text
    frame = found.to_frame()
    assert list(frame.columns) == ["section", "name", "kind", "left", "right", "detail"]
    assert set(frame["section"]) >= {"config", "outputs"}
    assert len(frame) == sum(map(len, found.differences.values()))
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["outputs"][0]["data"]["columns"][0]["rows"] == 3
    assert "trips" in found._repr_html_()


def test_on_current_tracker(tracker):
    left, right = pair(tracker)
    assert consist.compare(left, right, tracker=tracker).config[0].name == "scale"
    with consist.use_tracker(tracker):
        assert consist.compare(left, right).config[0].name == "scale"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rtol": -1}, UsageError, "rtol=-1 is not a finite number"),
        ({"atol": float("inf")}, UsageError, "atol=inf"),
        ({"rtol": "1"}, WrongType, "rtol='1' is not a number"),
        ({"data": "yes"}, WrongType, "data='yes'"),
        ({"examples": -1}, UsageError, "examples=-1"),
        ({"examples": 1.5}, WrongType, "examples=1.5"),
        ({"keys": 3}, WrongType, "keys is an int"),
        ({"on": {"trips": 3}}, WrongType, r"on\['trips'\] is an int"),
        ({"on": [3]}, WrongType, "on has 3"),
    ],
)
def test_options_that_cannot_be(tracker, options, error, words):
    with pytest.raises(error, match=words):
        tracker.compare("a", "b", **options)


def test_what_cannot_be_compared(tracker):
    with tracker.scenario("s") as sc:
        step = sc.run(trips, config={"scale": 1.0}, outputs=["trips"])
    with pytest.raises(UsageError, match=r"'s' is a scenario and .* is a run"):
        tracker.compare("s", step)
    with pytest.raises(UsageError, match="there is no run or scenario 'nope'"):
        tracker.compare("nope", "s")
    with pytest.raises(WrongType, match="cannot compare an int"):
        tracker.compare(1, 2)


def test_without_a_database(tmp_path):
    with Tracker(tmp_path / "runs") as tracker, pytest.raises(NoDatabase):
        tracker.compare("a", "b")


def test_arrays_are_compared_variable_by_variable(tracker, monkeypatch):
    xr = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    monkeypatch.setattr("consist.comparison.arrays.BLOCK", 5)

    def skim(change: float):
        times = [[1.0, 2.0, float("nan")], [4.0, 5.0, 6.0 + change]]
        return xr.Dataset({"time": (("o", "d"), times), "same": ("o", [1, 2])})

    results = [
        tracker.run(
            skim, config={"change": change}, outputs=["skim"], output_paths={"skim": "skim.zarr"}
        )
        for change in (0.0, 0.5)
    ]
    output = tracker.compare(*results).outputs[0]
    (variable,) = output.data.variables
    assert (variable.name, variable.values, variable.size, variable.max_abs) == ("time", 1, 6, 0.5)
    assert variable.example == {"o": 1, "d": 2, "left": 6.0, "right": 6.5}
    assert tracker.compare(*results, atol=1.0).outputs[0].verdict == "equal"


def test_environments_are_compared_name_by_name_and_package_by_package():
    left = {"python": "3.11", "host": "a", "job": None, "packages": {"numpy": "1", "old": "1"}}
    right = {"python": "3.12", "host": "a", "job": {"id": "7"}, "packages": {"numpy": "2"}}
    found = [(d.name, d.kind, d.left, d.right) for d in environment_differences(left, right)]
    assert found == [
        ("python", "changed", "3.11", "3.12"),
        ("job", "changed", None, {"id": "7"}),
        ("packages.numpy", "changed", "1", "2"),
        ("packages.old", "removed", "1", None),
    ]


# ---------------------------------------------------------------- scenarios


def scenario(tracker, name, scale, years=(2030, 2040), **options):
    with tracker.scenario(name, config={"scale": scale}, **options) as sc:
        sc.run(trips, name="fleet", config={"scale": 1.0}, outputs=["fleet"])
        for year in years:
            sc.run(trips, config={"scale": scale}, outputs=["trips"], year=year)
            sc.run(
                total, inputs={"trips": "trips"}, outputs=["kpi"], year=year,
                execution_options=LOADED,
            )  # fmt: skip


def test_the_first_step_at_which_two_scenarios_part_and_why(tracker):
    scenario(tracker, "base", 1.0)
    scenario(tracker, "toll", 2.0)
    found = tracker.compare("base", "toll")
    assert isinstance(found, ScenarioComparison)
    assert [(step.label, step.causes) for step in found.steps] == [
        ("fleet", ()),
        ("trips (2030)", ("config", "outputs")),
        ("total (2030)", ("upstream", "outputs")),
        ("trips (2040)", ("config", "outputs")),
        ("total (2040)", ("upstream", "outputs")),
    ]
    assert found.parting.label == "trips (2030)"
    assert found.parting.differences[0].name == "scale"
    assert [(d.name, d.left, d.right) for d in found.config] == [("scale", 1.0, 2.0)]
    outputs = {output.key: output for output in found.outputs}
    assert {key: o.verdict for key, o in outputs.items()} == {
        "fleet": "identical", "trips": "differs", "kpi": "differs",
    }  # fmt: skip
    assert outputs["trips"].data.changed == 3
    assert outputs["kpi"].data.leaves[0].name == "km.total"
    assert max(map(len, found.text.splitlines())) <= 80
    assert json.loads(json.dumps(found.to_dict()))["parting"]["label"] == "trips (2030)"
    assert len(found.to_frame()) == sum(map(len, found.differences.values()))


def test_the_same_scenario_again_is_the_same(tracker):
    scenario(tracker, "base", 1.0)
    scenario(tracker, "base", 1.0)
    found = tracker.compare("base~1", "base")
    assert (found.left.id, found.right.id) == ("base", "base~2")
    assert found.same
    assert found.parting is None
    assert "all 5 steps are the same, same final outputs" in found.headline


def test_steps_of_one_scenario_only(tracker):
    scenario(tracker, "base", 1.0)
    scenario(tracker, "short", 1.0, years=(2030,))
    found = tracker.compare("base", "short")
    assert [step.verdict for step in found.steps] == ["same"] * 3 + ["removed"] * 2
    assert found.parting.label == "trips (2040)"
    assert tracker.compare("short", "base").steps[-1].verdict == "added"


def sweep(tracker, name, seeds, scale=1.0):
    with tracker.scenario(name) as sc:
        sc.map(trips, over={"rows": seeds}, config={"scale": scale}, outputs=["trips"])


def test_points_of_sweeps_are_matched_by_their_parameters(tracker):
    sweep(tracker, "a", [1, 2, 3])
    sweep(tracker, "b", [3, 4, 2], scale=2.0)
    found = tracker.compare("a", "b")
    assert {step.label: step.verdict for step in found.steps} == {
        "trips (rows=1)": "removed",
        "trips (rows=2)": "differs",
        "trips (rows=3)": "differs",
        "trips (rows=4)": "added",
    }
    assert {step.matched for step in found.steps} == {"config", "only"}


def test_steps_that_nothing_tells_apart_are_matched_in_order_and_it_says_so(tracker):
    for name, count in (("a", 2), ("b", 3)):
        with tracker.scenario(name) as sc:
            for _ in range(count):
                sc.run(trips, config={"scale": 1.0}, outputs=["trips"])
    found = tracker.compare("a", "b")
    assert [(step.matched, step.verdict) for step in found.steps] == [
        ("order", "same"), ("order", "same"), ("only", "added"),
    ]  # fmt: skip
    assert "2 steps that nothing tells apart were matched in their order" in found.notes


def test_without_snapshots_steps_are_told_by_their_digests_and_facets(tracker):
    for name, scale in (("a", 1.0), ("b", 2.0)):
        with tracker.scenario(name) as sc:
            for seed in (1, 2):
                facet = {"scale": scale, "seed": seed}
                sc.run(trips, config={"scale": scale}, facet=facet, outputs=["trips"])
    shutil.rmtree(tracker.run_dir / "consist_runs")
    found = tracker.compare("a", "b")
    assert {d.name for d in found.parting.differences} == {"scale", "trips"}
    assert any("snapshots of" in text for text in found.notes)


def test_steps_with_other_names_are_matched_by_their_model(tracker):
    for name, step in (("a", "first"), ("b", "second")):
        with tracker.scenario(name) as sc:
            sc.run(trips, name=step, model="demand", config={"scale": 1.0}, outputs=["trips"])
    (step,) = tracker.compare("a", "b").steps
    assert step.same


def test_comparing_leaves_no_files_behind(tracker, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, right = pair(tracker)
    before = sorted(tmp_path.iterdir())
    tracker.compare(left, right)
    assert sorted(tmp_path.iterdir()) == before
