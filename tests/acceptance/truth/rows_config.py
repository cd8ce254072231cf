"""Rows: config, labels, model and year, versions and epochs."""

from __future__ import annotations

from tests.acceptance.truth.project import edit
from tests.acceptance.truth.row import HIT, MISS, Group, Outcome, Process, always, error, nothing

CONFIG = Group(
    "Config",
    "The config is compared by value. The code stays as it is, so all modes agree.",
)
LABELS = Group(
    "The other fields of a run",
    "What identifies a run, and what only labels it.",
)

FILES = {
    "settings.py": """
    from dataclasses import dataclass
    from enum import Enum

    from pydantic import BaseModel, Field, SecretStr


    class Mode(Enum):
        CAR = "car"
        BUS = "bus"


    @dataclass
    class Plan:
        rate: float = 1.0
        zones: int = 3


    class Service(BaseModel):
        url: str = "https://example.org"
        note: str = Field(default="", exclude=True)
        token: SecretStr = SecretStr("one")


    class Other(BaseModel):
        url: str = "https://example.org"
        note: str = Field(default="", exclude=True)
        token: SecretStr = SecretStr("one")
    """,
    "steps.py": "def step(speed=1):\n    print(2 * 3)\n",
}
_OPENING = """
import functools, math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import settings, steps
noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
"""

_VALUES: list[tuple[str, str, str, Outcome, str]] = [
    ("`1` and `2`", "1", "2", MISS, "another value"),
    ("`1` and `1.0`", "1", "1.0", HIT, "numbers are the same if they are equal"),
    ("`1` and `True`", "1", "True", MISS, "`True` is no number here"),
    ("`0` and `False`", "0", "False", MISS, "`False` is no number here"),
    ('`1` and `"1"`', "1", "'1'", MISS, "a text is no number"),
    ("`0.1 + 0.2` and `0.3`", "0.1 + 0.2", "0.3", MISS, "nothing is rounded"),
    ("`0.0` and `-0.0`", "0.0", "-0.0", HIT, "they are equal"),
    ("`2**53` and `2**53 + 1`", "2**53", "2**53 + 1", MISS, "no digit is lost"),
    ("NaN and NaN", "math.nan", "float('nan')", HIT, "every NaN is the same"),
    ("infinity and a big number", "math.inf", "1e308", MISS, "another value"),
    ("`None` and a key that is missing", "None", "MISSING", MISS, "a missing key is not `None`"),
    ("`None` and the text `None`", "None", "'None'", MISS, "a text is not `None`"),
    ("an empty text and `None`", "''", "None", MISS, "a text is not `None`"),
    ("an empty list and an empty mapping", "[]", "{}", MISS, "another kind"),
    ("the order of a list", "[1, 2]", "[2, 1]", MISS, "lists have an order"),
    ("a list and a tuple", "[1, 2]", "(1, 2)", HIT, "both are a sequence"),
    ("a list in a list", "[[1, 2], [3]]", "[[1], [2, 3]]", MISS, "nesting counts"),
    ("the order of keys", "{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", HIT, "mappings have no order"),
    (
        "the order of keys deep inside",
        "[{'x': {'a': 1, 'b': 2}}]",
        "[{'x': {'b': 2, 'a': 1}}]",
        HIT,
        "mappings have no order",
    ),
    ("a value deep inside", "[{'x': {'a': 1}}]", "[{'x': {'a': 2}}]", MISS, "another value"),
    ("a number and a text as key", "{1: 'x'}", "{'1': 'x'}", MISS, "a text is no number"),
    ("the order of a set", "{'a', 'b'}", "{'b', 'a'}", HIT, "sets have no order"),
    ("a set and a list", "{1, 2}", "[1, 2]", MISS, "a list has an order, a set has none"),
    ("a date and the day after", "date(2030, 1, 1)", "date(2030, 1, 2)", MISS, "another day"),
    (
        "a date and its midnight",
        "date(2030, 1, 1)",
        "datetime(2030, 1, 1)",
        MISS,
        "a day is no moment",
    ),
    ("a date and its text", "date(2030, 1, 1)", "'2030-01-01'", MISS, "a text is no date"),
    (
        "one moment in two time zones",
        "noon",
        "noon.astimezone(timezone(timedelta(hours=1)))",
        HIT,
        "the same moment",
    ),
    ("a time with and without a zone", "noon", "noon.replace(tzinfo=None)", MISS, "no moment"),
    ("a duration", "timedelta(hours=1)", "timedelta(hours=2)", MISS, "another value"),
    ("`Decimal` 1 and 1.00", "Decimal('1')", "Decimal('1.00')", HIT, "they are equal"),
    ("`Decimal` 1.1 and the float", "Decimal('1.1')", "1.1", MISS, "they are not equal"),
    ("a member of an enum", "settings.Mode.CAR", "settings.Mode.BUS", MISS, "another member"),
    ("the same member of an enum", "settings.Mode.CAR", "settings.Mode('car')", HIT, "the same"),
    ("a numpy number and a float", "np.float32(0.5)", "0.5", HIT, "they are equal"),
    ("a numpy whole number and an int", "np.int64(3)", "3", HIT, "they are equal"),
    ("`np.float32(0.1)` and `0.1`", "np.float32(0.1)", "0.1", MISS, "they are not equal"),
    ("`np.bool_` and `bool`", "np.bool_(True)", "True", HIT, "the same truth"),
    ("the same array", "np.arange(3)", "np.array([0, 1, 2])", HIT, "the same type, shape, bytes"),
    ("a value of an array", "np.array([1, 2])", "np.array([1, 3])", MISS, "other bytes"),
    (
        "the type of an array",
        "np.array([1, 2])",
        "np.array([1.0, 2.0])",
        MISS,
        "it computes otherwise",
    ),
    (
        "the shape of an array",
        "np.zeros(4)",
        "np.zeros((2, 2))",
        MISS,
        "another shape",
    ),
    (
        "the layout of an array in memory",
        "np.arange(4).reshape(2, 2)",
        "np.asfortranarray(np.arange(4).reshape(2, 2))",
        HIT,
        "the same type, shape and values",
    ),
    ("a path and its text", "Path('a/b')", "'a/b'", MISS, "a text is no path"),
    ("a path spelled otherwise", "Path('a/b')", "Path('a//b/.')", HIT, "the same path"),
    ("bytes and text", "b'a'", "'a'", MISS, "a text is no bytes"),
    ("a text with a blank at its end", "'car'", "'car '", MISS, "another text"),
    ("the case of a text", "'car'", "'Car'", MISS, "another text"),
    (
        "a field of a dataclass",
        "settings.Plan(rate=1.0)",
        "settings.Plan(rate=2.0)",
        MISS,
        "another value",
    ),
    (
        "a default of a dataclass, spelled out",
        "settings.Plan()",
        "settings.Plan(rate=1, zones=3)",
        HIT,
        "all fields count, given or default",
    ),
    (
        "a default of a model, spelled out",
        "settings.Service()",
        "settings.Service(url='https://example.org')",
        HIT,
        "all fields count, given or default",
    ),
    (
        "a field of a model that is excluded from its dump",
        "settings.Service(note='a')",
        "settings.Service(note='b')",
        MISS,
        "the step can read it",
    ),
    (
        "a secret",
        "settings.Service(token='one')",
        "settings.Service(token='two')",
        MISS,
        "it counts by a salted digest, and is never shown",
    ),
    (
        "the class of a model",
        "settings.Service()",
        "settings.Other()",
        MISS,
        "another class may mean something else by its fields",
    ),
    (
        "a model and a mapping of its fields",
        "settings.Plan()",
        "{'rate': 1.0, 'zones': 3}",
        MISS,
        "a mapping is no model",
    ),
]


def _code(value: str) -> str:
    config = "{}" if value == "MISSING" else f"{{'value': {value}}}"
    return f"{_OPENING}ask(steps.step, config={config})\n"


for name, one, other, outcome, why in _VALUES:
    CONFIG.row(
        f"config: {name}",
        nothing,
        always(outcome),
        why,
        files=FILES,
        code=_code(one),
        then=_code(other),
        shares="values",
    )
for name, value, says in [
    ("a table of pandas", "__import__('pandas').DataFrame({'zone': [1]})", "config['value']"),
    ("a function", "lambda zone: zone + 1", "config['value']"),
    ("a generator of random numbers", "np.random.default_rng(1)", "config['value']"),
    ("an object of an own class without fields", "object()", "config['value']"),
]:
    CONFIG.row(
        f"config: {name}",
        nothing,
        always(error(TypeError, says)),
        "what has no defined identity is refused, never guessed",
        files=FILES,
        code=_code(value),
        first=error(TypeError, says),
        shares="values",
    )
CONFIG.row(
    "config: the whole config is another class of model",
    nothing,
    always(MISS),
    "another class may mean something else by its fields",
    files=FILES,
    code=f"{_OPENING}ask(steps.step, config=settings.Service())\n",
    then=f"{_OPENING}ask(steps.step, config=settings.Other())\n",
    shares="values",
)
CONFIG.row(
    "config: a default in the class of a model",
    edit("settings.py", "zones: int = 3", "zones: int = 4"),
    always(MISS),
    "all fields count, given or default",
    files=FILES,
    code=_code("settings.Plan()"),
)
CONFIG.row(
    "config: A, then B, then A",
    nothing,
    always(HIT),
    "both entries stay",
    files=FILES,
    code=_code("1"),
    between=[Process(expected=always(MISS), code=_code("2"))],
)

# ---------------------------------------------------------------- labels

_FIELDS: list[tuple[str, str, Outcome, str]] = [
    ("tags", "tags=['draft']", HIT, "a label"),
    ("description", "description='a first try'", HIT, "a label"),
    ("facet", "facet={'alpha': 1}", HIT, "for queries"),
    ("stage and phase", "stage='calibration', phase='warm-up'", HIT, "labels"),
    ("run id", "run_id='my_favorite'", HIT, "a label"),
    ("`runtime_kwargs`", "runtime_kwargs={'speed': 2}", HIT, "for what never changes a result"),
    ("year", "year=2030", MISS, "part of the identity"),
    ("iteration", "iteration=1", MISS, "part of the identity"),
    ("iteration 0", "iteration=0", MISS, "none is not zero"),
    ("model", "model='demand'", MISS, "part of the identity"),
    (
        "`cache_version`",
        "cache_options=CacheOptions(cache_version=2)",
        MISS,
        "part of the identity",
    ),
    ("`cache_epoch`", "cache_options=CacheOptions(cache_epoch=2)", MISS, "part of the identity"),
    (
        "`cache_epoch` of the default, spelled out",
        "cache_options=CacheOptions(cache_epoch=1)",
        HIT,
        "the same epoch",
    ),
    (
        "outputs that are copied: the policy",
        "cache_options=CacheOptions(cache_hydration='inputs-missing')",
        HIT,
        "how bytes are given back is no identity",
    ),
    ("an empty config", "config={}", HIT, "no config is an empty one"),
]
_ASK = "from consist import CacheOptions\nimport steps\nask(steps.step{options})\n"
for name, options, outcome, why in _FIELDS:
    LABELS.row(
        f"field: {name}",
        nothing,
        always(outcome),
        why,
        files=FILES,
        code=_ASK.format(options=""),
        then=_ASK.format(options=f", {options}"),
        shares="values",
    )
_SCENARIO = """
import steps

def flow(tracker, folder):
    with tracker.scenario({name!r}{options}) as sc:
        return sc.run(steps.step)

each(flow)
"""
for name, first, then, outcome, why in [
    ("another scenario", ("base", ""), ("policy", ""), HIT, "scenarios share what is the same"),
    (
        "the config of the scenario",
        ("base", ", config={'a': 1}"),
        ("base", ", config={'a': 2}"),
        HIT,
        "it describes the scenario; steps have their own",
    ),
    (
        "the epoch of the scenario",
        ("base", ""),
        ("base", ", cache_epoch=2"),
        MISS,
        "it counts for all of its steps",
    ),
]:
    LABELS.row(
        f"field: {name}",
        nothing,
        always(outcome),
        why,
        files=FILES,
        code=_SCENARIO.format(name=first[0], options=first[1]),
        then=_SCENARIO.format(name=then[0], options=then[1]),
    )
_EPOCH = "import steps\nask(steps.step, tracker={{'cache_epoch': {}}})\n"
LABELS.row(
    "field: the epoch of the tracker",
    nothing,
    always(MISS),
    "it counts for every run",
    files=FILES,
    code=_EPOCH.format(1),
    then=_EPOCH.format(2),
)
LABELS.row(
    "field: the epoch of the tracker is lowered again",
    nothing,
    always(HIT),
    "a raised number makes another identity; the old one is still known",
    files=FILES,
    code=_EPOCH.format(1),
    between=[Process(expected=always(MISS), code=_EPOCH.format(2))],
)
LABELS.row(
    "field: `cache_version` of the step's definition",
    edit("steps.py", "cache_version=1", "cache_version=2"),
    always(MISS),
    "part of the identity, and of the function's text",
    files={
        "steps.py": """
        from consist import define_step


        @define_step(cache_version=1)
        def step():
            print(2 * 3)
        """
    },
)
LABELS.row(
    "field: `run` and `sc.run` of one step",
    nothing,
    always(HIT),
    "how a step is called is no identity",
    files=FILES,
    then=_SCENARIO.format(name="base", options=""),
)
