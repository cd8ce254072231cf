"""What notebooks and prompts show of our objects."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pandas as pd
import pytest

from consist import Artifact, Run, RunArtifacts
from consist.models import html

if TYPE_CHECKING:
    from consist import Tracker

HOSTILE = [
    "<script>alert(1)</script>",
    "\"onmouseover='x'",
    "a & b",
    "]]>",
    "line\nbreak",
    "größe 東京",
    "\ud800half",
    "\x00\x1b[31m",
    "x" * 10_000,
]
_EMPTY = {"br"}


class _Checked(HTMLParser):
    """Reads HTML, refuses what is not nested, and remembers tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(shown: Any) -> _Checked:
    text = shown if isinstance(shown, str) else shown._repr_html_()
    text.encode()
    found = _Checked(text)
    assert found.tags <= {
        "div", "table", "tr", "th", "td", "details", "summary", "pre", "svg",
    }, found.tags  # fmt: skip
    assert found.attributes <= {"style", "scope"}
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_only_text(name: str) -> None:
    now = datetime.now(UTC)
    run = Run(
        id=name, model_name=name, tags=[name], meta={name: name}, started_at=now,
        created_at=now, updated_at=now,
    )  # fmt: skip
    artifact = Artifact(id=uuid4(), key=name, container_uri=name, meta={name: name}, created_at=now)
    for shown in (run, artifact, RunArtifacts({name: artifact}, {name: artifact})):
        assert "alert" not in str(checked(shown).tags)
        assert "\n" not in repr(shown)
    assert len(checked(run).text) < 3_000


def test_only_what_is_html_already_is_not_escaped() -> None:
    assert html.cell("<b>") == "&lt;b&gt;"
    assert html.cell(html.cell("<b>")) == "&lt;b&gt;"
    assert html.cell(None) == ""
    assert html.cell(0) == "0"
    assert html.cell(["a", 1]) == "a, 1"


def test_long_tables_say_how_much_is_left_out() -> None:
    shown = checked(html.block("t", html.table(["n"], [(n,) for n in range(1_000)])))
    assert "… and 980 more" in shown.text
    assert "more" not in checked(html.block("t", html.table(["n"], [(1,)]))).text
    assert "… and 99 more" in checked(html.block("t", html.table(["n"], [(1,)], 100))).text


def test_facts_leave_out_what_is_absent_and_keep_what_is_zero() -> None:
    shown = checked(html.block("f", html.facts({"none": None, "text": "", "zero": 0, "no": False})))
    assert "none" not in shown.text
    assert "text" not in shown.text
    assert "zero0noFalse" in shown.text


def test_missing_and_unloaded_fields_break_nothing() -> None:
    for entity in (Run.model_construct(), Artifact.model_construct()):
        for name in [*vars(entity)]:
            if not name.startswith("_"):
                del vars(entity)[name]
        checked(entity)
        assert repr(entity) in {"Run()", "Artifact()"}


def test_an_entity_whose_session_is_gone_is_shown(tracker: Tracker) -> None:
    from sqlalchemy.orm import Session, load_only
    from sqlmodel import select

    with tracker.start_run("r", "m"):
        pass
    with Session(tracker.engine) as session:
        some: Any = Run
        run = session.execute(select(Run).options(load_only(some.id))).scalar_one()
        session.expunge_all()
    assert repr(run) == "Run(id='r')"
    assert "Run r" in checked(run).text


def test_a_plain_repr_says_the_essential_in_one_line(tracker: Tracker) -> None:
    def make() -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})

    done = tracker.run(make, run_id="r", year=2030, outputs=["t"])
    assert repr(done.run) == "Run(id='r', model_name='make', status='completed', year=2030)"
    shown = repr(done.output)
    assert shown.startswith("Artifact(key='t', driver='parquet', container_uri='./outputs/")
    assert str(done.output) == shown
    assert str(done.output.id) in shown
    found = tracker.get_artifacts_for_run("r")
    assert repr(found) == "RunArtifacts(inputs=[], outputs=['t'])"
    assert "\n" not in repr(done)


def test_a_result_tells_whether_it_came_from_the_cache(tracker: Tracker) -> None:
    def make() -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})

    first = tracker.run(make, run_id="r", outputs=["t"])
    again = tracker.run(make, run_id="again", outputs=["t"])
    assert "from the cacheno" in checked(first).text
    assert "from the cacheyes, of r" in checked(again).text
    assert "t" in checked(again).text
    assert "parquet" in checked(again).text
