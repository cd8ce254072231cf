"""Sets of runs, pairs of them, and what differs between two."""

# ruff: noqa: ARG005 - stand-ins take the arguments of what they stand for

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import consist
from consist import AlignedPair, NoopTracker, Run, RunSet, Tracker
from consist.errors import ConsistError, UnknownField
from consist.store.embedded import EmbeddedStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


def record(tracker: Tracker, run_id: str, model: str = "sim", **options: Any) -> None:
    with tracker.start_run(run_id, model, **options):
        pass


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    """Record three years of a baseline and two of a policy, one of them twice; only asked here."""
    folder = tmp_path_factory.mktemp("policies")
    with Tracker(run_dir=folder / "runs", db_path=folder / "provenance.duckdb") as tracker:
        for n, year in enumerate((2020, 2030, 2040)):
            facet = {"alpha": n / 2, "d": {"n": n}}
            record(tracker, f"base_{year}", year=year, tags=["base"], facet=facet)
        for run_id, year in (("pol_2020", 2020), ("pol_2030", 2030), ("pol_2030b", 2030)):
            facet = {"alpha": 0.5, "mode": "car"}
            record(tracker, run_id, year=year, tags=["pol"], facet=facet)
        yield tracker


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often the database is asked."""
    asked: list[int] = []
    ask = EmbeddedStore.ask

    def counted(store: EmbeddedStore, *, views: bool) -> AbstractContextManager[Any]:
        asked.append(1)
        return ask(store, views=views)

    monkeypatch.setattr(EmbeddedStore, "ask", counted)
    return asked


# ---------------------------------------------------------------- making a set


def test_a_set_is_what_find_runs_finds(policies: Tracker) -> None:
    # QRY-034
    found = policies.run_set(label="base", tags=["base"])
    assert found == RunSet.from_query(policies, label="base", tags=["base"])
    assert found == consist.run_set("base", tracker=policies, tags=["base"])
    assert found != policies.run_set(label="other", tags=["base"])
    assert [run.id for run in found] == [run.id for run in policies.find_runs(tags=["base"])]
    with consist.use_tracker(policies):
        assert len(consist.run_set(year=2030)) == 3


def test_a_set_is_not_cut_at_a_hundred(tracker: Tracker) -> None:
    # QRY-034
    for n in range(103):
        record(tracker, f"r{n}")
    assert len(tracker.run_set()) == 103
    assert len(tracker.run_set(limit=7)) == 7


def test_a_set_of_given_runs_has_each_once_in_their_order(policies: Tracker) -> None:
    runs = policies.find_runs(tags=["base"])
    assert isinstance(runs, list)
    given = RunSet.from_runs([*reversed(runs), runs[0]], "mine")
    assert given.ids == ("base_2020", "base_2030", "base_2040")
    assert given.label == "mine"
    assert RunSet.from_runs(given).label is None


def test_a_set_is_a_sequence_that_never_changes(policies: Tracker) -> None:
    found = policies.run_set("all")
    assert len(found) == 6
    assert found
    assert isinstance(found[0], Run)
    assert found[-1].id == "base_2020"
    part = found[1:3]
    assert isinstance(part, RunSet)
    assert part.label == "all"
    assert part[0] in found
    assert "base_2020" not in part
    assert not RunSet()
    assert len({found, policies.run_set("all")}) == 1
    with pytest.raises(AttributeError):
        found.label = "other"  # type: ignore[misc]
    with pytest.raises(IndexError):
        found[99]
    assert pickle.loads(pickle.dumps(found)) == found


def test_without_a_database_a_set_is_empty(tmp_path: Any) -> None:
    with Tracker(run_dir=tmp_path) as bare:
        assert len(bare.run_set()) == 0
        assert list(bare.run_set().to_frame().columns)[:2] == ["run_id", "label"]
    assert len(NoopTracker(run_dir=tmp_path).run_set()) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: RunSet.from_query("tracker"),  # type: ignore[arg-type]
        lambda t: t.run_set(index_by="year"),
        lambda t: t.run_set(nothing=1),
        lambda t: t.run_set(label=3),
        lambda t: RunSet.from_runs(["base_2020"]),  # type: ignore[list-item]
        lambda t: RunSet.from_runs("base_2020"),  # type: ignore[arg-type]
        lambda t: t.run_set().split_by(3),
        lambda t: t.run_set().latest(group_by=3),
        lambda t: t.run_set().align([], on="year"),
    ],
)
def test_wrong_arguments_are_type_errors(policies: Tracker, wrong: Any) -> None:
    with pytest.raises(TypeError) as caught:
        wrong(policies)
    assert isinstance(caught.value, ConsistError)


# ---------------------------------------------------------------- parts


def test_a_set_is_split_by_columns_and_facets(policies: Tracker) -> None:
    # QRY-035
    found = policies.run_set("all")
    by_year = found.split_by("year")
    assert list(by_year) == [2020, 2030, 2040]
    assert by_year[2030].ids == ("pol_2030b", "pol_2030", "base_2030")
    assert {key: len(part) for key, part in found.split_by("alpha").items()} == {
        0.0: 1, 0.5: 4, 1.0: 1,
    }  # fmt: skip
    assert list(found.split_by("mode")) == ["car", None]
    assert list(found.split_by("d.n")) == [0, 1, 2, None]
    assert list(found.split_by("tags")) == [("base",), ("pol",)]
    assert list(found.split_by("model")) == list(found.split_by("model_name")) == ["sim"]
    assert list(found.split_by("parent_id")) == [None]
    assert len(found.split_by("run_id")) == 6
    assert found.split_by("sim.alpha").keys() == found.split_by("facet.alpha").keys()


def test_values_of_mixed_types_are_sorted(tracker: Tracker) -> None:
    # QRY-035
    values = [2, "b", None, 1.5, [1, 2], "a", [1]]
    for n, value in enumerate(values):
        record(tracker, f"r{n}", facet={"x": value, "same": 1})
    record(tracker, "without", facet={"same": 1.0})
    groups = tracker.run_set().split_by("x")
    assert list(groups) == [1.5, 2, "a", "b", (1,), (1, 2), None]
    assert groups[None].ids == ("without", "r2")
    assert len(tracker.run_set().split_by("same")) == 1


def test_true_is_not_one(tracker: Tracker) -> None:
    record(tracker, "yes", facet={"x": True})
    record(tracker, "one", facet={"x": 1})
    found = tracker.run_set()
    assert found.filter(x=True).ids == ("yes",)
    assert found.filter(x=1.0).ids == ("one",)
    with pytest.raises(ValueError, match="truth value in some runs"):
        found.split_by("x")


def test_a_facet_is_meant_where_a_column_has_its_name(tracker: Tracker) -> None:
    record(tracker, "r", year=2030, facet={"year": "base", "status": "draft"})
    found = tracker.run_set()
    assert list(found.split_by("year")) == [2030]
    assert list(found.split_by("facet.year")) == ["base"]
    frame = found.to_frame()
    assert frame["status"].tolist() == ["completed"]
    assert frame["facet.status"].tolist() == ["draft"]


def test_a_set_is_filtered(policies: Tracker) -> None:
    # QRY-035
    found = policies.run_set()
    assert found.filter(year=2030, alpha=0.5).ids == ("pol_2030b", "pol_2030", "base_2030")
    assert found.filter(**{"d.n": 1}).ids == ("base_2030",)
    assert found.filter(mode=None, year=2020).ids == ("base_2020",)
    assert found.filter(tags=["pol"], year=2020).ids == ("pol_2020",)
    assert len(found.filter(alpha=99)) == 0
    assert found.filter() == found


def test_the_latest_of_each_group_is_taken(policies: Tracker) -> None:
    # QRY-035
    found = policies.run_set()
    assert found.latest().ids == ("pol_2030b",)
    assert found.latest(group_by=["year"]).ids == ("pol_2030b", "pol_2020", "base_2040")
    assert found.latest(group_by="year") == found.latest(group_by=["year"])
    assert len(found.latest(group_by=["year", "alpha"])) == 4
    assert RunSet().latest().ids == ()


def test_an_unknown_name_is_an_error_that_lists_near_misses(policies: Tracker) -> None:
    found = policies.run_set()
    for ask in (found.split_by, found.values, lambda name: found.filter(**{name: 1})):
        with pytest.raises(UnknownField, match="'alhpa'") as caught:
            ask("alhpa")
        assert "'alpha'" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="'zzz'") as caught:
        found.split_by("zzz")
    assert "alpha, d.n, mode" in caught.value.__notes__[0]
    # A key of the whole set is known in each part of it.
    assert found.filter(tags=["base"]).values("mode") == [None] * 3


def test_runs_without_a_tracker_have_columns_only(policies: Tracker) -> None:
    runs = RunSet.from_runs([*policies.run_set()])
    assert list(runs.split_by("year")) == [2020, 2030, 2040]
    with pytest.raises(ValueError, match="alpha") as caught:
        runs.split_by("alpha")
    assert "tracker=" in caught.value.__notes__[0]
    told = RunSet.from_runs([*runs], tracker=policies)
    assert list(told.split_by("alpha")) == [0.0, 0.5, 1.0]
    assert "alpha" not in runs.to_frame()


def test_facets_are_asked_for_once(policies: Tracker, questions: list[int]) -> None:
    found = policies.run_set()
    questions.clear()
    for part in found.split_by("alpha").values():
        part.filter(alpha=0.5).latest(group_by="alpha").values("alpha")
    assert len(questions) == 1
    found.to_frame()
    assert len(questions) == 2


def test_a_key_of_several_namespaces_is_that_of_the_model(tracker: Tracker) -> None:
    record(tracker, "a", "one", facet={"x": 1})
    record(tracker, "b", "two", facet={"x": 2})
    found = tracker.run_set()
    assert found.values("x") == [2, 1]
    assert found.values("one.x") == [None, 1]
    assert found.to_frame()["x"].tolist() == [2, 1]


# ---------------------------------------------------------------- pairs


def pair(tracker: Tracker) -> AlignedPair[RunSet]:
    policy = tracker.run_set("policy", tags=["pol"]).latest(group_by=["year"])
    return tracker.run_set("base", tags=["base"]).align(policy, on="year")


def test_sets_are_aligned_where_both_have_a_value(policies: Tracker) -> None:
    # QRY-035
    both = pair(policies)
    assert len(both) == 2
    assert both.keys == (2020, 2030)
    assert [(left.id, right.id) for left, right in both.pairs()] == [
        ("base_2020", "pol_2020"),
        ("base_2030", "pol_2030b"),
    ]
    assert [*both] == [*both.pairs()]
    assert both.left_only.ids == ("base_2040",)
    assert both.right_only.ids == ()
    frame = both.to_frame()
    assert list(frame.columns) == [
        "key", "left_run_id", "right_run_id", "left_status", "right_status",
    ]  # fmt: skip
    assert frame["right_run_id"].tolist() == ["pol_2020", "pol_2030b"]
    assert frame["left_status"].tolist() == ["completed"] * 2


def test_several_runs_of_one_value_cannot_be_aligned(policies: Tracker) -> None:
    # QRY-035
    base, policy = policies.run_set(tags=["base"]), policies.run_set("pol", tags=["pol"])
    with pytest.raises(ValueError, match=r"right set \(pol\).*year=2030.*pol_2030b") as caught:
        base.align(policy, on="year")
    assert ".latest(group_by=['year'])" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="left set"):
        policy.align(base, on=["year", "alpha"])


def test_sets_are_aligned_on_several_fields(policies: Tracker) -> None:
    base = policies.run_set(tags=["base"])
    policy = policies.run_set(tags=["pol"]).latest(group_by="year")
    assert base.align(policy, on=["year", "alpha"]).keys == ((2030, 0.5),)
    assert base.align(policy, on=("alpha", "year")).keys == ((0.5, 2030),)
    with pytest.raises(ValueError, match="missing"):
        base.align(policy, on=[])


def test_runs_without_a_value_are_in_no_pair(policies: Tracker) -> None:
    found = policies.run_set()
    both = found.align(found.latest(group_by="run_id"), on="run_id")
    assert len(both) == 6
    none = found.filter(mode=None).align(found.filter(mode=None), on="mode")
    assert len(none) == 0
    assert none.to_frame().empty
    assert len(none.left_only) == 3


def test_a_function_is_applied_to_each_pair(policies: Tracker) -> None:
    # QRY-035
    table = pd.DataFrame({"x": [1, 2]})

    def both(left: Run, right: Run, key: Any) -> pd.DataFrame | None:
        return table.assign(left=left.id, right=right.id) if key == 2030 else table[:1]

    done = pair(policies).apply(both)
    assert done["_align_key"].tolist() == [2020, 2030, 2030]
    assert done["x"].tolist() == [1, 1, 2]
    assert done.index.tolist() == [0, 1, 2]
    assert "_align_key" not in table
    assert list(pair(policies).apply(lambda left, right, key: None).columns) == ["_align_key"]
    with pytest.raises(TypeError, match=r"year=2020.*a dict"):
        pair(policies).apply(lambda left, right, key: {})  # type: ignore[arg-type, return-value]


def test_configs_of_pairs_are_compared(policies: Tracker, questions: list[int]) -> None:
    # QRY-035
    both = pair(policies)
    questions.clear()
    found = both.config_diffs()
    assert len(questions) == 2
    assert list(found.columns) == [
        "on_value", "key", "namespace", "status", "left_value", "right_value",
    ]  # fmt: skip
    assert found[["on_value", "key", "status"]].values.tolist() == [
        [2020, "alpha", "changed"],
        [2020, "d.n", "removed"],
        [2020, "mode", "added"],
        [2030, "alpha", "same"],
        [2030, "d.n", "removed"],
        [2030, "mode", "added"],
    ]
    assert set(found["namespace"]) == {"sim"}
    assert both.config_diffs(prefix="d.")["key"].tolist() == ["d.n"] * 2
    assert both.config_diffs(namespace="other").empty
    alone = RunSet.from_runs([*both.left]).align(both.right, on="year")
    with pytest.raises(ValueError, match="without a tracker"):
        alone.config_diffs()


# ---------------------------------------------------------------- tables


def test_a_set_is_a_table_with_a_column_for_each_facet_key(policies: Tracker) -> None:
    # QRY-035
    frame = policies.run_set("all").to_frame()
    assert list(frame.columns) == [
        "run_id", "label", "status", "model", "created_at", "ended_at", "alpha", "d.n", "mode",
    ]  # fmt: skip
    assert frame["run_id"].tolist()[0] == "pol_2030b"
    assert set(frame["label"]) == {"all"}
    assert frame["alpha"].tolist() == [0.5, 0.5, 0.5, 1.0, 0.5, 0.0]
    assert list(RunSet().to_frame().columns) == list(frame.columns)[:6]


def test_sets_and_pairs_are_shown_in_notebooks(policies: Tracker) -> None:
    found = policies.run_set("<b>")
    assert repr(found) == "RunSet('<b>', 6 runs: 6 sim)"
    shown = found._repr_html_()
    assert "&lt;b&gt;: 6 runs" in shown
    assert "base_2020" in shown
    both = pair(policies)
    assert repr(both) == "AlignedPair(on='year', 2 pairs, 1 only left, 0 only right)"
    assert "pol_2030b" in both._repr_html_()
    assert "0 runs" in RunSet()._repr_html_()


# ---------------------------------------------------------------- two runs


def test_two_runs_are_compared_by_their_facets(policies: Tracker) -> None:
    # FAC-017
    assert policies.diff_runs("base_2020", "pol_2020") == {
        "namespace": {"left": "sim", "right": "sim"},
        "changes": {
            "alpha": {"left": 0.0, "right": 0.5, "status": "changed"},
            "d.n": {"left": 0, "right": None, "status": "removed"},
            "mode": {"left": None, "right": "car", "status": "added"},
        },
    }
    assert policies.diff_runs("base_2020", "base_2020")["changes"] == {}


def test_a_comparison_can_be_narrowed_and_widened(policies: Tracker) -> None:
    # FAC-018
    ask = policies.diff_runs
    assert list(ask("base_2030", "pol_2030", include_equal=True)["changes"]) == [
        "alpha", "d.n", "mode",
    ]  # fmt: skip
    same = ask("base_2030", "pol_2030", include_equal=True)["changes"]["alpha"]
    assert same == {"left": 0.5, "right": 0.5, "status": "same"}
    assert list(ask("base_2020", "pol_2020", prefix="d.")["changes"]) == ["d.n"]
    assert list(ask("base_2020", "pol_2020", keys=["mode", "none"])["changes"]) == ["mode"]
    assert ask("base_2020", "pol_2020", keys=[])["changes"] == {}


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), (1, True), (0, False), (0, None), ("1", 1), ([1], [1.0]), (2**60, 2**60 + 1)],
)
def test_values_are_compared_with_their_types(tracker: Tracker, left: Any, right: Any) -> None:
    # FAC-017
    record(tracker, "a", facet={"x": left, "y": left})
    record(tracker, "b", facet={"x": right, "y": left})
    found = tracker.diff_runs("a", "b")["changes"]
    assert found == {"x": {"left": left, "right": right, "status": "changed"}}
    assert type(found["x"]["left"]) is type(left)
    assert type(found["x"]["right"]) is type(right)


def test_each_run_is_compared_in_the_namespace_of_its_model(tracker: Tracker) -> None:
    # FAC-014, FAC-017
    record(tracker, "a", "one", facet={"x": 1})
    record(tracker, "b", "two", facet={"x": 2})
    record(tracker, "c", "two")
    found = tracker.diff_runs("a", "b")
    assert found["namespace"] == {"left": "one", "right": "two"}
    assert found["changes"]["x"] == {"left": 1, "right": 2, "status": "changed"}
    assert tracker.diff_runs("a", "b", namespace="two")["changes"]["x"]["status"] == "added"
    assert tracker.diff_runs("b", "c")["changes"]["x"]["status"] == "removed"
    assert tracker.diff_runs("c", "c")["changes"] == {}


def test_the_completed_attempt_of_an_id_is_compared(tracker: Tracker) -> None:
    record(tracker, "r", facet={"x": 1})
    record(tracker, "r", facet={"x": 2})
    with pytest.raises(RuntimeError, match="broken"), tracker.start_run("r", "sim", facet={"x": 3}):
        raise RuntimeError("broken")
    assert tracker.diff_runs("r~1", "r")["changes"]["x"]["right"] == 2
    assert tracker.diff_runs("r~1", "r~3")["changes"]["x"]["right"] == 3
    first, second = tracker.get_run("r~1"), tracker.get_run("r~2")
    assert tracker.diff_runs(first, second)["changes"]["x"]["left"] == 1  # type: ignore[arg-type]


def test_unknown_runs_and_wrong_arguments_are_named(policies: Tracker, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="'nobody'"):
        policies.diff_runs("base_2020", "nobody")
    for wrong in ({"keys": "alpha"}, {"prefix": 3}, {"limit": "all"}):
        with pytest.raises(TypeError):
            policies.diff_runs("base_2020", "base_2030", **wrong)
    with pytest.raises(TypeError):
        policies.diff_runs(3, "base_2030")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="below zero"):
        policies.diff_runs("base_2020", "base_2030", limit=-1)
    with Tracker(run_dir=tmp_path / "bare") as bare, pytest.raises(RuntimeError, match="db_path"):
        bare.diff_runs("a", "b")


def test_a_cut_comparison_says_so_and_invents_no_differences(tracker: Tracker) -> None:
    # FAC-017
    record(tracker, "a", facet={f"k{n}": 1 for n in range(9)})
    record(tracker, "b", facet={f"k{n}": 1 for n in range(5, 9)} | {"k1": 2})
    with pytest.warns(consist.ConsistWarning, match="more than 3"):
        found = tracker.diff_runs("a", "b", limit=3, include_equal=True)
    assert {key: each["status"] for key, each in found["changes"].items()} == {
        "k0": "removed", "k1": "changed", "k2": "removed",
    }  # fmt: skip
