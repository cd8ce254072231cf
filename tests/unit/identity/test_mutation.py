"""Which names are state: what a callable changes itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from consist.identity.mutation import changed_variables, object_use


def captured(body: str) -> Callable[..., Any]:
    """Return a function whose body captures ``x`` and ``y``."""
    lines = "\n        ".join(body.splitlines())
    space: dict[str, Any] = {}
    exec(f"def make(x, y):\n    def step(*args):\n        {lines}\n    return step", space)
    return space["make"](None, None)


CHANGING = [
    "x.append(1)",
    "x.extend([1]); return y",
    "x[0] = 1",
    "x[y] = y",
    "x[y[0]][1] = 2",
    "x[0] += 1",
    "x[y if y else 0] = 1",
    "x[len(y) + 1] = 1",
    "x[1:2] = [3]",
    "del x[0]",
    "x.count = 1",
    "x.count += 1",
    "x.inner.count = 1",
    "del x.count",
    "x.inner.items.append(1)",
    "x['key'].append(1)",
    "x['key']['other'].add(1)",
    "x.setdefault('key', []).append(1)",
    "nonlocal x\nx = 1",
    "nonlocal x\nx += 1",
    "nonlocal x\ndel x",
    "alias = x\nalias.append(1)",
    "alias = x['key']\nalias.append(1)",
    "alias = other = x.inner\nother.append(1)",
    "append = x.append\nappend(1)",
    "for item in x: item.append(1)",
    "for item in x.inner: item.count = 1",
    "[x.append(item) for item in y]",
    "return lambda: x.append(1)",
    "def inner():\n    x.append(1)\ninner()",
    "def inner():\n    nonlocal x\n    x = 2\ninner()",
    "alias = x\ndef inner():\n    alias.append(1)\ninner()",
    "class Inner:\n    x.append(1)",
    "with y: x.append(1)",
    "try:\n    x.append(1)\nfinally:\n    pass",
    "if y: x.append(1)",
    "while y: x.pop()",
    "x.write('text')",
    "print(x.update(a=1))",
    "(x).sort()",
    "return x.pop()",
    "while x:\n    x_ = x\n    while x_: x_ = x_.next\n    x_.count = 1",
    "async def inner():\n    x.append(await y)",
    "def inner():\n    yield x.append(1)",
]

READING = [
    "return x",
    "return x[0]",
    "return x[y]",
    "return x.count",
    "return x.inner.get(1)",
    "return x.copy().append(1)",
    "return (x + [1]).append(1)",
    "return sorted(x)",
    "return [item for item in x]",
    "for item in x: print(item)",
    "y[x] = 1",
    "y[0] = x",
    "y.inner = x",
    "y[x[0]] = x[1]",
    "y.append(x)",
    "y.append(x[0])",
    "local = [x]\nlocal.append(1)",
    "local = list(x)\nlocal.append(1)",
    "local = x.copy()\nlocal['a'] = 1",
    "print(x, y.append(1))",
    "return f'{x}' + str(x)",
    "return x if y else 0",
    "return x or []",
    "return x(1)",
    "x(1).append(2)",
    "return {**x}",
    "return not x",
    "a, b = x\na.append(1)",
    "def inner(x):\n    x.append(1)\ninner([])\nreturn x",
    "node = x\nwhile node: node = node.next\nreturn node",
    "with x as opened: pass",
    "assert x",
    "return x @ y",
]


@pytest.mark.parametrize("body", CHANGING)
def test_a_captured_value_that_is_changed_is_state(body: str) -> None:
    assert "x" in changed_variables(captured(body).__code__)


@pytest.mark.parametrize("body", READING)
def test_a_captured_value_that_is_read_is_a_parameter(body: str) -> None:
    assert "x" not in changed_variables(captured(body).__code__)


def test_a_default_that_is_changed_is_state() -> None:
    def step(a: Any, seen: Any = (), *, found: Any = (), size: Any = 3) -> None:
        seen.append(a)
        found["a"] = size
        size += 1
        print(size)

    assert changed_variables(step.__code__) == {"seen", "found"}


def test_attributes_of_an_object_are_told_apart() -> None:
    class Model:
        def run(self, x: Any) -> Any:
            self.total = self.scale * x
            self.cache[x] = 1
            self.inner.items.append(x)
            alias = self.alias
            alias.append(x)
            self.update(x)
            del self.old
            [self.seen.add(item) for item in x]
            return self.read[0], self.rate

    use = object_use(Model.run.__code__)
    assert use.changed == {"total", "cache", "inner", "alias", "old", "seen"}
    assert {"scale", "read", "rate", "update"} <= use.used
    assert not use.whole


def test_a_method_of_the_object_may_have_any_name() -> None:
    class Register:
        def run(self) -> None:
            self.add(1)

        def add(self, item: Any) -> None: ...

    assert object_use(Register.run.__code__) == ({"add"}, set(), False)


@pytest.mark.parametrize(
    "body",
    [
        "print(self)",
        "return self",
        "return self['a']",
        "return vars(self)",
        "return [self]",
        "return super().run()",
        "for item in self: pass",
        "return lambda: self",
        "other = self; return other",
        "return self == 1",
        "other.owner = self",
    ],
)
def test_an_object_that_goes_elsewhere_is_used_as_a_whole(body: str) -> None:
    space: dict[str, Any] = {}
    exec(f"class Model:\n    def run(self, other=None):\n        {body}", space)
    assert object_use(space["Model"].run.__code__).whole


def test_an_object_that_comes_in_a_tuple_is_used_as_a_whole() -> None:
    def step(*args: Any) -> Any:
        return args[0].rate

    assert object_use(step.__code__).whole
