"""The bar appears on terminals, after a while, and only there."""

from __future__ import annotations

import io
import threading
import time

import pytest

from consist import progress as room
from consist.errors import UsageError
from consist.progress import progress, working
from consist.settings import Settings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(stream: io.StringIO, *, shown: bool = True) -> str:
    with progress("copying", lambda: 100, shown=shown, stream=stream) as advance:
        threads = [threading.Thread(target=advance, args=(25,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return stream.getvalue()


def test_long_work_on_a_terminal_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "DELAY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    assert "copying" in work(Terminal())


def test_short_work_is_not() -> None:
    assert work(Terminal()) == ""


def test_nor_is_work_away_from_terminals_or_by_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "DELAY", 0.0)
    assert work(io.StringIO()) == ""
    assert work(Terminal(), shown=False) == ""


def test_the_total_is_only_counted_where_it_is_shown() -> None:
    def never() -> int:
        raise AssertionError

    with progress("copying", never, stream=io.StringIO()) as advance:
        advance(1)


def test_a_bar_ends_with_the_work_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "DELAY", 0.0)

    def fail() -> None:
        with progress("copying", lambda: 1, stream=Terminal()) as advance:
            advance(1)
            raise KeyError

    before = threading.active_count()
    with pytest.raises(KeyError):
        fail()
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)  # its thread is told to end, and takes a moment
    assert threading.active_count() == before


def test_an_environment_variable_silences_it() -> None:
    assert Settings.from_environment({}).progress
    assert not Settings.from_environment({"CONSIST_PROGRESS": "0"}).progress
    with pytest.raises(UsageError, match="CONSIST_PROGRESS"):
        Settings.from_environment({"CONSIST_PROGRESS": "maybe"})


def test_work_without_a_known_end_is_shown_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "DELAY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with working("ingesting trips", stream=stream):
        until = time.monotonic() + 5
        while "ingesting trips" not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        assert "ingesting trips" in stream.getvalue()
    ended = stream.getvalue()
    time.sleep(0.15)  # it would be drawn ten times a second
    assert stream.getvalue() == ended


def test_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    quick, away = Terminal(), io.StringIO()
    with working("ingesting trips", stream=quick):
        pass
    monkeypatch.setattr(room, "DELAY", 0.0)
    with working("ingesting trips", stream=away):
        assert threading.active_count() <= before + 1  # the first one's may not have ended
    with working("ingesting trips", shown=False, stream=quick):
        pass
    assert (quick.getvalue(), away.getvalue()) == ("", "")
