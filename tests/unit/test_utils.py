"""Helpers for workflow code: what the steps of a project publish."""

from __future__ import annotations

import functools
import logging
from typing import Any

import pytest

from consist import Coupler, define_step
from consist.utils import collect_step_schema


@define_step(outputs=["skims"], description="travel times")
def assign() -> None: ...


@define_step(outputs=["skims", "flows"], schema_outputs=["flows", "log"])
def simulate() -> None: ...


@define_step(schema_outputs={"zones": "where people live", "links": None})
def prepare() -> None: ...


@define_step(outputs=lambda context: [f"{region}/prices" for region in context.settings_of()])
def unclear() -> None: ...


@define_step(outputs=lambda context: [f"{r}/prices" for r in context.runtime_settings["regions"]])
def dispatch() -> None: ...


def plain() -> None: ...


def test_the_keys_of_steps_have_the_description_of_who_publishes_them() -> None:
    # background 1.4, 6.6
    steps = [assign, simulate, functools.partial(prepare), plain]
    assert collect_step_schema(steps, extra_keys=["more"]) == {
        "more": "added by hand",
        "skims": "travel times",
        "flows": "output of simulate",
        "log": "output of simulate",
        "zones": "where people live",
        "links": "output of prepare",
    }
    assert collect_step_schema([], extra_keys={"more": "text"}) == {"more": "text"}
    assert collect_step_schema([]) == {}


def test_a_coupler_takes_the_schema_as_it_is() -> None:
    # COUP-014, COUP-018: "coupler.declare_outputs(*schema, description=schema)"
    schema = collect_step_schema([assign, simulate])
    coupler = Coupler()
    coupler.require_outputs(*schema, description=schema)
    assert coupler.missing_declared_outputs() == ["skims", "flows", "log"]
    assert coupler.describe_outputs() == schema


def test_computed_keys_are_left_out_with_a_warning_where_they_need_a_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # background 1.4
    with caplog.at_level(logging.WARNING):
        assert collect_step_schema([unclear, assign]) == {"skims": "travel times"}
        assert "'unclear'" in caplog.text
        caplog.clear()
        assert collect_step_schema([dispatch], warn_unresolvable=False) == {}
        assert caplog.text == ""
        found = collect_step_schema([dispatch], settings={"regions": ["north"]})
        assert found == {"north/prices": "output of dispatch"}
        assert caplog.text == ""


@pytest.mark.parametrize("wrong", [{"steps": ["assign"]}, {"steps": [], "extra_keys": "skims"}])
def test_what_is_no_step_and_no_list_is_an_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"not a (function|list)"):
        collect_step_schema(**wrong)
