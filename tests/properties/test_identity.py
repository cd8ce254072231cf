"""What holds of identity whatever the values are (SIG-002, SIG-021).

Values are drawn as *meanings*: small trees with an equality of their own. Every meaning can be
written in several ways as a Python value (an int or a float, a list or a tuple, keys in any
order). Two Python values have to be spelled alike exactly if their meanings are equal.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import random
import shutil
import tempfile
import uuid
from collections import OrderedDict, deque
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consist.errors import UnhashableValue
from consist.identity import (
    InputIdentity,
    carried_values,
    content_digest,
    directory_digest,
    encode,
    inputs_digest,
    plain,
)

Meaning = tuple[Any, ...]

# ---------------------------------------------------------------- meanings

texts = st.sampled_from(["", "a", "b", "1", "$", "$path", "$map", "null", "ü", "\n"]) | st.text()
numbers = st.one_of(
    st.integers(-3, 3).map(Fraction),
    st.integers().map(Fraction),
    st.fractions(),
    st.floats(allow_nan=False, allow_infinity=False).map(Fraction),
)
scalars: st.SearchStrategy[Meaning] = st.one_of(
    st.just(("none",)),
    st.tuples(st.just("bool"), st.booleans()),
    st.tuples(st.just("number"), numbers),
    st.tuples(st.just("infinite"), st.sampled_from(["nan", "inf", "-inf"])),
    st.tuples(st.just("text"), texts),
    st.tuples(st.just("bytes"), st.binary(max_size=5)),
    st.tuples(st.just("path"), st.sampled_from(["a", "a/b", "/a", "b"])),
    st.tuples(st.just("date"), st.dates()),
    st.tuples(st.just("naive"), st.datetimes()),
    st.tuples(
        st.just("instant"),
        st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(3000, 1, 1)),  # noqa: DTZ001
    ),
    st.tuples(st.just("span"), st.integers(-(10**9), 10**9)),
    st.tuples(st.just("uuid"), st.integers(0, 5)),
)


def containers(inner: st.SearchStrategy[Meaning]) -> st.SearchStrategy[Meaning]:
    pairs = st.dictionaries(scalars, inner, max_size=4).map(lambda found: frozenset(found.items()))
    return st.one_of(
        st.tuples(st.just("list"), st.lists(inner, max_size=4).map(tuple)),
        st.tuples(st.just("set"), st.frozensets(scalars, max_size=4)),
        st.tuples(st.just("mapping"), pairs),
    )


meanings = st.recursive(scalars, containers, max_leaves=12)


# ---------------------------------------------------------------- ways to write them


def write(meaning: Meaning, chance: random.Random) -> Any:
    """Write a meaning as one of the Python values that have it."""
    kind, *content = meaning
    return WAYS[kind](*content, chance)


def write_number(number: Fraction, chance: random.Random) -> Any:
    ways: list[Any] = [number]
    if number.denominator == 1:
        whole = int(number)
        ways += [whole, decimal.Decimal(whole)]
        if abs(whole) < 2**63:
            ways.append(np.int64(whole))
    if is_float(number):
        near = float(number)
        ways += [near, np.float64(near), decimal.Decimal(near), complex(near, 0)]
        ways += [-near] if near == 0 else []
    return chance.choice(ways)


def is_float(number: Fraction) -> bool:
    try:
        return Fraction(float(number)) == number
    except OverflowError:
        return False


def write_infinite(name: str, chance: random.Random) -> Any:
    return chance.choice([float, np.float64, np.float32, decimal.Decimal])(name)


def write_instant(moment: dt.datetime, chance: random.Random) -> dt.datetime:
    offset = dt.timezone(dt.timedelta(minutes=chance.randrange(-1439, 1440)))
    return moment.replace(tzinfo=dt.UTC).astimezone(offset)


def write_list(items: tuple[Meaning, ...], chance: random.Random) -> Any:
    return chance.choice([list, tuple, deque])(write(item, chance) for item in items)


def write_set(items: frozenset[Meaning], chance: random.Random) -> Any:
    written = {write(item, chance) for item in shuffled(items, chance)}
    assume(len(written) == len(items))  # True and 1 cannot both be in a set
    return chance.choice([set, frozenset])(written)


def write_mapping(pairs: frozenset[tuple[Meaning, Meaning]], chance: random.Random) -> Any:
    written = {write(key, chance): write(item, chance) for key, item in shuffled(pairs, chance)}
    assume(len(written) == len(pairs))
    return chance.choice([dict, OrderedDict, MappingProxyType])(written)


def shuffled(items: frozenset[Any], chance: random.Random) -> list[Any]:
    order = list(items)
    chance.shuffle(order)
    return order


WAYS: dict[str, Any] = {
    "none": lambda _chance: None,
    "bool": lambda value, chance: chance.choice([value, np.bool_(value)]),
    "number": write_number,
    "infinite": write_infinite,
    "text": lambda value, chance: chance.choice([value, np.str_(value)]),
    "bytes": lambda value, _chance: value,
    "path": lambda value, chance: chance.choice([Path, PurePosixPath])(value),
    "date": lambda value, _chance: value,
    "naive": lambda value, chance: value.replace(fold=chance.randrange(2)),
    "instant": write_instant,
    "span": lambda value, _chance: dt.timedelta(microseconds=value),
    "uuid": lambda value, _chance: uuid.UUID(int=value),
    "list": write_list,
    "set": write_set,
    "mapping": write_mapping,
}


# ---------------------------------------------------------------- values


@given(meanings, st.randoms(use_true_random=False), st.randoms(use_true_random=False))
def test_one_meaning_has_one_spelling(
    meaning: Meaning, one: random.Random, other: random.Random
) -> None:
    assert encode(write(meaning, one)) == encode(write(meaning, other))


@given(meanings, meanings, st.randoms(use_true_random=False))
def test_two_meanings_have_two_spellings(
    one: Meaning, other: Meaning, chance: random.Random
) -> None:
    alike = encode(write(one, chance)) == encode(write(other, chance))
    assert alike == (one == other)


@given(meanings, st.data())
def test_a_small_difference_is_a_difference(meaning: Meaning, data: st.DataObject) -> None:
    changed, chance = data.draw(with_one_change(meaning)), random.Random(1)
    assume(changed != meaning)
    assert encode(write(changed, chance)) != encode(write(meaning, chance))


def with_one_change(meaning: Meaning) -> st.SearchStrategy[Meaning]:
    kind, *content = meaning
    if kind == "list" and content[0]:
        items = content[0]
        places = st.integers(0, len(items) - 1)
        return places.flatmap(
            lambda place: with_one_change(items[place]).map(
                lambda item: ("list", (*items[:place], item, *items[place + 1 :]))
            )
        )
    if kind == "mapping" and content[0]:
        pairs = sorted(content[0], key=repr)
        return st.sampled_from(pairs).flatmap(
            lambda pair: with_one_change(pair[1]).map(
                lambda item: ("mapping", (content[0] - {pair}) | {(pair[0], item)})
            )
        )
    return scalars


@given(meanings, st.randoms(use_true_random=False))
def test_a_spelling_is_json(meaning: Meaning, chance: random.Random) -> None:
    json.loads(encode(write(meaning, chance)).decode("utf-8", "surrogatepass"))


@given(meanings, st.randoms(use_true_random=False))
def test_a_rendering_is_json_for_everyone(meaning: Meaning, chance: random.Random) -> None:
    rendered = plain(write(meaning, chance))
    assert json.loads(json.dumps(rendered, allow_nan=False)) == rendered
    assert msgspec.json.decode(msgspec.json.encode(rendered)) == rendered


simple_keys = st.text(max_size=3) | st.integers() | st.booleans()
trees = st.recursive(
    st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(simple_keys, inner, max_size=3),
)


@given(trees, st.data())
def test_a_refused_value_is_found_at_its_place(tree: Any, data: st.DataObject) -> None:
    """The place that an error names leads to the value, as Python would read it."""
    config, stranger = {"root": tree}, object()
    where: Any = config
    key: Any = "root"
    while isinstance(where[key], list | dict) and where[key] and data.draw(st.booleans()):
        where = where[key]
        key = data.draw(
            st.sampled_from(list(where) if isinstance(where, dict) else range(len(where)))
        )
    where[key] = stranger
    for render in (encode, plain):
        with pytest.raises(UnhashableValue) as caught:
            render(config)
        if "…" not in caught.value.key_path:
            assert eval(caught.value.key_path, {"config": config}) is stranger


# ---------------------------------------------------------------- callables

CHANGES = [
    "state.append(1)", "state[0] += 1", "state[0] = limit", "state.extend([limit])",
    "alias = state\n        alias.append(2)", "state[1].append(3)", "del state[2:]",
    "for item in state[1:2]: item.append(1)", "[state.append(item) for item in (1, 2)]",
    "(lambda: state.append(limit))()", "state[1:2] = [[]]", "state.insert(0, 1); state.pop(0)",
]  # fmt: skip
READS = ["len(state)", "limit + 1", "[limit]", "str(state)", "limit if state else 0", "note"]


@given(
    st.lists(st.sampled_from(CHANGES), min_size=1, max_size=4),
    st.lists(st.sampled_from(READS), max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_step_is_the_same_before_and_after_it_ran(
    changes: list[str], reads: list[str], chance: random.Random
) -> None:
    body = [*changes, *reads]
    chance.shuffle(body)
    lines = "\n        ".join([*body, "return limit"])
    space: dict[str, Any] = {}
    exec(f"def make(state, limit, note):\n    def step():\n        {lines}\n    return step", space)
    state: list[Any] = [1, [], 3]
    step = space["make"](state, 5, "n")
    before = carried_values(step)
    for _ in range(3):
        step()
        assert carried_values(step) == before
    assert carried_values(space["make"]([], 5, "n")) == before
    assert carried_values(space["make"](state, 6, "n")) != before
    notes_differ = carried_values(space["make"](state, 5, "m")) != before
    assert notes_differ == ("note" in reads)


@given(meanings, meanings, st.randoms(use_true_random=False))
def test_captured_values_differ_if_they_do(
    one: Meaning, other: Meaning, chance: random.Random
) -> None:
    def make(value: Any) -> Any:
        return lambda: value

    alike = carried_values(make(write(one, chance))) == carried_values(make(write(other, chance)))
    assert alike == (one == other)


# ---------------------------------------------------------------- directories and inputs

names = st.sampled_from(["a", "b", ".h", "ü", "a b", "c.txt"])
folders: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(names, st.binary(max_size=2), max_size=3),
    lambda inner: st.dictionaries(names, st.binary(max_size=2) | inner, max_size=3),
    max_leaves=6,
)


def lay_out(tree: dict[str, Any], folder: Path) -> Path:
    folder.mkdir()
    for name, content in tree.items():
        if isinstance(content, dict):
            lay_out(content, folder / name)
        else:
            (folder / name).write_bytes(content)
    return folder


@given(folders, folders)
def test_directories_have_one_digest_exactly_if_they_are_equal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as place:
        digests = [
            directory_digest(lay_out(tree, Path(place) / str(number)))
            for number, tree in enumerate((one, dict(reversed(other.items()))))
        ]
        shutil.rmtree(place)
        Path(place).mkdir()
    assert (digests[0] == digests[1]) == (one == other)


inputs = st.builds(
    InputIdentity,
    digest=st.sampled_from(["d1", "d2"]),
    producer=st.sampled_from([None, "s1", "s2"]),
    name=st.sampled_from([None, "a", "b"]),
    key=st.sampled_from(["k", "l"]),
    driver=st.none(),
    table_path=st.none(),
    array_path=st.none(),
)


@given(st.lists(inputs, max_size=5), st.randoms(use_true_random=False))
def test_inputs_have_no_order(found: list[InputIdentity], chance: random.Random) -> None:
    other = list(found)
    chance.shuffle(other)
    assert inputs_digest(found) == inputs_digest(other)
    assert content_digest(found) == content_digest(other)


@given(st.lists(inputs, max_size=3), st.lists(inputs, max_size=3))
def test_inputs_differ_by_what_counts(one: list[InputIdentity], other: list[InputIdentity]) -> None:
    def meaning(item: InputIdentity) -> tuple[str, ...]:
        origin = ("run", item.producer, item.key) if item.producer else ("file", item.digest)
        return str(item.name), *map(str, origin)

    alike = sorted(map(meaning, one)) == sorted(map(meaning, other))
    assert (inputs_digest(one) == inputs_digest(other)) == alike
