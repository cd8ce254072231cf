"""Writes the fixture of stored version 2; it was run once, by the code of that time.

It is what version 1 has, with changes of recorded runs, one purged run, and a set of packages.
``python -m tests.golden.store.make_v2`` refuses to write over what is there.
"""

from __future__ import annotations

import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path

from consist.models.record import Change, ChangeEvent, PackagesEvent, PurgeEvent
from consist.settings import Settings
from consist.store.embedded import EmbeddedStore
from tests.golden.store import make_v1
from tests.golden.store.make_v1 import RUN_DIR, START, document

TARGET = Path(__file__).with_name("v2")


def change(number: int, name: str, **said: object) -> ChangeEvent:
    at = START + timedelta(hours=number)
    made = Change(id=f"{number:032x}", at=at, by="golden@golden-host", **said)  # type: ignore[arg-type]
    return ChangeEvent(f"{document(1, name).run.uid}", name, made, RUN_DIR)


def write(folder: Path) -> None:
    make_v1.write(folder)
    settings = Settings(cache_dir=str(folder / "cache"))
    store = EmbeddedStore(folder / "db.duckdb", folder / "runs", settings)
    purged = document(7, "purged")
    store.append(purged)
    store.change([change(1, "base", tags=("seen",), untagged=("golden",), note="looks well")])
    store.remember_packages(PackagesEvent("packages", {"numpy": "2.0"}, START))
    store.sync()
    store.purge(PurgeEvent(runs={purged.run.uid: "purged"}, at=START, by="golden@golden-host"))
    # The rest stays in the journal.
    news = {"00000000-0000-4000-8000-000000000002": {"checked": True}}
    store.change([change(2, "base", invalid=True, reason="a wrong rate", news=news)])
    sys.stdout.flush()


def main() -> None:
    if TARGET.exists() and any(TARGET.iterdir()):
        sys.exit(f"{TARGET} is there and is never written again")
    pid = os.fork()
    if pid == 0:
        write(TARGET)
        os._exit(9)  # no clean end: journals and lock files stay as a kill leaves them
    os.waitpid(pid, 0)
    shutil.rmtree(TARGET / "cache", ignore_errors=True)
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "memo.sqlite"):
        (TARGET / "db.duckdb.journal" / name).unlink(missing_ok=True)
    state = TARGET / "db.duckdb.journal/store.json"
    state.write_text(state.read_text().replace(str(TARGET / "runs"), RUN_DIR))


if __name__ == "__main__":
    main()
