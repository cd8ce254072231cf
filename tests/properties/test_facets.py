"""Whatever looks like JSON comes back from the index of facets as it was given."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consist import Tracker
from consist.artifacts.facets import facet_kept
from consist.settings import Settings
from consist.store.rows import flatten, leaves

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.text(r".\a", max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
FACETS = st.dictionaries(KEYS, VALUES, max_size=5)


def kept(facet: dict[str, Any]) -> Any:
    return facet_kept(facet, None, "m", None, index=True, what="it", settings=Settings())


def leaf_paths(facet: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths: list[tuple[str, ...]] = []
    for key, value in facet.items():
        nested = isinstance(value, dict) and value
        paths += leaf_paths(value, (*above, key)) if nested else [(*above, key)]
    return paths


@given(FACETS)
def test_no_two_leaves_share_a_flat_key(facet: dict[str, Any]) -> None:
    # FAC-008, FAC-009
    assert len(dict(flatten(facet))) == len(leaf_paths(facet))


@given(FACETS)
def test_what_is_kept_is_json_and_says_all_numbers(facet: dict[str, Any]) -> None:
    found = kept(facet)
    rows = dict(leaves(found.values, found.how))
    assert rows.keys() == dict(flatten(facet)).keys()
    for key, value in flatten(facet):
        kind = {type(None): "null", dict: "json", list: "json"}.get(type(value))
        assert rows[key]["value_type"] == (kind or type(value).__name__)
        if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
            assert rows[key]["value_int"] == value


@settings(max_examples=5)
@given(st.lists(FACETS, min_size=15, max_size=15))
def test_every_leaf_comes_back_with_its_type(
    tmp_path_factory: Any, facets: list[dict[str, Any]]
) -> None:
    # FAC-013
    folder: Path = tmp_path_factory.mktemp("facets")
    with Tracker(folder / "runs", folder / "p.duckdb", project_root=folder) as tracker:
        for number, facet in enumerate(facets):
            tracker.begin_run(f"r{number}", "m", facet=facet)
            tracker.end_run()
            if number == 7:
                assert tracker.store.sync()
        for number, facet in enumerate(facets):
            found = tracker.get_config_values(f"r{number}")
            assert found.keys() == dict(flatten(facet)).keys()
            for key, value in flatten(facet):
                assert same(found[key], value), (key, value, found[key])


def same(found: Any, given: Any) -> bool:
    if type(found) is not type(given):
        return False
    if isinstance(given, float):
        signs = math.copysign(1, found) == math.copysign(1, given)
        return (math.isnan(found) and math.isnan(given)) or (found == given and signs)
    if isinstance(given, list):
        return len(found) == len(given) and all(map(same, found, given))
    if isinstance(given, dict):
        return found.keys() == given.keys() and all(same(found[k], given[k]) for k in given)
    return bool(found == given)
