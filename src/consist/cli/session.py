"""What commands share while a shell is open: its tracker, and what it listed last."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from consist.core.visitor import Visitor

Listed = Literal["runs", "artifacts"]


class Context(NamedTuple):
    """Which database is looked at, and where its files are; absolute paths as text.

    Attributes
    ----------
    db_path : str
        The database.
    run_dir : str
        Folder of ``./…`` and ``workspace://…``.
    mounts : tuple of (str, str)
        Name and folder of each mount, sorted.
    trust_db : bool
        Whether folders that the database names count.
    """

    db_path: str
    run_dir: str
    mounts: tuple[tuple[str, str], ...] = ()
    trust_db: bool = False


@dataclass
class Session:
    """An open shell.

    Attributes
    ----------
    context : Context
        What its tracker was opened with.
    tracker : Visitor
        Stays open between commands, and holds the database only while it asks.
    rows : dict
        Ids of the last list of runs and of artifacts, in the order they were shown.
    """

    context: Context
    tracker: Visitor
    rows: dict[Listed, list[str]] = field(default_factory=dict[Listed, list[str]])


_current: list[Session] = []


def current() -> Session | None:
    """Return the session of the shell that runs this command, if one does."""
    return _current[-1] if _current else None


@contextmanager
def entered(session: Session) -> Generator[Session]:
    """Let commands in the block use the tracker of a session."""
    _current.append(session)
    try:
        yield session
    finally:
        _current.pop()


def listed(kind: Listed, ids: Iterable[object]) -> None:
    """Remember what a command lists, so that ``#3`` or ``@3`` can mean its third row."""
    session = current()
    if session is not None:
        session.rows[kind] = [str(identity) for identity in ids]


def numbered(sign: str, rows: Iterable[Sequence[object]]) -> list[Sequence[object]]:
    """Return the rows of a list; in a shell, the first cell of each says what means the row."""
    shown = list(rows)
    if current() is None:
        return shown
    width = len(f"{sign}{len(shown)}")
    return [
        (f"{f'{sign}{number}':<{width}} {first}", *others)
        for number, (first, *others) in enumerate(shown, 1)
    ]
