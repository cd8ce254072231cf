"""Costs that must not grow with what is recorded already. Ratios, since machines differ."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.unit.store.worlds import document, open_store, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from consist.store.embedded import EmbeddedStore


def best(action: Callable[[], object], times: int = 15) -> float:
    """Return the CPU seconds of the fastest of several tries."""
    seconds: list[float] = []
    for _ in range(times):
        began = time.thread_time()
        action()
        seconds.append(time.thread_time() - began)
    return min(seconds)


def filled(folder: Path, runs: int) -> EmbeddedStore:
    store = open_store(folder)
    store.background._allowed = False
    for number in range(runs):
        store.append(document(f"run_{number}"))
    assert store.sync(60)
    return store


def test_appends_and_look_ups_cost_the_same_in_a_large_store(tmp_path: Path) -> None:
    small, large = filled(tmp_path / "small", 100), filled(tmp_path / "large", 3_000)
    done = [document() for _ in range(200)]
    for action in (
        lambda store: [store.append(one) for one in done],
        lambda store: [store.candidates(f"signature of run_{n}") for n in range(50)],
        lambda store: [store.candidates(f"never {n}") for n in range(200)],
    ):
        ratio = best(lambda: action(large)) / best(lambda: action(small))  # noqa: B023 - called at once
        assert ratio < 3
    small.close()
    large.close()


def test_merging_is_linear(tmp_path: Path) -> None:
    def seconds(folder: str, runs: int) -> float:
        store = open_store(tmp_path / folder)
        store.background._allowed = False
        for number in range(runs):
            store.append(document(f"run_{number}"))
        began = time.process_time()
        assert store.sync(60)
        took = time.process_time() - began
        assert table(store, "SELECT count(*) FROM run") == [(runs,)]
        store.close()
        return took

    assert seconds("large", 4_000) < 8 * seconds("small", 1_000)


def test_questions_do_not_read_what_they_read_before(tmp_path: Path) -> None:
    store = filled(tmp_path, 10)
    for number in range(3_000):
        store.append(document(f"more_{number}"))
    began = time.process_time()
    assert table(store, "SELECT count(*) FROM run") == [(3_010,)]
    first = time.process_time() - began
    began = time.process_time()
    store.append(document("one more"))
    assert table(store, "SELECT count(*) FROM run") == [(3_011,)]
    assert time.process_time() - began < first / 3
    store.close()


def test_a_long_notice_file_begins_again(tmp_path: Path) -> None:
    one, other = open_store(tmp_path), open_store(tmp_path, "other")
    assert not one.candidates("signature of x")
    one.folder.notice.write_bytes(b"0123456789abcdef\n" * 300_000)
    other.append(document("x"))
    assert one.candidates("signature of x")
    assert one.sync()
    assert one.folder.notice.stat().st_size < 1_000
    other.append(document("y"))
    assert one.candidates("signature of y")
    one.close()
    other.close()
