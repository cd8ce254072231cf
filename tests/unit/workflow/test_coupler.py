"""The coupler, its views and its expectations."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import ArtifactKeyRegistry, Coupler, Tracker


@pytest.fixture
def artifact(tracker: Tracker) -> consist.Artifact:
    return tracker.run(lambda: pd.DataFrame({"a": [1]}), "make", outputs=["a"]).outputs["a"]


@pytest.fixture
def another(tracker: Tracker) -> consist.Artifact:
    return tracker.run(lambda: pd.DataFrame({"b": [1]}), "other", outputs=["b"]).outputs["b"]


def test_set_get_and_require(artifact: consist.Artifact, another: consist.Artifact) -> None:
    # COUP-001, COUP-003, COUP-004, COUP-005
    coupler = Coupler()
    coupler.set("k", artifact)
    assert coupler.get("k") is artifact
    assert coupler.require("k") is artifact
    assert coupler.get("nothing") is None
    coupler.set("k", another)
    assert coupler.require("k") is another


def test_require_of_an_unset_key_names_it_and_what_there_is(artifact: consist.Artifact) -> None:
    # ERR-059
    coupler = Coupler()
    coupler.set("persons", artifact)
    with pytest.raises(KeyError) as caught:
        coupler.require("person")
    assert "'person'" in str(caught.value)
    assert "persons" in str(caught.value)


@pytest.mark.parametrize("key", ["", "a b", "../a", "a//b", "-a", "x" * 257, 5, None])
def test_an_invalid_key_is_an_error_and_nothing_is_stored(
    artifact: consist.Artifact, key: Any
) -> None:
    # ERR-060
    coupler = Coupler()
    with pytest.raises(ValueError, match="key"):
        coupler.set(key, artifact)
    with pytest.raises(ValueError, match="key"):
        coupler.set_from_artifact(key, artifact)
    assert list(coupler.keys()) == []


@pytest.mark.parametrize("key", ["a", "beam/plans_in", "a.b:c-d_e/F9", "_x", "9"])
def test_valid_keys_may_have_separators(artifact: consist.Artifact, key: str) -> None:
    # COUP-002
    coupler = Coupler()
    coupler.set(key, artifact)
    assert coupler.require(key) is artifact


def test_update_takes_a_mapping_and_keywords(
    artifact: consist.Artifact, another: consist.Artifact
) -> None:
    # COUP-006
    coupler = Coupler()
    coupler.update({"a": artifact, "artifacts": artifact}, b=another)
    coupler.update(c=another)
    coupler.update()
    assert dict(coupler.items()) == {
        "a": artifact,
        "artifacts": artifact,
        "b": another,
        "c": another,
    }
    with pytest.raises(TypeError):
        coupler.update({}, {})  # type: ignore[call-arg]
    coupler.update(artifacts=artifact)


def test_an_update_with_an_invalid_key_stores_nothing(artifact: consist.Artifact) -> None:
    # ERR-060
    coupler = Coupler()
    with pytest.raises(ValueError, match="key"):
        coupler.update({"good": artifact, "no good": artifact})
    assert list(coupler.keys()) == []


def test_keys_items_and_values_are_what_is_stored(
    artifact: consist.Artifact, another: consist.Artifact
) -> None:
    # COUP-007
    coupler = Coupler()
    coupler.update({"a": artifact, "b": another})
    assert list(coupler.keys()) == ["a", "b"]
    assert list(coupler.values()) == [artifact, another]
    assert list(coupler.items()) == [("a", artifact), ("b", another)]
    assert "a" in coupler
    assert len(coupler) == 2


@dataclass
class ArtifactLike:
    path: Path
    container_uri: str


def test_set_from_artifact_takes_artifacts_and_what_is_like_them(
    artifact: consist.Artifact, here: Path
) -> None:
    # COUP-008, COUP-009
    coupler = Coupler()
    values = [artifact, ArtifactLike(here / "x", "./x"), here / "x.csv", "x.csv"]
    for value in values:
        assert coupler.set_from_artifact("k", value) is value
        assert coupler.get("k") is value
        assert coupler.require("k") is value


@pytest.mark.parametrize("value", [None, 5, object(), b"x"])
def test_set_from_artifact_refuses_anything_else(value: Any) -> None:
    # COUP-008
    coupler = Coupler()
    with pytest.raises(TypeError, match=type(value).__name__):
        coupler.set_from_artifact("k", value)
    assert coupler.get("k") is None


def test_a_view_reads_and_writes_in_its_namespace(artifact: consist.Artifact) -> None:
    # COUP-010, COUP-011
    coupler = Coupler()
    beam = coupler.view("beam")
    beam.set("plans_in", artifact)
    assert beam.require("plans_in") is artifact
    assert beam.get("plans_in") is artifact
    assert coupler.require("beam/plans_in") is artifact
    assert coupler.get("plans_in") is None
    assert beam.get("other") is None
    with pytest.raises(KeyError, match="beam/other"):
        beam.require("other")
    coupler.set("beam/late", artifact)
    assert list(beam.keys()) == ["plans_in", "late"]
    assert "late" in beam
    assert beam.path("late") == artifact.path


def test_a_view_does_not_see_a_namespace_of_a_similar_name(artifact: consist.Artifact) -> None:
    # COUP-010
    coupler = Coupler()
    coupler.set("beamer/x", artifact)
    assert list(coupler.view("beam").keys()) == []


@pytest.mark.parametrize("namespace", ["", "../x", "a b"])
def test_an_invalid_namespace_is_an_error(namespace: str) -> None:
    with pytest.raises(ValueError, match="key"):
        Coupler().view(namespace)


def test_path_is_absolute_and_leaves_the_artifact_alone(
    artifact: consist.Artifact, here: Path
) -> None:
    # COUP-012, COUP-013
    coupler = Coupler()
    coupler.set("k", artifact)
    before = artifact.model_dump()
    assert coupler.path("k") == artifact.path
    assert artifact.model_dump() == before
    coupler.set_from_artifact("text", "x.csv")
    assert coupler.path("text") == here / "x.csv"
    assert coupler.path("nothing", required=False) is None
    with pytest.raises(KeyError, match="'nothing'"):  # ERR-061
        coupler.path("nothing")


def test_the_coupler_of_a_scenario_resolves_mounts(tmp_path: Path) -> None:
    # COUP-012
    with (
        Tracker(tmp_path / "r", mounts={"in": tmp_path}) as tracker,
        tracker.scenario("s") as sc,
    ):
        sc.coupler.set_from_artifact("k", "in://x.csv")
        assert sc.coupler.path("k") == tmp_path / "x.csv"


# ---------------------------------------------------------------- expectations


def test_declared_outputs_are_missing_until_set(artifact: consist.Artifact) -> None:
    # COUP-014, COUP-015, COUP-017
    coupler = Coupler()
    coupler.declare_outputs("optional")
    coupler.require_outputs("a", "b")
    assert list(coupler.missing_declared_outputs()) == ["a", "b"]
    coupler.set("a", artifact)
    assert list(coupler.missing_declared_outputs()) == ["b"]


def test_required_may_be_said_per_key() -> None:
    # COUP-016
    coupler = Coupler()
    coupler.declare_outputs("a", "b", required={"a": True})
    coupler.require_outputs("c", "d", required={"d": False})
    assert list(coupler.missing_declared_outputs()) == ["a", "c"]


def test_a_key_that_is_declared_invalidly_is_an_error() -> None:
    # C-18
    with pytest.raises(ValueError, match="key"):
        Coupler().require_outputs("no good")


def test_descriptions_are_a_copy() -> None:
    # COUP-018
    coupler = Coupler()
    coupler.declare_outputs("a", "b", description={"a": "first"})
    described = coupler.describe_outputs()
    assert described["a"] == "first"
    described["a"] = "changed"
    assert coupler.describe_outputs()["a"] == "first"


def test_an_undeclared_key_warns_where_that_was_asked_for(
    artifact: consist.Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    # COUP-024, C-18
    coupler = Coupler()
    coupler.declare_outputs("a")
    with caplog.at_level(logging.WARNING):
        coupler.set("typo", artifact)
        assert caplog.text == ""
        coupler.declare_outputs("b", warn_undefined=True)
        coupler.set("b", artifact)
        assert caplog.text == ""
        coupler.set("typo", artifact)
    assert "'typo'" in caplog.text


def test_collect_by_keys_adds_selected_ones_with_a_prefix(
    artifact: consist.Artifact, another: consist.Artifact
) -> None:
    # COUP-019, C-17
    coupler = Coupler()
    coupler.set("b", another)
    collected = coupler.collect_by_keys({"a": artifact, "b": another}, "a", prefix="2020_")
    assert collected == {"2020_a": artifact}
    assert set(coupler.keys()) == {"b", "2020_a"}


def test_collecting_a_key_that_is_not_there_names_it_and_stores_nothing(
    artifact: consist.Artifact,
) -> None:
    # COUP-019
    coupler = Coupler()
    with pytest.raises(KeyError, match="'nothing'"):
        coupler.collect_by_keys({"a": artifact}, "a", "nothing")
    assert list(coupler.keys()) == []


# ---------------------------------------------------------------- key registries


class Keys(ArtifactKeyRegistry):
    RAW = "raw"
    CLEAN = "clean"


def test_registered_keys_are_text_and_validate(artifact: consist.Artifact) -> None:
    # COUP-025, COUP-026
    coupler = Coupler()
    coupler.set(Keys.RAW, artifact)
    assert coupler.require("raw") is artifact
    Keys.validate([Keys.RAW, Keys.CLEAN])
    assert Keys.all_keys() == ["raw", "clean"]


def test_an_unregistered_key_is_an_error_that_names_it_and_the_known_ones() -> None:
    # COUP-026, ERR-063
    with pytest.raises(ValueError, match="'unknown'") as caught:
        Keys.validate(["raw", "unknown"])
    assert "raw, clean" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="clean"):
        Keys.validate(["raw"], require_all=True)


def test_a_relative_path_means_the_current_folder_wherever_it_is_used(
    tracker: Tracker, here: Path
) -> None:
    (here / "raw.csv").write_text("a\n1\n")
    with tracker.scenario("s") as sc:
        sc.coupler.set_from_artifact("raw", Path("raw.csv"))
        assert sc.coupler.path("raw") == here / "raw.csv"
        seen = []
        sc.run(lambda raw: seen.append(raw["a"].tolist()), "step", inputs={"raw": "raw"})
    assert seen == [[1]]
