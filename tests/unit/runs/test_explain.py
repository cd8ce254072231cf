"""Why a run would hit or not: asked beforehand, and kept with every run that executed."""

from __future__ import annotations

import inspect
import json
import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel, SecretStr

import consist
from consist import CacheOptions, Explanation, Run, Tracker, ref
from consist.errors import InputMissing, RunStateError, TrackerClosed, UnhashableValue
from consist.models.record import EXPLANATION


def one() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


def read(raw: pd.DataFrame) -> pd.DataFrame:
    return raw


def explained(run: Run) -> Explanation:
    found = Explanation.of_meta(run.meta, run.model_name, run.signature)
    assert found is not None
    return found


def told(explanation: Explanation) -> list[tuple[str, str, str, Any, Any]]:
    return [tuple(change)[:5] for change in explanation.changes]


def everything_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ---------------------------------------------------------------- the verb


def test_explain_takes_the_arguments_of_run() -> None:
    ours = inspect.signature(Tracker.explain)
    theirs = inspect.signature(Tracker.run)
    assert ours.parameters == theirs.parameters
    steps = inspect.signature(consist.ScenarioContext.explain)
    assert steps.parameters == inspect.signature(consist.ScenarioContext.run).parameters


def test_before_the_first_run_there_is_nothing_to_compare_with(tracker: Tracker) -> None:
    why = tracker.explain(one, outputs=["f"])
    assert (why.status, why.reason, why.confidence) == ("miss", "no_similar_prior_run", "high")
    assert why.candidate_run_id is None
    assert not why.would_hit
    assert str(why) == "miss: no earlier run of model 'one'"


def test_a_hit_says_from_which_run(tracker: Tracker) -> None:
    first = tracker.run(one, outputs=["f"])
    why = tracker.explain(one, outputs=["f"])
    assert (why.status, why.reason, why.candidate_run_id) == ("hit", "exact_match", first.run_id)
    assert why.would_hit
    assert why.signature == first.signature
    assert str(why) == f"hit: run {first.run_id} has the same signature"


def test_what_is_explained_is_what_then_happens(tracker: Tracker, raw: Path) -> None:
    for config in ({"a": 1}, {"a": 2}, {"a": 1}, {"a": {"b": 1}}):
        given: dict[str, Any] = {"inputs": {"raw": raw}, "config": config, "outputs": ["f"]}
        why = tracker.explain(read, **given)
        result = tracker.run(read, **given)
        assert why.would_hit is result.cache_hit
        assert why.signature == result.signature
        if not result.cache_hit:
            assert explained(result.run) == why


def test_explaining_writes_and_calls_nothing(tracker: Tracker, raw: Path, tmp_path: Path) -> None:
    calls: list[str] = []

    def step(raw: Path) -> None:
        calls.append(str(raw))

    tracker.run(one, outputs=["f"])
    tracker.on_run_start(lambda run: calls.append(run.id))
    before = everything_below(tmp_path)
    for config in ({}, {"a": 1}):
        why = tracker.explain(
            step, inputs={"raw": raw}, config=config, run_id="asked", output_paths={"o": "o.csv"}
        )
        assert not why.would_hit
    assert calls == []
    ours = {name for name in before if not name.endswith(("memo.sqlite", "-wal", "-shm"))}
    after = everything_below(tmp_path)
    assert {name: after[name] for name in ours} == {name: before[name] for name in ours}
    assert {name for name in after if "asked" in name} == set()
    assert len(tracker.find_runs()) == 1


def test_a_tracker_that_only_looks_can_explain(tracker: Tracker, tmp_path: Path) -> None:
    first = tracker.run(one, outputs=["f"])
    tracker.close()
    with Tracker(tmp_path / "runs", tmp_path / "provenance.duckdb", access_mode="read_only") as ro:
        assert ro.explain(one, outputs=["f"]).candidate_run_id == first.run_id
        assert ro.explain(one, config={"a": 1}).reason == "config_changed"


def test_an_identity_that_fails_raises_what_the_run_would(tracker: Tracker) -> None:
    for verb in (tracker.explain, tracker.run):
        with pytest.raises(InputMissing, match=r"gone\.csv"):
            verb(read, inputs={"raw": "gone.csv"})
        with pytest.raises(UnhashableValue, match="handle"):
            verb(one, config={"handle": object()})
        with pytest.raises(ValueError, match="cache_mode"):
            verb(one, cache_options=CacheOptions(cache_mode="bogus"))
        with pytest.raises(TypeError, match="cache_options=CacheOptions"):
            verb(one, cache_mode="reuse")  # pyright: ignore[reportCallIssue]
        with pytest.raises(TypeError, match="threshold"):
            verb(one, threshold=1)  # pyright: ignore[reportCallIssue]


def test_the_module_level_verb_uses_the_tracker_in_reach(tracker: Tracker) -> None:
    first = tracker.run(one, outputs=["f"])
    with consist.use_tracker(tracker):
        assert consist.explain(one, outputs=["f"]).candidate_run_id == first.run_id
    assert consist.explain(one, outputs=["f"], tracker=tracker).would_hit  # type: ignore[call-arg]


def test_a_tracker_that_keeps_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keeps nothing"):
        consist.NoopTracker(tmp_path).explain(one)


def test_without_a_database_nothing_is_looked_up(tmp_path: Path) -> None:
    with Tracker(tmp_path / "runs") as tracker:
        run = tracker.run(one, outputs=["f"]).run
        assert explained(run).reason == "not_looked_up"
        assert "no database" in str(tracker.explain(one, outputs=["f"]))


# ---------------------------------------------------------------- steps of a scenario


def test_a_step_is_explained_with_the_inputs_of_the_coupler(tracker: Tracker) -> None:
    def double(table: pd.DataFrame) -> pd.DataFrame:
        return table * 2

    given: dict[str, Any] = {"input_keys": ["table"], "outputs": ["doubled"]}
    for expected in ("no_similar_prior_run", "exact_match"):
        with tracker.scenario("base", cache_epoch=3) as sc:
            sc.run(one, outputs=["table"])
            why = sc.explain("double", fn=double, **given)
            assert why.reason == expected
            assert sc.run(double, **given).signature == why.signature
            assert sc.explain(double, binding=None, **given).would_hit
    with tracker.scenario("base", cache_epoch=4) as sc:
        with pytest.raises(KeyError, match="table"):
            sc.explain(double, **given)
        sc.add_input(Path(__file__), key="late")  # explaining is no beginning of a step
    with pytest.raises(RunStateError, match="explain a step"):
        sc.explain(one)


# ---------------------------------------------------------------- config


def test_config_differences_are_named_by_dotted_path_with_old_and_new(tracker: Tracker) -> None:
    tracker.run(one, config={"a": {"b": 1, "x.y": [1, {"z": 2}]}, "gone": None}, outputs=["f"])
    why = tracker.explain(
        one, config={"a": {"b": 2, "x.y": [1, {"z": 3}, 4]}, "new": {"deep": 1}}, outputs=["f"]
    )
    assert why.reason == "config_changed"
    assert why.matched_components == ("inputs", "code")
    assert why.mismatched_components == ("config",)
    assert why.confidence == "high"
    assert told(why) == [
        ("config", "a.b", "changed", 1, 2),
        ("config", "a['x.y'][1].z", "changed", 2, 3),
        ("config", "a['x.y'][2]", "added", None, 4),
        ("config", "new", "added", None, {"deep": 1}),
        ("config", "gone", "removed", None, None),
    ]
    assert str(why).endswith("config a.b: 1 → 2; config a['x.y'][1].z: 2 → 3; and 3 more")


@pytest.mark.parametrize("values", [(True, 1), ("1", 1), (None, "null"), (1, 1.5)])
def test_values_of_other_types_differ(tracker: Tracker, values: tuple[Any, Any]) -> None:
    old, new = values
    tracker.run(one, config={"a": old}, outputs=["f"])
    assert told(tracker.explain(one, config={"a": new})) == [("config", "a", "changed", old, new)]


def test_numbers_that_count_as_the_same_are_not_blamed(tracker: Tracker) -> None:
    tracker.run(one, config={"a": 1, "b": 1}, outputs=["f"])
    why = tracker.explain(one, config={"a": 1.0, "b": 2}, outputs=["f"])
    assert told(why) == [("config", "b", "changed", 1, 2)]


class Model(BaseModel):
    """A config with a secret in it."""

    key: SecretStr
    rate: int = 1


def test_a_secret_stays_masked(tracker: Tracker, tmp_path: Path) -> None:
    tracker.run(one, config=Model(key=SecretStr("hunter2")), outputs=["f"])
    why = tracker.explain(one, config=Model(key=SecretStr("swordfish")), outputs=["f"])
    assert why.reason == "config_changed"
    assert [change.name for change in why.changes] == [
        "a value that is shown alike: a masked secret, or one of another type"
    ]
    both = tracker.explain(one, config=Model(key=SecretStr("swordfish"), rate=2), outputs=["f"])
    assert told(both) == [("config", "rate", "changed", 1, 2)]
    run = tracker.run(one, config=Model(key=SecretStr("swordfish")), outputs=["f"]).run
    text = str(run.meta) + why.text + both.text + json.dumps(both.to_dict())
    for content in everything_below(tmp_path).values():
        text += content[1].decode("latin-1")
    assert "swordfish" not in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"year": 2030}, ("year", None, 2030)),
        ({"iteration": 4}, ("iteration", None, 4)),
        ({"cache_options": CacheOptions(cache_epoch=7)}, ("cache_epoch", 1, 7)),
        ({"cache_options": CacheOptions(cache_version=2)}, ("cache_version", None, 2)),
    ],
)
def test_fields_that_count_are_named(
    tracker: Tracker, changed: dict[str, Any], expected: tuple[str, Any, Any]
) -> None:
    tracker.run(one, outputs=["f"])
    why = tracker.explain(one, outputs=["f"], **changed)
    name, old, new = expected
    assert told(why) == [("field", name, "changed", old, new)]
    assert why.reason == "config_changed"


def test_a_hundred_thousand_differences_are_counted_and_cut(tracker: Tracker) -> None:
    long = "x" * 10_000
    tracker.run(one, config={"items": dict.fromkeys(map(str, range(5_000)), 1)}, outputs=["f"])
    run = tracker.run(
        one, config={"items": dict.fromkeys(map(str, range(5_000)), long)}, outputs=["f"]
    ).run
    why = explained(run)
    assert len(why.changes) == 20
    assert why.not_listed == {"config_keys_changed": 4_980}
    assert str(why).endswith("and 4998 more")
    assert "and 4980 more" in why.text
    assert len(json.dumps(run.meta[EXPLANATION])) < 10_000


# ---------------------------------------------------------------- inputs


def test_an_input_is_named_with_its_place_and_both_digests(tracker: Tracker, raw: Path) -> None:
    first = tracker.run(read, inputs={"raw": raw}, outputs=["f"])
    old = tracker.get_run_inputs(first.run_id)["raw"].hash
    raw.write_text("category,value\n")
    second = tracker.run(read, inputs={"raw": raw}, outputs=["f"])
    new = tracker.get_run_inputs(second.run_id)["raw"].hash
    assert old
    assert new
    why = explained(second.run)
    assert why.reason == "inputs_changed"
    (entry,) = why.details["artifact_hash_changed"]
    assert entry == {"name": "raw", "old": old[:16], "new": new[:16], "path": str(raw)}


def test_a_moved_input_shows_both_places(tracker: Tracker, raw: Path, here: Path) -> None:
    tracker.run(read, inputs={"raw": raw}, outputs=["f"])
    (here / "other.csv").write_text("category,value\n")
    why = tracker.explain(read, inputs={"raw": here / "other.csv"}, outputs=["f"])
    (entry,) = why.details["artifact_hash_changed"]
    assert (entry["path"], entry["old_path"]) == (str(here / "other.csv"), str(raw))
    assert why.details["input_location_changed"] == [{"name": "raw"}]
    assert f"was {raw}" in why.text


def test_inputs_that_came_and_went_are_named(tracker: Tracker, raw: Path, here: Path) -> None:
    (here / "b.csv").write_text("b\n1\n")

    def step(**tables: Any) -> None:
        """Take whatever comes."""

    tracker.run(step, inputs={"a": raw})
    why = tracker.explain(step, inputs={"b": here / "b.csv"})
    found = {(change.what, change.name, change.change) for change in why.changes}
    assert {("input", "a", "removed"), ("input", "b", "added")} <= found
    assert "inputs" in why.mismatched_components


def test_the_runs_that_produced_an_input_are_named(tracker: Tracker) -> None:
    def make(n: int) -> pd.DataFrame:
        return pd.DataFrame({"a": [n]})

    def use(table: pd.DataFrame) -> pd.DataFrame:
        return table

    made = [tracker.run(make, config={"n": n}, outputs=["table"]) for n in (1, 2)]
    tracker.run(use, inputs={"table": ref(made[0])}, outputs=["f"])
    why = tracker.explain(use, inputs={"table": ref(made[1])}, outputs=["f"])
    assert why.reason == "inputs_changed"
    (entry,) = why.details["upstream_run_changed"]
    assert (entry["old_run"], entry["new_run"]) == (made[0].run_id, made[1].run_id)
    assert entry["old"] != entry["new"]
    assert f"from run {made[1].run_id}, before from run {made[0].run_id}" in why.text


def test_a_hit_by_content_names_the_producer_that_ran_again(tracker: Tracker) -> None:
    # C-27
    def make(n: int) -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})

    def use(table: pd.DataFrame) -> pd.DataFrame:
        return table

    made = [tracker.run(make, config={"n": n}, outputs=["table"]) for n in (1, 2)]
    first = tracker.run(use, inputs={"table": ref(made[0])}, outputs=["f"])
    why = tracker.explain(use, inputs={"table": ref(made[1])}, outputs=["f"])
    assert (why.reason, why.candidate_run_id) == ("content_match", first.run_id)
    assert [(change.name, change.change) for change in why.changes] == [("table", "reran")]
    second = tracker.run(use, inputs={"table": ref(made[1])}, outputs=["f"])
    assert second.cache_hit
    assert explained(second.run).reason == "content_match"


def test_bytes_that_stayed_the_same_are_not_blamed(tracker: Tracker) -> None:
    def make(n: int) -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})

    def use(table: pd.DataFrame) -> pd.DataFrame:
        return table

    made = [tracker.run(make, config={"n": n}, outputs=["table"]) for n in (1, 2)]
    tracker.run(use, inputs={"table": ref(made[0])}, outputs=["f"])
    why = tracker.explain(use, inputs={"table": ref(made[1])}, config={"a": 1}, outputs=["f"])
    assert why.reason == "config_changed"
    assert why.matched_components == ("inputs", "code")


def test_identity_inputs_are_named_by_label(tracker: Tracker, here: Path) -> None:
    (here / "base.yaml").write_text("a: 1")
    tracker.run(one, identity_inputs=["base.yaml"], outputs=["f"])
    (here / "base.yaml").write_text("a: 2")
    (here / "more.yaml").write_text("b: 1")
    why = tracker.explain(one, identity_inputs=["base.yaml", "more.yaml"], outputs=["f"])
    assert why.reason == "config_changed"
    assert [change[:3] for change in why.changes] == [
        ("identity input", "base", "changed"),
        ("identity input", "more", "added"),
    ]


def test_how_an_input_is_bound_is_told(tracker: Tracker, raw: Path) -> None:
    from consist import ExecutionOptions

    def step(raw: Any) -> None:
        """Take a path or a table."""

    tracker.run(step, inputs={"raw": raw})
    why = tracker.explain(
        step, inputs={"raw": raw}, execution_options=ExecutionOptions(input_binding="paths")
    )
    assert told(why) == [("how an input is bound", "raw", "changed", "loaded", "path")]


# ---------------------------------------------------------------- code


def test_another_function_and_what_it_carries_are_named(tracker: Tracker) -> None:
    def make(limit: int) -> Callable[..., Any]:
        def step(n: int = 3) -> None:
            assert n < limit + 100

        return step

    tracker.run(make(1), "step")
    why = tracker.explain(make(2), "step")
    assert why.reason == "code_changed"
    assert [change[:3] for change in why.changes] == [("code", "carried closure.limit", "changed")]
    other = tracker.explain(lambda: None, "step")
    assert {change.change for change in other.changes} >= {"added", "removed"}
    assert any("<lambda> in " in change.name for change in other.changes)


def test_an_extra_dep_is_named(tracker: Tracker, here: Path) -> None:
    (here / "x.f90").write_text("1")
    options = CacheOptions(code_identity="callable_source", code_identity_extra_deps=["x.f90"])
    tracker.run(one, cache_options=options, outputs=["f"])
    (here / "x.f90").write_text("2")
    (change,) = tracker.explain(one, cache_options=options, outputs=["f"]).changes
    assert change[:3] == ("code", "extra dep x.f90", "changed")


def test_another_mode_is_all_that_is_said_of_code(tracker: Tracker) -> None:
    def options(mode: str) -> CacheOptions:
        return CacheOptions(code_identity=mode)

    tracker.run(one, cache_options=options("callable_source"), outputs=["f"])
    why = tracker.explain(one, cache_options=options("callable_module"), outputs=["f"])
    assert told(why) == [
        ("code", "mode of code identity", "changed", "callable_source", "callable_module")
    ]
    assert str(why).endswith("mode of code identity: callable_source → callable_module")


STEPS = """
import json, sys
from consist import CacheOptions, Tracker
from steps import clean

with Tracker("runs", "p.duckdb", project_root="src") as tracker:
    options = CacheOptions(code_identity=sys.argv[1] if len(sys.argv) > 1 else None)
    why = tracker.explain(clean, outputs=["f"], cache_options=options)
    result = tracker.run(clean, outputs=["f"], cache_options=options)
    stored = result.run.identity_summary["explanation"]
    print(json.dumps([why.to_dict(), [list(c) for c in why.changes], stored, result.run_id]))
"""


@pytest.fixture
def project(here: Path) -> Callable[..., Any]:
    """A project under git; calling the fixture runs its script in a process of its own."""
    source = here / "src"
    source.mkdir()
    write(source / "steps.py", "import helper\n\n\ndef clean():\n    return helper.TABLE\n")
    write(source / "helper.py", "import pandas as pd\n\nTABLE = pd.DataFrame({'a': [1]})\n")
    write(source / "script.py", STEPS)
    (source / ".gitignore").write_text("__pycache__/\n")
    git(source, "init", "-q")
    commit(source)

    def script(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "src/script.py", *arguments],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return script


def write(path: Path, text: str) -> None:
    path.write_text(textwrap.dedent(text))


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "change")
    return git(folder, "rev-parse", "HEAD")


def test_files_that_changed_in_the_repository_are_named(
    project: Callable[..., Any], here: Path
) -> None:
    project()
    assert project()[0]["status"] == "hit"
    with (here / "src" / "helper.py").open("a") as file:
        file.write("# more\n")
    (here / "src" / "fresh.py").write_text("x = 1\n")
    why, changes, stored, _ = project()
    assert why["reason"] == stored["reason"] == "code_changed"
    assert [change[:3] for change in changes] == [
        ["code", "file helper.py", "changed"],
        ["code", "untracked file fresh.py", "added"],
    ]
    assert changes[0][3] == "as committed"
    assert stored["details"]["repo_git_identity_changed"][0]["name"] == "file helper.py"
    git(here / "src", "checkout", "-q", "helper.py")
    (here / "src" / "fresh.py").unlink()
    assert project()[0]["status"] == "hit"


def test_two_commits_are_named_and_when_asked_the_files_between_them(
    project: Callable[..., Any], here: Path
) -> None:
    project()
    old = git(here / "src", "rev-parse", "HEAD")
    write(here / "src" / "helper.py", "import pandas as pd\n\nTABLE = pd.DataFrame({'a': [2]})\n")
    new = commit(here / "src")
    why, changes, stored, _ = project()
    assert changes == [
        ["code", "commit", "changed", old, new, ""],
        ["code", "file helper.py", "changed", None, None, ""],
    ]
    assert why["reason"] == "code_changed"
    entries = stored["details"]["repo_git_identity_changed"]
    assert [entry["name"] for entry in entries] == ["commit"]  # git is not asked on every run


def test_a_file_is_named_where_the_module_counts(project: Callable[..., Any], here: Path) -> None:
    project("callable_module")
    with (here / "src" / "steps.py").open("a") as file:
        file.write("# more\n")
    (_, changes, _, _) = project("callable_module")
    assert [change[:3] for change in changes] == [["code", "file steps.py", "changed"]]
    project("callable_source")
    source = (here / "src" / "steps.py").read_text()
    write(here / "src" / "steps.py", source.replace("helper.TABLE", "helper.TABLE * 1"))
    (_, changes, _, _) = project("callable_source")
    assert [change[:3] for change in changes] == [
        ["code", "callable steps.clean in steps.py", "changed"]
    ]


# ---------------------------------------------------------------- the same run, not taken


def test_an_output_that_was_overwritten_is_the_reason(tracker: Tracker) -> None:
    def step(a: int) -> None:
        Path("out.csv").write_text(f"a\n{a}\n")

    given: dict[str, Any] = {"output_paths": {"out": Path.cwd() / "out.csv"}}
    first = tracker.run(step, config={"a": 1}, **given)
    tracker.run(step, config={"a": 2}, **given)
    why = tracker.explain(step, config={"a": 1}, **given)
    assert why.reason == "candidate_outputs_invalid"
    assert why.candidate_run_id == first.run_id
    assert why.matched_components == ("config", "inputs", "code")
    assert why.rejected == (f"{first.run_id}: output 'out' was overwritten by a later run",)
    assert "overwritten" in str(why)
    again = tracker.run(step, config={"a": 1}, **given)
    assert explained(again.run) == why


def test_an_output_that_is_gone_is_the_reason_where_it_is_looked_for(tracker: Tracker) -> None:
    # CACHE-018: by default, hydration is by metadata and validation lazy, so nobody looks
    first = tracker.run(one, outputs=["f"])
    first.outputs["f"].path.unlink()
    assert tracker.explain(one, outputs=["f"]).would_hit
    eager = CacheOptions(validate_cached_outputs="eager")
    why = tracker.explain(one, outputs=["f"], cache_options=eager)
    assert why.reason == "candidate_outputs_invalid"
    assert "'f'" in why.rejected[0]


def test_a_run_that_failed_is_told(tracker: Tracker) -> None:
    def step() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        tracker.run(step, run_id="r")
    why = tracker.explain(step)
    assert why.reason == "exact_match_lookup_inconclusive"
    assert why.rejected == ("r: it failed",)
    other = tracker.explain(step, config={"a": 1})
    assert (other.reason, other.candidate_run_id) == ("config_changed", "r")


def test_a_run_that_was_overwritten_by_another_is_not_compared(tracker: Tracker) -> None:
    tracker.run(one, outputs=["f"])
    forced = CacheOptions(cache_mode="overwrite")
    second = tracker.run(one, outputs=["f"], cache_options=forced)
    assert explained(second.run).details == {"because": "cache_mode='overwrite'"}
    assert tracker.explain(one, outputs=["f"]).candidate_run_id == second.run_id
    assert tracker.explain(one, outputs=["f"], cache_options=forced).reason == "not_looked_up"


def test_an_input_that_was_logged_late_and_changed_is_the_reason(
    tracker: Tracker, raw: Path
) -> None:
    def step() -> pd.DataFrame:
        tracker.log_input(raw, "late")
        return pd.DataFrame({"a": [1]})

    tracker.run(step, outputs=["f"])
    raw.write_text("other")
    why = tracker.explain(step, outputs=["f"])
    assert why.reason == "inputs_changed"
    assert why.mismatched_components == ("inputs",)
    assert "late" in why.rejected[0]


# ---------------------------------------------------------------- nearest


def test_the_nearest_run_has_most_in_common_and_of_equals_is_the_newest(tracker: Tracker) -> None:
    def other() -> pd.DataFrame:
        return pd.DataFrame({"a": [2]})

    near = tracker.run(one, "m", config={"a": 1}, outputs=["f"])
    tracker.run(other, "m", config={"a": 2}, outputs=["f"])
    assert tracker.explain(one, "m", config={"a": 3}).candidate_run_id == near.run_id
    newer = tracker.run(one, "m", config={"a": 4}, outputs=["f"])
    assert tracker.explain(one, "m", config={"a": 3}).candidate_run_id == newer.run_id
    assert tracker.explain(one, "another", config={"a": 3}).candidate_run_id is None


def test_a_fresh_process_compares_with_runs_of_the_one_before(
    tracker: Tracker, tmp_path: Path
) -> None:
    first = tracker.run(one, config={"a": 1}, outputs=["f"])
    tracker.close()
    with Tracker(tmp_path / "runs", tmp_path / "provenance.duckdb") as later:
        why = later.explain(one, config={"a": 2}, outputs=["f"])
        assert why.candidate_run_id == first.run_id
        assert told(why) == [("config", "a", "changed", 1, 2)]


# ---------------------------------------------------------------- what is kept


def test_every_way_to_run_keeps_why_it_executed(tracker: Tracker) -> None:
    documented = {
        "status", "reason", "candidate_run_id", "matched_components", "mismatched_components",
        "details", "confidence",
    }  # fmt: skip
    runs = [tracker.run(one, outputs=["f"]).run]
    with tracker.trace("t"):
        pass
    with tracker.start_run("s", model="s"):
        pass
    tracker.begin_run("b", model="b")
    runs.append(tracker.end_run())
    with tracker.scenario("sc") as sc:
        runs.append(sc.run(one, "in_scenario", outputs=["f"]).run)
        with sc.trace("block"):
            pass
    runs += [tracker.find_run(model=model) for model in ("t", "s", "block")]
    for run in runs:
        assert run.meta[EXPLANATION].keys() == documented
        assert run.meta[EXPLANATION]["reason"] == "no_similar_prior_run"
        assert run.identity_summary["explanation"] == run.meta[EXPLANATION]
    assert EXPLANATION not in tracker.find_run(model="scenario").meta


def test_a_hit_keeps_its_source_and_no_parts(tracker: Tracker) -> None:
    # SIG-023
    first = tracker.run(one, outputs=["f"])
    hit = tracker.run(one, outputs=["f"])
    assert EXPLANATION not in hit.run.meta
    assert hit.run.identity_summary["explanation"] == {
        "status": "hit",
        "reason": "exact_match",
        "candidate_run_id": first.run_id,
    }
    executed, given_back = (tracker.get_run_record(result.run_id) for result in (first, hit))
    assert executed is not None
    assert given_back is not None
    assert _extra(tracker, first.run_id)["code_parts"]
    assert "code_parts" not in _extra(tracker, hit.run_id)


def _extra(tracker: Tracker, run_id: str) -> dict[str, Any]:
    text = (tracker.run_dir / "consist_runs" / f"{run_id}.json").read_text()
    return json.loads(text)["extra"]


def test_a_block_that_did_something_else_than_its_hit_says_so(tracker: Tracker) -> None:
    for values in ([1], [2]):
        with tracker.trace("t"):
            tracker.log_dataframe(pd.DataFrame({"a": values}), "f")
    first, second = sorted(tracker.find_runs(model="t"), key=lambda run: run.created_at)
    assert isinstance(second, Run)
    assert second.meta["demoted_from"] == first.id
    why = explained(second)
    assert (why.reason, why.candidate_run_id) == ("demoted", first.id)
    assert "did something else" in str(why)
    assert _extra(tracker, second.id)["code_parts"] == _extra(tracker, first.id)["code_parts"]


def test_users_may_log_metadata_beside_it(tracker: Tracker) -> None:
    with tracker.start_run("r", model="m"):
        tracker.log_meta(**{f"key_{n}": n for n in range(190)})
    assert tracker.find_run(id="r").meta[EXPLANATION]["reason"] == "no_similar_prior_run"


def test_metadata_that_somebody_else_wrote_is_no_explanation() -> None:
    assert Explanation.of_meta({}) is None
    assert Explanation.of_meta({EXPLANATION: "because"}) is None
    assert Explanation.of_meta({EXPLANATION: {"status": 1, "reason": []}}) is None


def test_an_explanation_survives_json(tracker: Tracker, raw: Path) -> None:
    tracker.run(read, inputs={"raw": raw}, outputs=["f"])
    raw.write_text("x\n")
    why = tracker.explain(read, inputs={"raw": raw}, config={"b": float("inf")}, outputs=["f"])
    assert json.loads(json.dumps(why.to_dict())) == why.to_dict()
    assert repr(why).startswith("<Explanation miss: config and inputs changed since run read_")


# ---------------------------------------------------------------- lines


def test_every_surface_prints_the_debug_and_timing_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # CACHE-013, CACHE-014, ENV-001, ENV-002
    monkeypatch.setenv("CONSIST_CACHE_DEBUG", "1")
    monkeypatch.setenv("CONSIST_CACHE_TIMING", "yes")

    def lines() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return [line for line in found if line.startswith("[cache_")]

    def block(manager: Any) -> None:
        with manager:
            pass

    with (
        Tracker(tmp_path / "r", tmp_path / "d.duckdb") as tracker,
        caplog.at_level(logging.INFO),
        tracker.scenario("sc") as sc,
    ):
        lines()
        surfaces: list[Callable[[], object]] = [
            lambda: tracker.run(one, "run", outputs=["f"]),
            lambda: sc.run(one, "step", outputs=["f"]),
            lambda: block(tracker.trace("trace")),
            lambda: block(sc.trace("block")),
            lambda: block(tracker.start_run("s", model="start")),
            lambda: (tracker.begin_run("b", model="begin"), tracker.end_run()),
        ]
        for surface in surfaces:
            surface()
            missed = sorted(lines())
            assert missed[0].startswith("[cache_debug] hit=False signature=")
            assert missed[0].endswith("inputs=0 outputs=0 hydration=metadata")
            assert missed[1].startswith("[cache_debug] why: miss: no earlier run of model")
            assert missed[2].startswith("[cache_timing] signature_prefetch=")
            surface()
            hit = sorted(lines())
            assert hit[0].startswith("[cache_debug] hit=True signature=")
            assert hit[1].startswith("[cache_timing] signature_prefetch=")
            assert " hydration=" in hit[1]
            assert len(hit) == 2


def test_hydration_of_a_block_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # CACHE-014
    import time

    from consist.runs import trace as module

    slow = module.hydrate_outputs

    def hydrate(*args: Any) -> Any:
        time.sleep(0.03)
        return slow(*args)

    monkeypatch.setenv("CONSIST_CACHE_TIMING", "1")
    monkeypatch.setattr(module, "hydrate_outputs", hydrate)
    with Tracker(tmp_path / "r", tmp_path / "d.duckdb") as tracker, caplog.at_level(logging.INFO):
        for _ in range(2):
            with tracker.trace("t"):
                pass
    line = [r.getMessage() for r in caplog.records if "[cache_timing]" in r.getMessage()][-1]
    took = dict(part.removesuffix("ms").split("=") for part in line.split()[1:])
    assert float(took["hydration"]) >= 30


def test_a_closed_tracker_explains_nothing(tracker: Tracker) -> None:
    tracker.close()
    with pytest.raises(TrackerClosed):
        tracker.explain(one)


def test_a_function_that_is_reached_is_named(project: Callable[..., Any], here: Path) -> None:
    helper = "import pandas as pd\n\n\ndef table():\n    return pd.DataFrame({'a': [%d]})\n"
    (here / "src" / "helper.py").write_text(helper % 1)
    steps = "import helper\n\n\ndef clean():\n    return helper.table()\n"
    (here / "src" / "steps.py").write_text(steps)
    project("callable_deps")
    assert project("callable_deps")[0]["status"] == "hit"
    (here / "src" / "helper.py").write_text(helper % 2)
    why, changes, stored, _ = project("callable_deps")
    assert why["reason"] == stored["reason"] == "code_changed"
    assert [change[:3] for change in changes] == [
        ["code", "function helper.table in helper.py", "changed"]
    ]
