"""Identity: the signature of a run, and digests of files."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from benchmarks.harness import Figure, Sizes, Work, alternate, at_most, at_most_times, calls
from consist.files.memo import Memo
from consist.identity import InputIdentity, RunFields, config_digest, inputs_digest, signature

_PIECE = 2**20

_CONFIG = {
    "scenario": "baseline",
    "start": date(2030, 1, 1),
    "growth": {year: 0.01 * (year - 2020) for year in range(2020, 2050)},
    "modes": {name: {"cost": 0.2, "speed": 30.0, "access": [1.5, 2.0]} for name in "abcdefgh"},
    "zones": list(range(100)),
    "folder": Path("inputs") / "skims",
}


def signatures(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    del folder
    count = sizes.calls * 4
    found = alternate(
        {
            "ours": calls(lambda _: _signature(), count),
            "json": calls(lambda _: _plain_signature(), count),
        },
        sizes.rounds,
        count,
    )
    ours, plain = found["ours"], found["json"]
    yield Figure(
        work="signature of a config of 160 values and 3 inputs",
        ours=ours.seconds,
        cpu=ours.cpu_seconds,
        reference="json.dumps(sort_keys=True) and SHA-256",
        theirs=plain.seconds,
        ratio=ours.over(plain),
    )


def _signature() -> str:
    config = config_digest(_CONFIG, RunFields(model="trips", year=2030, cache_epoch=1))
    inputs = [InputIdentity(digest=f"{n:064x}", name=f"input_{n}") for n in range(3)]
    return signature("0" * 64, config, inputs_digest(inputs))


def _plain_signature() -> str:
    text = json.dumps(_CONFIG, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def large_file(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "large.bin"
    piece = os.urandom(_PIECE)
    with path.open("wb") as file:
        for _ in range(max(sizes.large_file // _PIECE, 1)):
            file.write(piece)
    time.sleep(0.05)

    def ours(_: int) -> Work:
        memo = Memo()
        return lambda: memo.digest(path)

    def plain(_: int) -> Work:
        def work() -> None:
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")

        return work

    rounds = min(sizes.rounds, 5)
    found = alternate({"ours": ours, "plain": plain}, rounds)
    first, pass_ = found["ours"], found["plain"]
    yield Figure(
        work=f"digest of a file of {path.stat().st_size // 2**20} MB",
        ours=first.seconds,
        cpu=first.cpu_seconds,
        reference="one SHA-256 pass",
        theirs=pass_.seconds,
        ratio=first.over(pass_),
        goals=[at_most_times(first.over(pass_), 1.1)],
    )
    kept = folder / "memo.sqlite"
    memo = Memo(kept)
    memo.digest(path)
    memo.close()

    def in_a_new_memo(_: int) -> Work:
        return lambda: Memo(kept).digest(path)

    again = alternate({"again": calls(lambda _: memo.digest(path), 100)}, sizes.rounds, 100)
    anew = alternate({"anew": in_a_new_memo}, sizes.rounds)
    for work, found_again in (
        ("… again, unchanged", again["again"]),
        ("… again, in a new memo over the same file", anew["anew"]),
    ):
        yield Figure(
            work=work,
            ours=found_again.seconds,
            cpu=found_again.cpu_seconds,
            goals=[at_most(found_again.judged, 1e-3)],
        )
    path.unlink()
