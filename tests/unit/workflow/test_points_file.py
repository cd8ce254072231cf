"""Points of a sweep in a file: what it holds, what it refuses, and how it is read again."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from consist import CacheOptions, ExecutionOptions, NoopTracker, Tracker
from consist.cli import app
from consist.errors import (
    ConsistError,
    InvalidRunId,
    PointsFileUnusable,
    StepNotFound,
    UsageError,
    WrongType,
)
from consist.identity import config_digest
from consist.runs.arguments import RunRequest
from consist.workflow.importable import find_again, import_name
from consist.workflow.points_file import PointsFile
from consist.workflow.points_writer import _FIELDS
from consist.workflow.run_points import as_array, indexes_of, points_of_task, task_of, tasks_in


def step(demand: float = 1.0, **others: Any) -> pd.DataFrame:
    return pd.DataFrame({"demand": [demand], "others": [len(others)]})


def reads(table: pd.DataFrame, extra: Any = None) -> pd.DataFrame:
    return table


class Group:
    """Has a step."""

    @classmethod
    def of_class(cls, demand: float) -> pd.DataFrame:
        return step(demand)

    def of_object(self, demand: float) -> pd.DataFrame:
        return step(demand)


@dataclass
class Settings:
    """A config that is a model."""

    demand: float


def written(
    tracker: Tracker, over: Any, fn: Callable[..., Any] = step, **options: Any
) -> PointsFile:
    """Write points in a scenario of their own, and read them."""
    with tracker.scenario("grid") as sc:
        sc.write_points("points.json", fn, over, **options)
    return PointsFile.read("points.json")


def document() -> dict[str, Any]:
    return json.loads(Path("points.json").read_text())


# ---------------------------------------------------------------- what it holds


def test_every_point_is_read_as_it_was_asked_for(tracker: Tracker) -> None:
    points = written(
        tracker,
        {"demand": [0.5, 1, True], "name": ["a", "ü\u2028"]},
        name="simulate_{demand}",
        config={"deep": {"list": [1, None, {"x": 2**70}]}, "demand": 3},
        point_options=lambda point: (
            {"year": 2030 + point["demand"]} if point["demand"] == 1 else {}
        ),
        tags=["study"],
        facet_from=["demand"],
    )
    assert len(points) == 6
    found = [points.request(n) for n in range(6)]
    assert [r.config["demand"] for r in found] == [0.5, 0.5, 1, 1, True, True]
    assert [type(r.config["demand"]) for r in found] == [float, float, int, int, bool, bool]
    assert [type(r.facet.values["demand"]) for r in found if r.facet] == [
        *(float, float, int, int, bool, bool)
    ]
    assert [r.name for r in found] == [
        *("simulate_0.5", "simulate_0.5", "simulate_1", "simulate_1"),
        *("simulate_True", "simulate_True"),
    ]
    assert [r.year for r in found] == [None, None, 2031, 2031, 2031, 2031]
    assert found[5].config["deep"] == {"list": [1, None, {"x": 2**70}]}
    assert points.parameters(3) == {"demand": 1, "name": "ü\u2028"}
    assert points.header.id == "grid"


def test_every_part_of_a_request_is_in_the_file() -> None:
    apart = {"fn", "code", "parent_run_id", "asked_at", "inputs", "config"}
    assert {*_FIELDS} | apart == {*RunRequest.__struct_fields__}


def test_a_point_takes_what_it_has_for_itself_and_little_more(tracker: Tracker) -> None:
    config = {f"key_{n}": "x" * 100 for n in range(100)}
    written(tracker, {"demand": [n / 7 for n in range(2000)]}, config=config, outputs=["kpi"])
    text = Path("points.json").read_text()
    assert len(text) < 2000 * 60 + 20_000
    assert text.count("\n") == 2002  # a line for each point
    assert document()["points"][3] == {"parameters": {"demand": 3 / 7}}


def test_an_input_that_points_share_stands_in_it_once(tracker: Tracker, raw: Path) -> None:
    other = raw.with_name("other.csv")
    other.write_text("a\n1\n")
    points = written(
        tracker,
        {"extra": [1, 2, 3, 4]},
        reads,
        point_options=lambda p: {"inputs": {"table": raw if p["extra"] % 2 else "other.csv"}},
    )
    assert len(document()["inputs"]) == 2
    sources = [points.request(n).inputs[0].source for n in range(4)]
    assert sources == [str(raw), str(other), str(raw), str(other)]  # absolute


def test_artifacts_are_records(tracker: Tracker) -> None:
    with tracker.scenario("grid") as sc:
        made = sc.run(step, outputs=["table"]).outputs["table"]
        sc.write_points(
            "points.json",
            reads,
            {"extra": [1, 2]},
            input_keys=["table"],
            point_options=lambda p: {"output_paths": {"copy": made}} if p["extra"] == 2 else {},
        )
    request = PointsFile.read("points.json").request(1)
    assert request.inputs[0].source == made.to_record()
    assert request.output_paths == {"copy": made.to_record()}


def test_numbers_of_numpy_are_those_of_python(tracker: Tracker) -> None:
    over = [{"demand": np.float64(0.5)}, {"demand": np.int32(3)}, {"demand": np.bool_(True)}]
    points = written(tracker, over)
    found = [points.request(n).config for n in range(3)]
    assert [type(config["demand"]) for config in found] == [float, int, bool]
    assert [config_digest(c) for c in found] == [config_digest(row) for row in over]


@pytest.mark.parametrize("table", [True, False])
def test_tables_and_rows_are_points(tracker: Tracker, table: bool) -> None:
    frame = pd.DataFrame({"demand": [0.5, 1.0], "mode": ["car", "bus"]})
    points = written(tracker, frame if table else frame.to_dict(orient="records"))
    assert points.parameters(1) == {"demand": 1.0, "mode": "bus"}


def test_rows_need_not_have_the_same_names(tracker: Tracker) -> None:
    points = written(tracker, [{"a": 1, "b": 2}, {"b": 3}, {"c": 4}], config={"a": 0})
    configs = [points.request(n).config for n in range(3)]
    assert configs == [{"a": 1, "b": 2}, {"a": 0, "b": 3}, {"a": 0, "c": 4}]


def test_the_tracker_is_opened_as_it_was(here: Path) -> None:
    mounts = {"inputs": here / "in"}
    mounts["inputs"].mkdir()
    tracker = Tracker(
        "r", "p.duckdb", mounts=mounts, hashing_strategy="fast", cache_epoch=7,
        allow_external_paths=True, code_identity="callable_source", run_subdir_fn=folder_of,
        schemas=[Table()],
    )  # fmt: skip
    with tracker:
        points = written(tracker, {"demand": [1]})
    with Tracker(**points.tracker_arguments()) as again:
        assert (again.run_dir, again.db_path) == (here / "r", here / "p.duckdb")
        assert again.files.mounts.roots == tracker.files.mounts.roots
        assert again.files.memo.strategy == "fast"
        assert (again.cache_epoch, again.code_identity) == (7, "callable_source")
        assert again.allow_external_paths
        assert again.run_subdir_fn is folder_of
        assert again.schemas == tracker.schemas


def folder_of(run: Any) -> str:
    return str(run.id)


@functools.cache
def Table() -> Any:  # noqa: N802 - stands for the class, which is slow to make
    from sqlmodel import Field, SQLModel

    table = type(
        "PointsTable",
        (SQLModel,),
        {"__module__": __name__, "__annotations__": {"id": int}, "id": Field(primary_key=True)},
        table=True,
    )
    table.__qualname__ = "PointsTable"
    globals()["PointsTable"] = table
    return table


# ---------------------------------------------------------------- what it refuses


def nested() -> dict[str, Any]:
    config: dict[str, Any] = {}
    config["self"] = config
    return config


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (date(2030, 1, 1), "config['x'] is a date"),
        ((1, 2), "config['x'] is a tuple"),
        ([{"y": (1, 2)}], "config['x'][0]['y'] is a tuple"),
        ({1: "one"}, "config['x'] has the key 1"),
        ({1, 2}, "config['x'] is a set"),
        (Path("a"), "config['x'] is a PosixPath"),
        (Settings(1.0), "config['x'] is a Settings"),
        (float("nan"), "config['x'] is nan"),
        (float("inf"), "config['x'] is inf"),
        (np.float32(0.1), "config['x'] is a float32"),
        (np.arange(3), "config['x'] is a ndarray"),
        (b"x", "config['x'] is a bytes"),
        ("\ud800", "cannot be written"),
        (nested(), "contains itself"),
    ],
)
def test_what_json_gives_back_as_something_else_is_refused(
    tracker: Tracker, value: Any, named: str
) -> None:
    with pytest.raises(WrongType) as caught:
        written(tracker, {"demand": [1]}, config={"x": value})
    assert "point 0" in str(caught.value)
    assert named in str(caught.value)
    assert not Path("points.json").exists()


def test_the_refusal_names_the_point_and_the_remedy(tracker: Tracker) -> None:
    with pytest.raises(WrongType, match=r"point 2: parameters\['x'\] is a tuple") as caught:
        written(tracker, [{"x": 1}, {"x": [1]}, {"x": (1,)}])
    assert "a list" in caught.value.__notes__[0]


def test_models_and_objects_are_refused(tracker: Tracker) -> None:
    with pytest.raises(WrongType, match="point 0: config is a Settings") as caught:
        written(tracker, [Settings(1.0)])
    assert "model_dump" in caught.value.__notes__[0]
    with pytest.raises(WrongType, match=r"point 0: runtime_kwargs\['extra'\] is a DataFrame"):
        written(
            tracker,
            {"demand": [1]},
            execution_options=ExecutionOptions(runtime_kwargs={"extra": pd.DataFrame()}),
        )


def test_an_option_of_executors_is_refused(tracker: Tracker) -> None:
    with pytest.raises(WrongType, match=r"write_points\(\) got an unexpected .* 'executor'"):
        written(tracker, {"demand": [1]}, executor=None)
    with pytest.raises(TypeError, match="cache_options=CacheOptions"):
        written(tracker, {"demand": [1]}, cache_mode="overwrite")


def test_points_that_share_a_place_are_refused(tracker: Tracker) -> None:
    with pytest.raises(UsageError, match="points 0 and 1 of the sweep have the same run_id: 'one'"):
        written(tracker, {"demand": [1, 2]}, run_id="one")


def test_no_points_are_refused(tracker: Tracker) -> None:
    with pytest.raises(UsageError, match="there are no points to write"):
        written(tracker, {"demand": []})


def test_a_tracker_that_keeps_nothing_writes_none() -> None:
    with pytest.raises(UsageError, match="keeps nothing"):
        written(NoopTracker("runs"), {"demand": [1]})


def test_a_closed_scenario_writes_none(tracker: Tracker) -> None:
    with tracker.scenario("grid") as sc:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        sc.write_points("points.json", step, {"demand": [1]})


def local() -> Callable[..., Any]:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (lambda: None, "is a lambda"),
        (local(), "is defined inside a function"),
        (functools.partial(step, 1), "is a partial"),
        (Group().of_object, "is not what"),
    ],
)
def test_a_step_without_a_name_is_refused(
    tracker: Tracker, fn: Callable[..., Any], reason: str
) -> None:
    with pytest.raises(WrongType, match=reason) as caught:
        written(tracker, {"demand": [1]}, fn)
    assert "top level" in caught.value.__notes__[0]


def test_names_lead_back() -> None:
    for value in (step, Group.of_class, Group):
        assert find_again(import_name(value, "it")) == value


# ---------------------------------------------------------------- damaged, hostile, too new


def changed(tracker: Tracker, **parts: Any) -> PointsFile:
    """Write a file of two points, change it as said, and read it."""
    written(tracker, {"demand": [1, 2]})
    Path("points.json").write_text(json.dumps({**document(), **parts}))
    return PointsFile.read("points.json")


@pytest.mark.parametrize(
    "content", ["", "x", "[]", "{}", '{"consist_points": 1}', "\udcff", "null"]
)
def test_what_is_no_points_file_is_said_to_be_damaged(content: str) -> None:
    Path("points.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(PointsFileUnusable, match=r"points.json: it is damaged") as caught:
        PointsFile.read("points.json")
    assert "write it again" in caught.value.__notes__[0]


def test_a_file_that_was_cut_off_is_damaged(tracker: Tracker) -> None:
    written(tracker, {"demand": [1, 2]})
    content = Path("points.json").read_bytes()
    for cut in range(1, len(content) - 1, 97):
        Path("points.json").write_bytes(content[:cut])
        with pytest.raises(PointsFileUnusable, match="damaged"):
            PointsFile.read("points.json")


@pytest.mark.parametrize("more", [{}, {"points": "of another kind"}])
def test_a_newer_version_is_refused_by_name(tracker: Tracker, more: dict[str, Any]) -> None:
    with pytest.raises(PointsFileUnusable, match=r"format 2; this version .* up to 1") as caught:
        changed(tracker, consist_points=2, **more)
    assert "update" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "point",
    [
        3,
        {},
        {"parameters": 3},
        {"parameters": {}, "differs": {"inputs": [7]}},
        {"parameters": {}, "differs": {"inputs": [-1]}},
        {"parameters": {}, "differs": {"year": "x"}},
        {"parameters": {}, "differs": {"cache": 3}},
        {"parameters": {}, "differs": {"output_paths": {"a": {"b": 1}}}},
        {"parameters": {}, "differs": {"nonsense": 1}},
    ],
)
def test_a_damaged_point_is_named(tracker: Tracker, point: Any) -> None:
    points = changed(tracker, points=[{"parameters": {"demand": 1}}, point])
    assert points.request(0).config == {"demand": 1}
    with pytest.raises(PointsFileUnusable, match="point 1 is damaged"):
        points.request(1)


def test_a_run_id_that_leaves_its_folder_is_refused(tracker: Tracker) -> None:
    points = changed(tracker, points=[{"parameters": {}, "differs": {"run_id": "a~2"}}])
    with pytest.raises(InvalidRunId):
        points.request(0)


@pytest.mark.parametrize(
    "name", ["", "os", ":x", "os:", "no_such_module:x", "os:no_such", "os:sep"]
)
def test_a_step_that_is_not_there_is_named(tracker: Tracker, name: str) -> None:
    points = changed(tracker, step=name)
    with pytest.raises(StepNotFound, match=r"cannot load "):
        _ = points.step


def test_a_script_named_like_a_loaded_module_is_refused(tracker: Tracker, here: Path) -> None:
    (here / "json.py").write_text("def step(): ...\n")
    points = changed(tracker, step=f"{here}/json.py:step")
    with pytest.raises(StepNotFound, match="a module 'json' is loaded from elsewhere"):
        _ = points.step
    assert json.__name__ == "json"


@pytest.mark.parametrize("code", ["raise RuntimeError('no')", "import sys; sys.exit(3)", "def ("])
def test_a_script_that_cannot_be_loaded_is_named(
    tracker: Tracker, here: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["pytest"])
    (here / "broken_study.py").write_text(code)
    with pytest.raises(StepNotFound, match=r"broken_study.py:step': (Runtime|SystemExit|Syntax)"):
        _ = changed(tracker, step=f"{here}/broken_study.py:step").step


# ---------------------------------------------------------------- which points


def test_indexes_are_numbers_ranges_and_lists(tracker: Tracker) -> None:
    points = written(tracker, {"demand": list(range(10))})
    assert indexes_of(["7"], points) == [7]
    assert indexes_of(["0-3,7", "9", "2"], points) == [0, 1, 2, 3, 7, 9]
    for word in ("x", "-1", "1-", "-", "", "1,,2", "²", "1.5", "3-1"):
        with pytest.raises(UsageError, match=r"is no index|goes backwards"):
            indexes_of([word], points)
    for word in ("10", "0-10", "5-99999999999999999999"):
        with pytest.raises(PointsFileUnusable, match=r"there is no point .* from 0 to 9"):
            indexes_of([word], points)


@pytest.mark.parametrize(
    ("environment", "task"),
    [
        ({"SLURM_ARRAY_TASK_ID": "0"}, 0),
        ({"PBS_ARRAY_INDEX": "3"}, 3),
        ({"SGE_TASK_ID": "undefined", "PBS_ARRAYID": "2"}, 2),
        ({"SGE_TASK_ID": "1"}, 0),  # these two count from 1
        ({"LSB_JOBINDEX": "4"}, 3),
    ],
)
def test_the_scheduler_says_which_task_it_is(environment: Mapping[str, str], task: int) -> None:
    assert task_of(environment) == task


@pytest.mark.parametrize("environment", [{}, {"SGE_TASK_ID": "undefined"}, {"LSB_JOBINDEX": "0"}])
def test_outside_of_an_array_a_point_has_to_be_named(environment: Mapping[str, str]) -> None:
    with pytest.raises(UsageError, match="no index is given") as caught:
        task_of(environment)
    assert "SLURM_ARRAY_TASK_ID" in caught.value.__notes__[0]


def test_tasks_of_several_points(tracker: Tracker) -> None:
    points = written(tracker, {"demand": list(range(10))})
    assert [points_of_task(n, 4, points) for n in range(3)] == [
        *([0, 1, 2, 3], [4, 5, 6, 7], [8, 9])
    ]
    with pytest.raises(PointsFileUnusable):
        points_of_task(3, 4, points)
    assert tasks_in([0, 3, 9], 4) == [0, 2]


@pytest.mark.parametrize(
    ("indexes", "text"),
    [([], ""), ([5], "5"), ([0, 1], "0-1"), ([0, 1, 2, 3, 7, 9, 10, 11, 12], "0-3,7,9-12")],
)
def test_indexes_in_the_words_of_slurm(indexes: list[int], text: str) -> None:
    assert as_array(indexes) == text


# ---------------------------------------------------------------- the command line


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    from typer.testing import CliRunner

    return lambda *words: CliRunner().invoke(app, ["run-point", *words])


def test_the_points_are_listed(tracker: Tracker, shell: Callable[..., Any]) -> None:
    written(tracker, [{"demand": 1.5, "to": "\x1b[31m"}, {"demand": 2, "hm\x9b": None}])
    done = shell("points.json", "--list")
    assert done.exit_code == 0
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["Point", "demand", "to", "hm\\x9b"],
        ["─" * 31],
        ["0", "1.5", "\\x1b[31m"],
        ["1", "2"],
    ]
    rows = json.loads(shell("points.json", "1", "--list", "--json").stdout)
    assert rows == [{"index": 1, "parameters": {"demand": 2, "hm\x9b": None}}]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.json"], 1, "No such file or directory"),
        (["points.json", "2"], 1, "there is no point 2: it has 2, from 0 to 1"),
        (["points.json", "x"], 1, "'x' is no index"),
        (["points.json"], 1, "no index is given"),
        (["points.json", "--list", "--missing"], 2, "exclude each other"),
        (["points.json", "--chunk", "0"], 2, "chunk"),
        ([], 2, "FILE"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    tracker: Tracker, shell: Callable[..., Any], words: list[str], code: int, said: str
) -> None:
    written(tracker, {"demand": [1, 2]})
    done = shell(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr


def test_without_a_database_nobody_knows_what_is_missing(
    here: Path, shell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tracker("runs") as tracker:
        written(tracker, {"demand": [1, 2]})
    done = shell("points.json", "--missing")
    assert done.exit_code == 1
    assert "db_path" in done.stderr


def test_a_run_that_always_executes_is_always_missing(
    tracker: Tracker, shell: Callable[..., Any]
) -> None:
    overwriting = CacheOptions(cache_mode="overwrite")
    with tracker.scenario("grid") as sc:
        sc.map(step, {"demand": [1, 2]}, outputs=["kpi"])
        sc.write_points("some.json", step, {"demand": [1, 2, 3, 4]}, outputs=["kpi"])
        sc.write_points(
            "all.json", step, {"demand": [1, 2]}, outputs=["kpi"], cache_options=overwriting
        )
    before = len(tracker.find_runs())
    assert shell("some.json", "--missing").stdout == "2-3\n"
    assert shell("some.json", "3", "0-1", "--missing").stdout == "3\n"
    assert shell("some.json", "--missing", "--chunk", "3").stdout == "0-1\n"
    assert json.loads(shell("some.json", "--missing", "--json").stdout) == [2, 3]
    done = shell("some.json", "0-1", "--missing")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "all 2 points are done\n")
    assert shell("all.json", "--missing").stdout == "0-1\n"
    assert len(tracker.find_runs()) == before  # nothing was recorded


def test_the_header_tells_of_the_file(tracker: Tracker) -> None:
    written(tracker, {"demand": [1, 2]}, outputs=["kpi"])
    header = tracker.get_run("grid")
    assert header is not None
    assert header.meta["sweeps"] == [{"name": "step", "points": 2, "file": "points.json"}]


def test_all_errors_are_of_our_tree() -> None:
    assert issubclass(PointsFileUnusable, ConsistError)
    assert issubclass(StepNotFound, ImportError)
