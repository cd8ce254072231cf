"""The signature and its three digests (SIG-001 to SIG-014, SIG-025, SIG-026, C-27)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest

from consist.errors import IdentityError, UnhashableValue, UsageError, WrongType
from consist.identity.canonical import digest
from consist.identity.signature import (
    InputIdentity,
    RunFields,
    config_digest,
    content_digest,
    identity_label,
    inputs_digest,
    label_identity_inputs,
    signature,
)


class Model(pydantic.BaseModel):
    threshold: float = 0.5


def test_the_signature_is_made_of_three_digests() -> None:
    """SIG-001, SIG-002."""
    assert signature("a", "b", "c") == digest("run", "a", "b", "c")
    changed = {signature("x", "b", "c"), signature("a", "x", "c"), signature("a", "b", "x")}
    assert len(changed | {signature("a", "b", "c"), signature("c", "b", "a")}) == 5


# ---------------------------------------------------------------- config


def test_a_config_counts_in_any_order_of_its_keys() -> None:
    """SIG-005, SIG-021."""
    assert config_digest({"a": 1, "b": 2}) == config_digest({"b": 2.0, "a": 1})
    assert config_digest({"a": 1}) != config_digest({"a": 2})


def test_no_config_and_an_empty_one_are_the_same() -> None:
    assert config_digest(None) == config_digest({})
    assert config_digest(Model()) != config_digest({})
    assert config_digest(Model()) != config_digest(Model(threshold=0.6))


VARIANTS: list[dict[str, Any]] = [
    {},
    {"fields": RunFields(model="m")},
    {"fields": RunFields(model="n")},
    {"fields": RunFields(year=2030)},
    {"fields": RunFields(year=2040)},
    {"fields": RunFields(iteration=2030)},
    {"fields": RunFields(iteration=0)},
    {"fields": RunFields(cache_epoch=1)},
    {"fields": RunFields(cache_epoch=2)},
    {"fields": RunFields(cache_version=1)},
    {"identity_inputs": {"a": "d"}},
    {"identity_inputs": {"a": "e"}},
    {"identity_inputs": {"b": "d"}},
    {"adapter": "x"},
    {"adapter": "y"},
    {"binding": {"a": "loaded"}},
    {"binding": {"a": "path"}},
    {"config": {"model": "m"}},
    {"config": {"year": 2030}},
    {"config": {"binding": {"a": "loaded"}}},
]


def test_what_belongs_to_a_config_counts() -> None:
    """SIG-007, SIG-010 to SIG-014, SIG-027."""
    digests = {config_digest(**{"config": None, **variant}) for variant in VARIANTS}
    assert len(digests) == len(VARIANTS)


def test_a_bad_config_is_named() -> None:
    with pytest.raises(UnhashableValue, match=r"config\['a'\]\[0\]"):
        config_digest({"a": [object()]})
    with pytest.raises(WrongType, match="key 1 of config"):
        config_digest({1: "a"})
    with pytest.raises(WrongType, match="config is a list"):
        config_digest([1])


# ---------------------------------------------------------------- inputs

RAW = InputIdentity("d1", key="trips")
OTHER = InputIdentity("d2", key="zones")
MANAGED = InputIdentity("d1", producer="s1", key="trips")


def test_inputs_in_a_list_have_no_order_and_no_names() -> None:
    """SIG-004: a raw file counts by its content."""
    assert inputs_digest([RAW, OTHER]) == inputs_digest([OTHER, RAW])
    assert inputs_digest([RAW]) == inputs_digest([RAW._replace(key="renamed", driver="csv")])
    assert inputs_digest([RAW]) != inputs_digest([OTHER])
    assert inputs_digest([RAW]) != inputs_digest([])
    assert inputs_digest([RAW]) != inputs_digest([RAW, RAW])


def test_inputs_in_a_mapping_count_by_parameter() -> None:
    one = [RAW._replace(name="a"), OTHER._replace(name="b")]
    assert inputs_digest(one) == inputs_digest(one[::-1])
    crossed = [RAW._replace(name="b"), OTHER._replace(name="a")]
    assert inputs_digest(one) != inputs_digest(crossed)
    assert inputs_digest([RAW]) != inputs_digest([RAW._replace(name="a")])
    assert content_digest(one) != content_digest(crossed)


def test_what_a_bound_input_is_loaded_as_counts() -> None:
    bound = RAW._replace(name="a", driver="csv")
    for change in ({"driver": "json"}, {"table_path": "/t"}, {"array_path": "/a"}):
        assert inputs_digest([bound]) != inputs_digest([bound._replace(**change)])
        assert content_digest([bound]) != content_digest([bound._replace(**change)])
    assert inputs_digest([bound]) == inputs_digest([bound._replace(key="renamed")])


def test_a_managed_input_counts_by_its_producer() -> None:
    """SIG-003, SIG-025: its bytes are not asked for."""
    assert inputs_digest([MANAGED]) == inputs_digest([MANAGED._replace(digest=None)])
    assert inputs_digest([MANAGED]) == inputs_digest([MANAGED._replace(digest="other")])
    changes = ({"producer": "s2"}, {"key": "k"}, {"table_path": "/t"}, {"array_path": "/a"})
    digests = {inputs_digest([MANAGED._replace(**change)]) for change in changes}
    assert len(digests | {inputs_digest([MANAGED]), inputs_digest([RAW])}) == 6


def test_by_content_it_does_not_matter_who_produced_an_input() -> None:
    """SIG-026, C-27: an upstream rerun with the same bytes is found by content."""
    assert content_digest([MANAGED]) == content_digest([MANAGED._replace(producer="s2")])
    assert content_digest([MANAGED]) == content_digest([RAW])
    assert content_digest([MANAGED]) != content_digest([MANAGED._replace(digest="d3")])
    assert content_digest([MANAGED]) != inputs_digest([MANAGED])
    assert content_digest([]) is not None


def test_an_input_without_a_digest_has_no_content() -> None:
    assert content_digest([RAW, MANAGED._replace(digest=None)]) is None


def test_a_raw_input_without_a_digest_is_an_error_that_names_it() -> None:
    with pytest.raises(IdentityError, match="input 'trips' has no digest") as caught:
        inputs_digest([RAW._replace(digest=None)])
    assert caught.value.__notes__


# ---------------------------------------------------------------- identity inputs


def test_identity_inputs_have_labels() -> None:
    """SIG-007, SIG-009: paths, or pairs of a name and a path."""
    assert identity_label("conf/base.yaml") == "base"
    found = label_identity_inputs(["conf/base.yaml", ("skims", Path("s.omx")), Path("folder")])
    assert found == {
        "base": Path("conf/base.yaml"),
        "skims": Path("s.omx"),
        "folder": Path("folder"),
    }
    assert label_identity_inputs(None) == label_identity_inputs([]) == {}


def test_two_identity_inputs_of_one_label_are_an_error() -> None:
    with pytest.raises(UsageError, match=r"a/base\.yaml and b/base\.yml are both 'base'") as caught:
        label_identity_inputs(["a/base.yaml", "b/base.yml"])
    assert isinstance(caught.value, ValueError)
    assert "('name', 'b/base.yml')" in caught.value.__notes__[0]


@pytest.mark.parametrize("entry", [5, None, ("a",), ("a", "b", "c"), (1, "b"), {"a": "b"}, b"a"])
def test_what_is_neither_path_nor_pair_is_an_error(entry: object) -> None:
    with pytest.raises(WrongType, match="neither a path nor"):
        label_identity_inputs([entry])
