"""What a callable carries beyond its code: parameters count, state does not."""

from __future__ import annotations

import functools
import logging
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest

from consist.identity.carried import NOTHING, carried_values


def carries(fn: Any) -> dict[str, str]:
    return dict(carried_values(fn).values)


def double(x: int) -> int:
    return 2 * x


def triple(x: int) -> int:
    return 3 * x


# ---------------------------------------------------------------- parameters


def test_a_plain_function_carries_nothing() -> None:
    def step(a: int, b: int) -> int:
        return a + b

    assert carried_values(step) is NOTHING
    assert carried_values(step).values == {}
    assert carried_values(step).unseen == ()


def make(threshold: Any) -> Any:
    def step(x: float) -> bool:
        return x > threshold

    return step


def test_a_captured_value_counts_by_what_it_is() -> None:
    assert carries(make(0.5)) == carries(make(np.float64(0.5)))
    assert carries(make(0.5)).keys() == {"closure.threshold"}
    assert carries(make(0.5)) != carries(make(0.6))
    assert carries(make({"a": [1]})) != carries(make({"a": [2]}))


def test_a_captured_value_is_looked_at_anew_each_time() -> None:
    table = {"a": 1}
    step = make(table)
    before = carries(step)
    table["a"] = 2
    assert carries(step) != before


def test_defaults_count() -> None:
    def with_default(value: Any) -> Any:
        def step(x: int, n: Any = value, *, m: Any = value) -> Any:
            return x, n, m

        return step

    assert carries(with_default(1)).keys() == {"default.n", "default.m"}
    assert carries(with_default(1)) != carries(with_default(2))


def test_arguments_of_a_partial_count() -> None:
    step = functools.partial(double, 1)
    assert carries(step).keys() == {"partial[0]"}
    assert carries(step) != carries(functools.partial(double, 2))
    assert carries(functools.partial(double, x=1)).keys() == {"partial.x"}
    assert carries(functools.partial(make(3), 1)).keys() == {"partial[0]", "closure.threshold"}


def test_a_captured_callable_counts_by_name_and_source() -> None:
    assert carries(make(double)) == carries(make(double))
    assert carries(make(double)) != carries(make(triple))
    assert carries(make(double))["closure.threshold"].startswith(f"callable {__name__}.double ")
    assert carries(make(len))["closure.threshold"] == "callable builtins.len"
    assert carries(make(np.add)) != carries(make(np.multiply))


def test_two_captured_lambdas_of_one_line_are_two() -> None:
    one, two = make(lambda x: x + 1), make(lambda x: x + 2)
    assert carries(one) != carries(two)


def test_two_captured_functions_of_one_name_are_two() -> None:
    def chosen(fast: bool) -> Any:
        if fast:

            def kernel() -> int:
                return 1
        else:

            def kernel() -> int:
                return 2

        return make(kernel)

    assert carries(chosen(True)) != carries(chosen(False))


def test_a_captured_callable_brings_what_it_carries() -> None:
    assert carries(make(make(1))).keys() == {
        "closure.threshold",
        "closure.threshold/closure.threshold",
    }
    assert carries(make(make(1))) != carries(make(make(2)))
    assert carries(make(functools.partial(double, 1))) != carries(
        make(functools.partial(double, 2))
    )


def test_classes_and_modules_count_by_name() -> None:
    assert carries(make(Path))["closure.threshold"].startswith("class pathlib")
    assert carries(make(math)) == {"closure.threshold": "module math"}


def test_a_method_of_captured_data_brings_the_data() -> None:
    assert carries(make({"a": 1}.get)) != carries(make({"a": 2}.get))
    seen: list[int] = []
    before = carries(make(seen.append))
    seen.append(1)
    assert carries(make(seen.append)) == before


def test_a_function_that_calls_itself_comes_to_an_end() -> None:
    def outer(n: int) -> Any:
        def step(x: int) -> int:
            return step(x - 1) if x > n else 0

        return step

    assert carries(outer(1)).keys() == {"closure.n", "closure.step"}
    assert carries(outer(1)) != carries(outer(2))


def test_functions_that_call_each_other_come_to_an_end() -> None:
    def outer(n: int) -> Any:
        def even(x: int) -> bool:
            return x == n or odd(x - 1)

        def odd(x: int) -> bool:
            return x != n and even(x - 1)

        return even

    assert carries(outer(0)) == carries(outer(0))
    assert carries(outer(0)) != carries(outer(1))


def test_a_chain_of_captured_callables_is_followed_so_far() -> None:
    step: Any = double
    for _ in range(200):
        step = functools.partial(make(step), 1)
    found = carried_values(step)
    assert len(found.values) < 50
    assert any(label.endswith("…") for label in found.unseen)


def test_a_variable_that_has_no_value_yet_is_no_value() -> None:
    def outer() -> Any:
        def step() -> Any:
            return late

        found = carries(step)
        late = 1
        return found, carries(step)

    assert outer()[0] == {}
    assert outer()[1].keys() == {"closure.late"}


# ---------------------------------------------------------------- decorators


def repeat(times: int) -> Any:
    def decorate(fn: Any) -> Any:
        @functools.wraps(fn)
        def wrapper(*args: Any) -> Any:
            return [fn(*args) for _ in range(times)]

        return wrapper

    return decorate


def negate(fn: Any) -> Any:
    @functools.wraps(fn)
    def wrapper(*args: Any) -> Any:
        return -fn(*args)

    return wrapper


def identity_of(fn: Any) -> Any:
    @functools.wraps(fn)
    def wrapper(*args: Any) -> Any:
        return fn(*args)

    return wrapper


def test_a_decorator_counts_with_its_arguments() -> None:
    assert carries(repeat(2)(double)) == carries(repeat(2)(double))
    assert carries(repeat(2)(double)) != carries(repeat(3)(double))
    assert carries(repeat(2)(double)) != carries(double)


def test_two_decorators_are_two() -> None:
    assert carries(negate(double)) != carries(identity_of(double))


def test_a_cached_function_carries_what_it_caches() -> None:
    assert carries(functools.lru_cache(make(1))) == carries(make(1))


# ---------------------------------------------------------------- state


def test_a_list_that_is_appended_to_is_state() -> None:
    """The identity before a run and after it is the same, in any process."""
    calls: list[int] = []

    def step() -> None:
        calls.append(1)

    before = carried_values(step)
    step()
    assert carried_values(step) == before
    assert before.values == {}
    assert before.unseen == ()


def test_a_counter_that_is_rebound_is_state() -> None:
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    before = carried_values(step)
    step()
    assert carried_values(step) == before


def test_state_of_a_captured_function_is_state() -> None:
    calls: list[int] = []

    def record() -> None:
        calls.append(1)

    def step() -> None:
        record()

    before = carried_values(step)
    step()
    assert carried_values(step) == before
    assert before.values.keys() == {"closure.record"}


def test_a_default_that_is_appended_to_is_state() -> None:
    def step(x: int, seen: list[int] = []) -> None:  # noqa: B006
        seen.append(x)

    before = carried_values(step)
    step(1)
    assert carried_values(step) == before


def test_a_parameter_beside_state_still_counts() -> None:
    def outer(limit: int) -> Any:
        calls: list[int] = []

        def step(x: int) -> None:
            if x < limit:
                calls.append(x)

        return step

    assert carries(outer(1)).keys() == {"closure.limit"}
    assert carries(outer(1)) != carries(outer(2))


# ---------------------------------------------------------------- objects


class Simulation:
    __slots__ = ("__dict__", "rate")

    def __init__(self, rate: float, name: str = "s") -> None:
        self.rate = rate
        self.name = name
        self.runs = 0
        self.log: list[str] = []

    def run(self, x: float) -> float:
        self.runs += 1
        self._note("run")
        return self.rate * x + len(self.table) + len(self.name)

    def _note(self, text: str) -> None:
        self.log.append(text)

    def read_only(self) -> int:
        return self.runs

    @functools.cached_property
    def table(self) -> list[int]:
        return [1]

    @property
    def lazy(self) -> float:
        self.read = True
        return self.rate

    def through_property(self) -> float:
        return self.lazy

    @classmethod
    def build(cls) -> float:
        return 1.0

    def __call__(self) -> float:
        self.runs += 1
        return self.rate


class Faster(Simulation):
    pass


def test_a_method_carries_the_state_of_its_object() -> None:
    found = carries(Simulation(2).run)
    assert found.keys() == {"self", "self.rate", "self.name"}
    assert found == carries(Simulation(2).run)
    assert found != carries(Simulation(3).run)
    assert found != carries(Simulation(2, name="other").run)
    assert found != carries(Faster(2).run)


def test_what_a_method_changes_on_its_object_is_state() -> None:
    simulation = Simulation(2)
    before = carried_values(simulation.run)
    simulation.run(1)
    assert simulation.log == ["run"]
    assert carried_values(simulation.run) == before
    assert "self.runs" in carries(simulation.read_only)


def test_what_a_property_changes_on_the_object_is_state() -> None:
    simulation = Simulation(2)
    before = carried_values(simulation.through_property)
    simulation.through_property()
    assert carried_values(simulation.through_property) == before


def test_attributes_that_a_method_does_not_use_do_not_count() -> None:
    """What the surrounding code keeps on the same object makes no run another run."""

    class Pipeline:
        def __init__(self) -> None:
            self.rate, self.offset, self.results = 1, 2, []

        def step(self, x: float) -> float:
            return self.rate * x + self._shift()

        def _shift(self) -> float:
            return self.offset

        @identity_of
        def decorated(self) -> float:
            return self.offset

        def calls_decorated(self) -> float:
            return self.decorated()

        def whole(self) -> str:
            return repr(self)

    pipeline = Pipeline()
    assert carries(pipeline.step).keys() == {"self", "self.rate", "self.offset"}
    assert "self.offset" in carries(pipeline.calls_decorated)
    before, whole = carries(pipeline.step), carries(pipeline.whole)
    pipeline.results.append("found")
    assert carries(pipeline.step) == before
    assert carries(pipeline.whole) != whole
    pipeline.offset = 3
    assert carries(pipeline.step) != before


def test_what_a_method_of_the_parent_uses_counts() -> None:
    class Child(Simulation):
        def read_only(self) -> int:
            return super().read_only()

    one = Child(2)
    before = carries(one.read_only)
    one.runs = 5
    assert carries(one.read_only) != before


def test_an_object_with_a_call_is_a_method() -> None:
    assert carries(Simulation(2)) != carries(Simulation(3))
    simulation = Simulation(2)
    before = carried_values(simulation)
    simulation()
    assert carried_values(simulation) == before


def test_a_decorated_method_carries_the_state_of_its_object() -> None:
    class Decorated(Simulation):
        @functools.lru_cache  # noqa: B019
        def cached(self) -> float:
            self.runs += 1
            return self.rate

        @identity_of
        def wrapped(self) -> float:
            self.runs += 1
            return self.rate

    for name in ("cached", "wrapped"):
        one = Decorated(2)
        before = carried_values(getattr(one, name))
        getattr(one, name)()
        assert carried_values(getattr(one, name)) == before
        assert carried_values(getattr(Decorated(3), name)) != before


def test_a_class_method_carries_no_object() -> None:
    assert carries(Simulation.build) == {"self": f"class {__name__}.Simulation"}
    assert carries(Simulation) == {}


def test_models_and_dataclasses_carry_their_fields() -> None:
    class Model(pydantic.BaseModel):
        rate: float
        _cache: int = pydantic.PrivateAttr(default=0)

        def run(self) -> float:
            self._cache += 1
            return self.rate

    @dataclass
    class Data:
        rate: float

        def run(self) -> float:
            return self.rate

    for cls in (Model, Data):
        one = cls(rate=1)
        before = carries(one.run)
        one.run()
        assert before.keys() == {"self", "self.rate"}
        assert carries(one.run) == before
        assert carries(cls(rate=2).run) != before


def test_what_a_dataclass_holds_beside_its_fields_is_carried() -> None:
    @dataclass
    class Data:
        rate: float

        def __post_init__(self) -> None:
            self.scale = scale

        def run(self) -> float:
            return self.rate * self.scale

    scale = 1
    before = carries(Data(1).run)
    scale = 2
    assert carries(Data(1).run) != before


def test_a_mapping_with_methods_carries_its_content() -> None:
    class Table(dict[str, int]):
        def look_up(self) -> int:
            return self["a"]

    assert carries(Table(a=1).look_up) != carries(Table(a=2).look_up)


def test_a_captured_object_with_a_call_counts_by_its_state() -> None:
    assert carries(make(Simulation(2))) == carries(make(Simulation(2)))
    assert carries(make(Simulation(2))) != carries(make(Simulation(3)))


# ---------------------------------------------------------------- unseen


def test_what_has_no_identity_is_unseen_and_no_error() -> None:
    frame = pd.DataFrame({"a": [1]})
    logger = logging.getLogger("step")

    def step(x: int, lock: Any = object()) -> Any:  # noqa: B008
        return frame, logger, x, lock

    found = carried_values(step)
    assert found.unseen == ("closure.frame", "closure.logger", "default.lock")
    assert found.values == {}


def test_unseen_parts_are_named_where_they_are() -> None:
    class Holder:
        def __init__(self) -> None:
            self.handle = object()
            self.rate = 1

        def run(self) -> Any:
            return self.handle, self.rate

    found = carried_values(make(Holder().run))
    assert found.unseen == ("closure.threshold/self.handle",)
    assert "closure.threshold/self.rate" in found.values


@pytest.mark.parametrize("fn", [len, [].append, int, np.add, print])
def test_compiled_callables_carry_little(fn: Any) -> None:
    assert carried_values(fn).unseen == ()


def test_identity_is_the_same_in_another_process() -> None:
    script = (
        "import functools\n"
        "from consist.identity.carried import carried_values\n"
        "def make(names, fn):\n"
        "    calls = []\n"
        "    def step(x, n={'a', 'b', 'c'}):\n"
        "        calls.append(x)\n"
        "        return fn(names)\n"
        "    return step\n"
        "step = make({'x': {1, 2, 'y'}}, functools.partial(print, sep=' '))\n"
        "print(sorted(carried_values(step).values.items()))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            env={"PYTHONPATH": "src", "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
