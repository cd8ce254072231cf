"""The coupler, its views and its expectations."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import consist
from consist import ArtifactKeyRegistry, Coupler, Tracker
from consist.models.record import ArtifactRecord, new_uuid

RECORD = ArtifactRecord(
    id=new_uuid(), key="k", container_uri="./x", driver="csv", created_at=datetime.now(UTC)
)


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


@pytest.mark.parametrize("value", [None, 5, object(), b"x", pd.DataFrame({"a": [1]})])
def test_anything_else_is_refused_where_it_is_set(artifact: consist.Artifact, value: Any) -> None:
    # COUP-008: a table in the coupler would only fail at the step that asks for it
    coupler = Coupler()
    for store in (coupler.set_from_artifact, coupler.set, coupler.view("v").set):
        with pytest.raises(TypeError, match=type(value).__name__):
            store("k", value)
    with pytest.raises(TypeError, match="'bad'"):
        coupler.update({"good": artifact}, bad=value)
    assert list(coupler.keys()) == []
    assert coupler.get("k") is None


def test_the_result_of_a_run_is_refused_with_the_way_to_its_outputs(tracker: Tracker) -> None:
    # COUP-023
    result = tracker.run(lambda: pd.DataFrame({"a": [1]}), "make", outputs=["a"])
    coupler = Coupler()
    with pytest.raises(TypeError, match="RunResult") as caught:
        coupler.set("a", result)  # type: ignore[arg-type]
    assert "result.outputs" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="RunResult") as caught:
        coupler.update(result)  # type: ignore[arg-type]
    assert "result.outputs" in caught.value.__notes__[0]
    coupler.update(result.outputs)
    assert coupler.require("a").key == "a"


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


def test_the_coupler_that_a_scenario_is_given_resolves_its_mounts(tmp_path: Path) -> None:
    # COUP-012
    coupler = Coupler()
    coupler.set_from_artifact("k", "in://x.csv")
    with pytest.raises(ValueError, match=r"in://x\.csv"):
        coupler.path("k")
    with (
        Tracker(tmp_path / "r", mounts={"in": tmp_path}) as tracker,
        tracker.scenario("s", coupler=coupler) as sc,
    ):
        assert sc.coupler is coupler
        assert sc.coupler.path("k") == tmp_path / "x.csv"
        assert sc.coupler.view("v").path("k", required=False) is None
        sc.coupler.set_from_artifact("k", "out://x.csv")
        with pytest.raises(ValueError, match="'out'"):
            sc.coupler.path("k")
        with pytest.raises(TypeError, match="dict"):
            tracker.scenario("t", coupler={})  # type: ignore[arg-type]


def test_path_of_what_has_only_a_uri_is_where_the_uri_is(tmp_path: Path) -> None:
    # COUP-012
    coupler = Coupler(lambda uri: uri.replace("in://", f"{tmp_path}/"))
    coupler.set_from_artifact("k", ArtifactLike(None, "in://x.csv"))  # type: ignore[arg-type]
    assert coupler.path("k") == tmp_path / "x.csv"


def test_path_does_not_look_whether_a_file_is_there(artifact: consist.Artifact) -> None:
    # COUP-012
    coupler = Coupler()
    coupler.set("k", artifact)
    artifact.path.unlink()
    assert coupler.path("k") == artifact.path


# ---------------------------------------------------------------- as a mapping


def test_a_coupler_and_its_views_are_mappings(
    artifact: consist.Artifact, another: consist.Artifact
) -> None:
    # COUP-007, COUP-010
    coupler = Coupler()
    coupler.update({"a": artifact, "v/b": another})
    view = coupler.view("v")
    assert list(coupler) == ["a", "v/b"]
    assert dict(coupler) == {"a": artifact, "v/b": another}
    assert list(view) == ["b"]
    assert dict(view) == {"b": another}
    assert view["b"] is another
    assert len(view) == 1
    assert list(view.items()) == [("b", another)]
    assert list(view.values()) == [another]
    other = Coupler()
    other.update(coupler)
    other.view("w").update(view)
    assert list(other) == ["a", "v/b", "w/b"]
    assert other.collect_by_keys(view, "b") == {"b": another}
    assert coupler != other
    assert len({coupler, other}) == 2
    assert coupler.get("a") is artifact
    assert coupler.get("b", another) is another


def test_a_coupler_may_be_the_inputs_of_a_step(tracker: Tracker) -> None:
    # COUP-007, COUP-010
    with tracker.scenario("s") as sc:
        for year in (2020, 2030):
            made = sc.run(
                lambda year: pd.DataFrame({"year": [year]}),
                f"make_{year}",
                config={"year": year},
                outputs=[f"{year}/table"],
            )
            assert list(made.outputs) == [f"{year}/table"]
        seen: list[int] = []

        def use(table: pd.DataFrame) -> None:
            seen.extend(table["year"])

        sc.run(use, inputs=sc.coupler.view("2030"))
    assert seen == [2030]


def test_keys_items_and_values_follow_the_coupler(artifact: consist.Artifact) -> None:
    # COUP-007
    coupler = Coupler()
    keys, items, values = coupler.keys(), coupler.items(), coupler.values()
    coupler.set("a", artifact)
    assert list(keys) == ["a"]
    assert ("a", artifact) in items
    assert list(values) == [artifact]


def test_a_view_of_a_view(artifact: consist.Artifact) -> None:
    # COUP-010
    coupler = Coupler()
    inner = coupler.view("beam").view("2030")
    inner.set("plans", artifact)
    assert list(coupler.keys()) == ["beam/2030/plans"]
    assert coupler.view("beam/2030/").require("plans") is artifact
    assert list(coupler.view("beam").keys()) == ["2030/plans"]


@pytest.mark.parametrize("key", ["", "../x", "/x", 5, None])
def test_a_key_that_cannot_be_is_refused_in_a_view_too(
    artifact: consist.Artifact, key: Any
) -> None:
    # ERR-060
    coupler = Coupler()
    view = coupler.view("v")
    with pytest.raises(ValueError, match="key"):
        view.set(key, artifact)
    with pytest.raises(ValueError, match="key"):
        view.update({"good": artifact, key: artifact})
    assert list(coupler) == []
    assert view.get(key) is None
    assert key not in view


def test_a_coupler_tells_how_much_is_in_it_and_not_all_of_it(artifact: consist.Artifact) -> None:
    coupler = Coupler()
    coupler.update({f"v/k{n}": artifact for n in range(1000)})
    assert repr(coupler) == "<Coupler: 1000 keys>"
    assert repr(coupler.view("v")) == "<CouplerView: 1000 keys in v/>"
    with pytest.raises(KeyError) as caught:
        coupler.require("nothing")
    assert "and 980 more" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_copy_in_another_process_has_what_was_set(tracker: Tracker) -> None:
    # COUP-001
    with tracker.scenario("s", require_outputs=["t"]) as sc:
        sc.run(lambda: pd.DataFrame({"a": [1]}), "make", outputs=["t"])
        path = sc.coupler.path("t")
        copy = pickle.loads(pickle.dumps(sc.coupler))
        assert copy.path("t") == path
        copy.view("v").set("more", copy.require("t"))
        assert copy.missing_declared_outputs() == []
        assert list(sc.coupler) == ["t"]


# ---------------------------------------------------------------- threads and size


def test_steps_in_threads_write_while_others_read(tracker: Tracker) -> None:
    # COUP-001, COUP-007, COUP-020
    stop = threading.Event()
    wrong: list[object] = []

    def watch(coupler: Coupler) -> None:
        view = coupler.view("v")
        while not stop.is_set():
            wrong.extend(key for key, value in coupler.items() if value is None)
            wrong.extend(value for value in view.values() if value is None)
            wrong.extend(key for key in view if view.get(key) is None)

    def step(n: int) -> pd.DataFrame:
        return pd.DataFrame({"n": [n]})

    with tracker.scenario("s") as sc, ThreadPoolExecutor(4) as pool:
        watching = [pool.submit(watch, sc.coupler) for _ in range(2)]
        try:
            for _ in pool.map(
                lambda n: sc.run(step, f"step{n}", config={"n": n}, outputs=[f"v/k{n}"]), range(30)
            ):
                pass
        finally:
            stop.set()
        for watcher in watching:
            watcher.result()
        assert wrong == []
        assert len(sc.coupler.view("v")) == 30


def test_two_threads_that_ask_at_once_get_the_same_artifact() -> None:
    # COUP-001: the second must not see the place of an artifact that the first is making
    both = threading.Barrier(2, timeout=20)

    class Made:
        path, container_uri = Path("x"), "./x"

    def make() -> Made:
        time.sleep(0.05)
        return Made()

    coupler = Coupler()
    coupler.sync(RECORD, make)

    def read() -> Any:
        both.wait()
        return coupler.require("k")

    with ThreadPoolExecutor(2) as pool:
        first, second = [reading.result() for reading in [pool.submit(read), pool.submit(read)]]
    assert first is second
    assert isinstance(first, Made)
    assert coupler.get("k") is first


def test_an_artifact_that_is_replaced_while_it_is_made_does_not_come_back() -> None:
    # COUP-003
    coupler = Coupler()

    def make() -> Any:
        coupler.set_from_artifact("k", "newer.csv")
        return ArtifactLike(Path("older.csv"), "./older.csv")

    coupler.sync(RECORD, make)
    assert coupler.require("k") == "newer.csv"


def test_many_keys_in_many_namespaces_take_linear_time() -> None:
    # COUP-007, COUP-010, COUP-017: 40,000 namespaces, each asked for its keys
    coupler = Coupler()
    count = 40_000
    began = time.perf_counter()
    coupler.update({f"zone{n}/year/plans": "x.csv" for n in range(count)})
    coupler.require_outputs(*(f"zone{n}/year/plans" for n in range(count)))
    for n in range(count):
        assert list(coupler.view(f"zone{n}").keys()) == ["year/plans"]
        assert f"zone{n}/year/plans" in coupler
    assert coupler.missing_declared_outputs() == []
    assert time.perf_counter() - began < 10


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


def test_an_undeclared_key_warns_once_and_a_view_warns_of_its_own_keys(
    artifact: consist.Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    # COUP-024, C-18
    coupler = Coupler()
    with caplog.at_level(logging.WARNING):
        coupler.view("v").declare_outputs("a", warn_undefined=True)
        coupler.set("outside", artifact)
        assert caplog.text == ""
        for _ in range(3):
            coupler.set("v/typo", artifact)
            coupler.view("v").set("a", artifact)
        assert [record.name for record in caplog.records] == ["consist.workflow"]
        assert "'v/typo'" in caplog.text


def test_an_input_of_the_scenario_is_no_undeclared_output(
    tracker: Tracker, raw: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # COUP-024: "warn when outputs are logged that were not declared"
    with caplog.at_level(logging.WARNING), tracker.scenario("s") as sc:
        sc.declare_outputs("t", warn_undefined=True)
        sc.add_input(raw, "raw")
        assert caplog.text == ""
        sc.run(lambda: pd.DataFrame({"a": [1]}), "make", outputs=["typo"])
        assert "'typo'" in caplog.text
        assert sc.coupler.require("raw").key == "raw"


def test_declaring_again_adds_and_does_not_take_back() -> None:
    # COUP-014, COUP-016, COUP-018
    coupler = Coupler()
    coupler.declare_outputs("a", description={"a": "first"})
    coupler.require_outputs("a", "b")
    assert coupler.describe_outputs() == {"a": "first"}
    coupler.declare_outputs("a", "b", description={"b": "second"})
    assert coupler.missing_declared_outputs() == ["a", "b"]
    assert coupler.describe_outputs() == {"a": "first", "b": "second"}
    coupler.declare_outputs(required={"a": False}, description={"a": "other"})
    assert coupler.missing_declared_outputs() == ["b"]
    assert coupler.describe_outputs() == {"a": "other", "b": "second"}


@pytest.mark.parametrize("said", [{"required": {"persns": True}}, {"description": {"persns": "?"}}])
def test_a_mapping_that_names_what_is_not_declared_is_an_error(said: Any) -> None:
    # COUP-016, C-18: a mistyped key would leave the one that was meant without its guard
    coupler = Coupler()
    with pytest.raises(ValueError, match="'persns'"):
        coupler.declare_outputs("persons", **said)
    coupler.require_outputs("other")
    assert coupler.missing_declared_outputs() == ["other"]


@pytest.mark.parametrize(
    "said", [{"required": "yes"}, {"required": {"a": "no"}}, {"description": "text"}]
)
def test_expectations_of_another_type_are_an_error(said: Any) -> None:
    # COUP-016
    with pytest.raises(TypeError, match=next(iter(said))):
        Coupler().declare_outputs("a", **said)


def test_a_view_has_expectations_of_its_namespace(artifact: consist.Artifact) -> None:
    # COUP-010, COUP-014
    coupler = Coupler()
    view = coupler.view("beam")
    coupler.require_outputs("skims")
    view.require_outputs("plans", "linkstats", description={"plans": "where everybody went"})
    assert view.missing_declared_outputs() == ["plans", "linkstats"]
    assert coupler.missing_declared_outputs() == ["skims", "beam/plans", "beam/linkstats"]
    assert view.describe_outputs() == {"plans": "where everybody went"}
    assert view.collect_by_keys({"plans": artifact, "other": artifact}, "plans") == {
        "plans": artifact
    }
    assert view.missing_declared_outputs() == ["linkstats"]
    assert coupler.path("beam/plans") == artifact.path


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


@pytest.mark.parametrize("wrong", [{"keys": [["a"]]}, {"prefix": 5}, {"prefix": "no good "}])
def test_collecting_in_a_way_that_means_nothing_is_an_error(
    artifact: consist.Artifact, wrong: dict[str, Any]
) -> None:
    # COUP-019, ERR-060
    coupler = Coupler()
    keys, prefix = wrong.get("keys", ["a"]), wrong.get("prefix", "")
    with pytest.raises((TypeError, ValueError), match=r"key|prefix"):
        coupler.collect_by_keys({"a": artifact}, *keys, prefix=prefix)
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


@pytest.mark.parametrize("wrong", ["raw", 5, None])
def test_one_text_is_no_list_of_keys(wrong: Any) -> None:
    # COUP-026
    with pytest.raises(TypeError, match="list of keys"):
        Keys.validate(wrong)


@pytest.mark.parametrize("key", [5, None, ["raw"]])
def test_a_key_that_is_no_text_is_not_registered(key: Any) -> None:
    # COUP-026, ERR-063
    with pytest.raises(ValueError, match=r"\['raw'\]|5|None"):
        Keys.validate(["raw", key])


class Named(str, Enum):  # noqa: UP042 - as people wrote it before StrEnum
    RAW = "raw"


def test_enum_members_are_keys_of_their_text(tracker: Tracker, raw: Path) -> None:
    # COUP-025: in records, identity and messages they are nothing but the text
    def use(raw: pd.DataFrame) -> pd.DataFrame:
        return raw

    first = tracker.run(use, inputs={Named.RAW: raw}, outputs=[Named.RAW])
    second = tracker.run(use, inputs={"raw": raw}, outputs=["raw"])
    assert second.cache_hit
    assert [type(key) for result in (first, second) for key in result.outputs] == [str, str]
    coupler = Coupler()
    coupler.set(Named.RAW, first.output)
    assert coupler.require("raw") is coupler.require(Named.RAW)
    assert [type(key) for key in coupler] == [str]


def test_a_registry_of_many_keys_validates_in_linear_time() -> None:
    # COUP-026
    keys = [f"key{n}" for n in range(20_000)]
    registry: Any = type("Many", (ArtifactKeyRegistry,), {f"K{n}": k for n, k in enumerate(keys)})
    began = time.perf_counter()
    registry.validate(keys, require_all=True)
    assert time.perf_counter() - began < 2


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
