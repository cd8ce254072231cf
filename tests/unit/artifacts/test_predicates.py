"""What is asked of artifacts' facets, as text."""

from __future__ import annotations

from typing import Any

import pytest

from consist.artifacts.predicates import parse_predicate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mode=car", ("mode", "=", "car")),
        (" mode = car ", ("mode", "=", "car")),
        ("year>=2030", ("year", ">=", 2030)),
        ("year<=2030.5", ("year", "<=", 2030.5)),
        ("x=-1e3", ("x", "=", -1000.0)),
        ("big=9223372036854775807", ("big", "=", 2**63 - 1)),
        ("on=true", ("on", "=", True)),
        ("on=null", ("on", "=", None)),
        ("on='true'", ("on", "=", "true")),
        ('code="007"', ("code", "=", "007")),
        ('empty=""', ("empty", "=", "")),
        ("a=b=c", ("a", "=", "b=c")),
        ("url=http://x?a=1", ("url", "=", "http://x?a=1")),
        ("day>=2030-01-01", ("day", ">=", "2030-01-01")),
        ("word=nan", ("word", "=", "nan")),
        (r"beam.a\.b=1", (r"beam.a\.b", "=", 1)),
    ],
)
def test_a_predicate_is_read(text: str, expected: tuple[Any, ...]) -> None:
    found = parse_predicate(text)
    assert (found.key, found.operator, found.value) == expected
    assert type(found.value) is type(expected[2])
    assert found.text == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mode", "has none of"),
        ("a>5", "has none of"),
        ("a<5", "has none of"),
        ("a!=5", "has none of"),
        ("a==5", "operator '=='"),
        ("a>==5", "operator '>=='"),
        ("=5", "names no key"),
        (".a=5", "names no key"),
        ("a.=5", "names no key"),
        ("a=", "has no value"),
        ("a>=", "has no value"),
        ("a='x", "does not end"),
        ("a>=true", ">= true"),
        ("a<=null", "<= null"),
        ("a=1e999", "too large"),
    ],
)
def test_a_malformed_predicate_is_an_error_that_names_it(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse_predicate(text)
    assert repr(text) in str(caught.value)
    assert caught.value.__notes__


def test_a_predicate_is_text() -> None:
    with pytest.raises(TypeError, match="5 is an int"):
        parse_predicate(5)  # type: ignore[arg-type]


def test_a_key_may_begin_with_a_namespace() -> None:
    readings = list(parse_predicate(r"a.b\.c.d=1").readings())
    assert readings == [(None, r"a.b\.c.d"), ("a", r"b\.c.d"), (r"a.b\.c", "d")]
