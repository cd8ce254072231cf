"""What a spawned worker runs: a module of its own, as spawn imports it by name."""

from __future__ import annotations

from pathlib import Path

from tests.unit.store.worlds import document, open_store, record

_stores: dict[str, object] = {}


def work(task: tuple[str, int]) -> bool:
    folder, number = task
    store = _stores.get(folder) or _stores.setdefault(folder, open_store(Path(folder), "spawned"))
    record(store, document(f"child {number}"))  # type: ignore[arg-type]
    return True
