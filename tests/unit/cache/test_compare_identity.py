"""Two identities compared: no tracker, no files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from consist.cache.compare_identity import MOST_LISTED, Compared, Comparison, UsedInput, compare
from consist.cache.explanation import Explanation, reason_of
from consist.models.record import ArtifactRecord, raw


def used(name: str, digest: str | None = "1", **values: Any) -> UsedInput:
    record = ArtifactRecord(
        id=f"{name} {digest} {values}",
        key=values.pop("key", name),
        container_uri=values.pop("uri", f"./{name}.csv"),
        hash=digest,
        created_at=datetime.now(UTC),
        **values,
    )
    return UsedInput(name, record, digest)


def identity(config: Any = None, **values: Any) -> Compared:
    """Return an identity whose digests follow from what is in it."""
    config = {} if config is None else config
    defaults: dict[str, Any] = {"binding": {}, "values": raw(config)}
    given = defaults | values
    parts = [
        json.dumps(config),
        given.get("fields"),
        given["binding"],
        given.get("identity_inputs"),
    ]
    inputs = sorted((u.name, u.digest, u.record.run_signature) for u in given.get("used", ()))
    digests = {"config": str(parts), "inputs": str(inputs), "code": str(given.get("code_parts"))}
    return Compared(**(digests | given))


def compared(old: Compared, new: Compared) -> Comparison:
    return compare(old, new, lambda artifact: artifact.container_uri)


def test_what_is_equal_has_no_details() -> None:
    found = compared(identity({"a": 1}), identity({"a": 1}))
    assert found == Comparison(("config", "inputs", "code"), (), {}, complete=True)


@pytest.mark.parametrize(
    ("mismatched", "reason"),
    [
        (("config",), "config_changed"),
        (("inputs",), "inputs_changed"),
        (("code",), "code_changed"),
        (("config", "inputs"), "config_and_inputs_changed"),
        (("config", "code"), "config_and_code_changed"),
        (("inputs", "code"), "inputs_and_code_changed"),
        (("config", "inputs", "code"), "all_components_changed"),
        ((), "exact_match_lookup_inconclusive"),
    ],
)
def test_reasons_have_their_documented_names(mismatched: tuple[str, ...], reason: str) -> None:
    assert reason_of(mismatched) == reason


def test_a_mapping_that_became_a_value_is_one_change() -> None:
    details = compared(identity({"a": {"b": 1}}), identity({"a": [1]})).details
    assert details["config_keys_changed"] == [{"name": "a", "old": {"b": 1}, "new": [1]}]


def test_a_config_that_is_not_known_leaves_it_at_the_component() -> None:
    from consist.models.record import NULL

    found = compared(identity({"a": 1}, values=NULL), identity({"a": 2}))
    assert found.mismatched == ("config",)
    assert found.details == {}
    assert not found.complete


def test_code_without_recorded_parts_leaves_it_at_the_component() -> None:
    found = compared(identity(code="1"), identity(code="2", code_parts={"callable f": "2"}))
    assert found.mismatched == ("code",)
    assert found.details == {"code_hash_changed": {"old": "1", "new": "2"}}
    assert not found.complete


def test_long_values_are_cut() -> None:
    details = compared(identity({"a": "x" * 500}), identity({"a": list(range(500))})).details
    (entry,) = details["config_keys_changed"]
    assert all(len(entry[side]) == 201 and entry[side].endswith("…") for side in ("old", "new"))


def test_inputs_of_one_name_are_paired_by_content() -> None:
    old = identity(used=(used("a", "1"), used("a", "2"), used("a", "3")))
    new = identity(used=(used("a", "3"), used("a", "1"), used("a", "9")))
    (entry,) = compared(old, new).details["artifact_hash_changed"]
    assert (entry["old"], entry["new"]) == ("2", "9")


def test_many_inputs_of_one_name_are_compared_in_linear_time() -> None:
    import time

    old = identity(used=tuple(used("a", str(n)) for n in range(20_000)))
    new = identity(used=tuple(used("a", str(n)) for n in range(10_000, 30_000)))
    began = time.process_time()
    details = compared(old, new).details
    assert time.process_time() - began < 5
    assert len(details["artifact_hash_changed"]) == MOST_LISTED
    assert details["more"]["artifact_hash_changed"] == 10_000 - MOST_LISTED


def test_another_member_of_a_container_is_told_as_such() -> None:
    old = identity(used=(used("a", "1", table_path="/one"),), inputs="x")
    new = identity(used=(used("a", "2", table_path="/two"),), inputs="y")
    found = compared(old, new)
    assert list(found.details) == ["container_member_changed"]
    assert found.mismatched == ("inputs",)


def test_an_input_without_a_digest_is_never_the_same() -> None:
    old = identity(used=(used("a", None, run_signature="1", run_id="p"),))
    new = identity(used=(used("a", None, run_signature="2", run_id="q"),))
    found = compared(old, new)
    assert found.mismatched == ("inputs",)
    assert found.details["upstream_run_changed"][0]["old"] == "none"


def test_inputs_that_differ_in_nothing_that_was_recorded_are_not_called_complete() -> None:
    found = compared(identity(inputs="x"), identity(inputs="y"))
    assert found.mismatched == ("inputs",)
    assert not found.complete


def test_a_file_that_is_as_committed_again_changed() -> None:
    old = identity(code="1", mode="repo_git", code_parts={"commit": "c", "file a.py": "1"})
    new = identity(code="2", mode="repo_git", code_parts={"commit": "c", "file b.py": "deleted"})
    assert compared(old, new).details["repo_git_identity_changed"] == [
        {"name": "file a.py", "change": "changed", "old": "1", "new": "as committed"},
        {"name": "file b.py", "change": "removed", "old": "as committed", "new": "deleted"},
    ]


def test_what_an_adapter_says_is_compared() -> None:
    old = identity(config="x", adapter={"config_adapter": "a", "config_bundle_hash": "1"})
    new = identity(config="y", adapter={"config_adapter": "a", "config_bundle_hash": "2"})
    found = compare(
        Compared(code="", inputs="", config="1", adapter=old.adapter),
        Compared(code="", inputs="", config="2", adapter=new.adapter),
        lambda artifact: artifact.container_uri,
    )
    (entry,) = found.details["adapter_identity_changed"]
    assert (entry["name"], entry["old"], entry["new"]) == ("config_bundle_hash", "1", "2")


def test_an_explanation_of_nothing_but_a_component_reads_as_a_sentence() -> None:
    why = Explanation(
        status="miss",
        reason="code_changed",
        candidate_run_id="r",
        mismatched_components=("code",),
        confidence="medium",
    )
    assert str(why) == "miss: code changed since run r"
    assert why.changes == ()


def test_a_long_value_is_cut_in_a_sentence_and_whole_in_the_text() -> None:
    entry = {"name": "k", "old": "a" * 150, "new": "b\nc"}
    why = Explanation(
        status="miss",
        reason="config_changed",
        candidate_run_id="r",
        mismatched_components=("config",),
        details={"config_keys_changed": [entry]},
    )
    assert f"{'a' * 59}…" in str(why)
    assert "a" * 150 in why.text
    assert r'"b\nc"' in why.text


def test_a_cell_that_was_run_again_is_the_same_and_an_edited_one_changed() -> None:
    old = {"block in __main__ in 1.py": "a", "function __main__.f in 1.py": "b", "constant K": "1"}
    new = {"block in __main__ in 3.py": "a", "function __main__.f in 2.py": "c", "constant K": "2"}
    mode = "callable_deps"
    found = compared(identity(mode=mode, code_parts=old), identity(mode=mode, code_parts=new))
    assert found.details["code_parts_changed"] == [
        {"name": "constant K", "change": "changed", "old": "1", "new": "2"},
        {"name": "function __main__.f in 2.py", "change": "changed", "old": "b", "new": "c"},
    ]
    assert found.complete
