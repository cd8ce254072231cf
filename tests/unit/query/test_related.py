"""Artifacts by their facets, by their content, and by what they are a part of."""

# ruff: noqa: ARG005 - parsers take a key whether they need it or not

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import consist
from consist import Tracker
from consist.models.record import replace


def keys(artifacts: Any) -> list[str]:
    return [artifact.key for artifact in artifacts]


@pytest.fixture(scope="module", params=["unmerged", "merged"])
def skims(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tracker]:
    """Record four artifacts with facets, one of them by two models; they are only asked for."""
    folder = tmp_path_factory.mktemp("skims")
    with Tracker(folder / "runs", folder / "p.duckdb", project_root=folder) as tracker:
        facets: dict[str, dict[str, Any]] = {
            "skim_car": {"mode": "car", "year": 2030, "artifact_family": "skim", "deep": {"a": 1}},
            "skim_bus": {"mode": "bus", "year": 2040, "artifact_family": "skim_pt"},
            "trips": {"mode": "car", "year": 2030.5, "on": True, "day": "2030-06-01", "a_b": "%"},
        }
        with tracker.start_run("r", "beam"):
            for key, facet in facets.items():
                path = tracker.run_artifact_dir() / f"{key}.csv"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(key)
                tracker.log_output(path, key, facet=facet, facet_index=True)
        car = tracker.get_artifact("skim_car")
        with tracker.start_run("again", "other"):
            tracker.log_input(car, facet={"mode": "walk", "beam": {"n": 1}}, facet_index=True)
        if request.param == "merged":
            assert tracker.store.sync()
        yield tracker


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"params": ["mode=car"]}, ["trips"]),
        ({"params": ["mode=bus", "year=2040"]}, ["skim_bus"]),
        ({"params": ["mode=bus", "year=2030"]}, []),
        ({"params": ["year>=2030.5"]}, ["skim_bus", "trips"]),
        ({"params": ["year<=2040"]}, ["skim_bus", "trips"]),
        ({"params": ["year>=2030", "year<=2035"]}, ["trips"]),
        ({"params": ["year='2040'"]}, []),
        ({"params": ["on=true"]}, ["trips"]),
        ({"params": ["day>=2030-01-01"]}, ["trips"]),
        ({"params": ["beam.mode=bus"]}, ["skim_bus"]),
        ({"params": ["other.mode=bus"]}, []),
        ({"params": ["beam.n=1"]}, ["skim_car"]),
        ({"params": ["mode=walk"]}, ["skim_car"]),
        ({"params": ["mode=walk"], "namespace": "beam"}, []),
        ({"params": ["mode=walk"], "namespace": "other"}, ["skim_car"]),
        ({"namespace": "beam"}, ["skim_bus", "trips"]),
        ({"key_prefix": "skim_"}, ["skim_bus", "skim_car"]),
        ({"key_prefix": "skim%"}, []),
        ({"artifact_family_prefix": "skim"}, ["skim_bus"]),
        ({"params": ["a_b='%'"]}, ["trips"]),
        ({"params": ["year>=0"], "limit": 0}, []),
    ],
)
def test_artifacts_are_found_by_their_present_facets(
    skims: Tracker, asked: dict[str, Any], expected: list[str]
) -> None:
    assert sorted(keys(skims.find_artifacts_by_params(**asked))) == expected


def test_wrong_predicates_are_errors(skims: Tracker) -> None:
    with pytest.raises(ValueError, match="'mode>car'"):
        skims.find_artifacts_by_params(params=["mode>car"])
    with pytest.raises(TypeError, match="params='mode=car'"):
        skims.find_artifacts_by_params(params="mode=car")


# ---------------------------------------------------------------- parsers


def test_a_registered_parser_gives_artifacts_their_facets(tracker: Tracker, here: Path) -> None:
    for name in ("skim_car.csv", "skim_pt_bus.csv", "own.csv", "none.csv", "bad.csv"):
        (here / name).write_text(name)

    def skim(key: str) -> dict[str, Any]:
        return {"mode": key.removeprefix("skim_")}

    assert tracker.register_artifact_facet_parser("skim_", lambda key: {"mode": "first"})
    assert tracker.register_artifact_facet_parser("skim_", skim) is skim
    consist.register_artifact_facet_parser("skim_pt_", lambda key: {"pt": True}, tracker=tracker)
    tracker.register_artifact_facet_parser("none", lambda key: None)
    with tracker.start_run("r", "m"):
        tracker.log_artifacts({n: here / f"{n}.csv" for n in ("skim_car", "skim_pt_bus", "none")})
        tracker.log_input(here / "own.csv", "skim_own", facet={"mode": "own"}, facet_index=True)
    find = tracker.find_artifacts_by_params
    assert keys(find(params=["mode=car"])) == ["skim_car"]
    assert keys(find(params=["pt=true"])) == ["skim_pt_bus"]
    assert keys(find(params=["mode=own"])) == ["skim_own"]
    none = tracker.get_artifact("none")
    assert none is not None
    assert "artifact_facet_id" not in none.meta


def test_outputs_of_steps_are_parsed_and_a_failing_parser_breaks_nothing(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    tracker.register_artifact_facet_parser("good", lambda key: {"name": key})
    tracker.register_artifact_facet_parser("bad", lambda key: {}[key])

    def step() -> dict[str, Any]:
        return {"good": {"a": 1}, "bad": {"a": 2}}

    with caplog.at_level(logging.ERROR, "consist"):
        result = tracker.run(step, outputs=["good", "bad"])
    assert sorted(result.outputs) == ["bad", "good"]
    assert keys(tracker.find_artifacts_by_params(params=["name=good"])) == ["good"]
    assert "facet parser for 'bad' failed" in caplog.text


@pytest.mark.parametrize(
    ("prefix", "parser", "kind"),
    [("", dict, ValueError), (1, dict, TypeError), ("a", 1, TypeError)],
)
def test_a_parser_needs_a_prefix_and_a_function(
    tracker: Tracker, prefix: Any, parser: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        tracker.register_artifact_facet_parser(prefix, parser)


# ---------------------------------------------------------------- content and parts


def test_artifacts_and_runs_of_the_same_content_are_found(tracker: Tracker, here: Path) -> None:
    for number, content in enumerate(("same", "same", "else")):
        path = here / f"{number}.csv"
        path.write_text(content)
        with tracker.start_run(f"r{number}", "m"):
            tracker.log_output(path, f"a{number}")
    first = tracker.get_artifact("a0")
    assert first is not None
    assert keys(tracker.find_artifacts_with_same_content(first)) == ["a1", "a0"]
    assert keys(tracker.find_artifacts_with_same_content(str(first.id))) == ["a1", "a0"]
    runs = tracker.find_runs_producing_same_content(first)
    assert [run.id for run in runs] == ["r1", "r0"]
    assert tracker.find_artifacts_with_same_content("nothing") == []
    with pytest.raises(TypeError, match="artifact is an int"):
        tracker.find_artifacts_with_same_content(5)  # type: ignore[arg-type]


def test_parts_and_wholes_find_each_other(tracker: Tracker, here: Path) -> None:
    (here / "a.h5").write_text("x")
    with tracker.start_run("r", "m"):
        whole = tracker.log_output(here / "a.h5", "whole", driver="other")
        part = tracker.log_output(here / "a.h5", "part", driver="other", table_path="t")
    document = tracker.get_run_record("r")
    assert document is not None
    known = document.document
    outputs = tuple(
        replace(a, parent_artifact_id=str(whole.id), id=str(part.id)[:-4] + "abcd")
        if a.key == "part"
        else a
        for a in known.outputs
    )
    tracker.store.append(replace(known, outputs=outputs))
    (child,) = tracker.get_child_artifacts(whole)
    assert child.key == "part"
    parent = tracker.get_parent_artifact(child)
    assert parent is not None
    assert parent.id == whole.id
    assert tracker.get_parent_artifact(whole) is None
    assert tracker.get_child_artifacts(child) == []
