"""Which store this is, and whether the database file is still the one that its journals know.

Database, journal folder and index carry one store id; database and folder also the number of the
last merge. So a database that was deleted, restored, replaced, or shared without its journals is
noticed. The usual check costs two stats: the file looks as the last merge left it.
"""

from __future__ import annotations

from consist.errors import StoreDamaged, StoreLocked, StoreUnwritable
from consist.models.record import replace
from consist.store.database import ALIAS, Database
from consist.store.folder import JournalFolder, Stamp, StoreState
from consist.store.migrations import check_version, store_values


class Belonging:
    """What this process believes about the store.

    Attributes
    ----------
    state : StoreState
        As last read from the journal folder.
    doubt : str or None
        Why it is not known whether the database is the right one.
    refill : bool
        Whether the database lacks what it once had; the next merge fills it in.
    """

    def __init__(self, folder: JournalFolder, database: Database) -> None:
        self.folder, self.database = folder, database
        self.doubt: str | None = None
        self.refill = False
        self._seen: Stamp | None = None
        self._looked_like: Stamp | None = None
        self.state = self._first_state()

    def _first_state(self) -> StoreState:
        self._seen = self.folder.state_stamp()
        state = self.folder.state()
        if state is not None:
            return state
        state = self.folder.set_up(None)
        self._seen = self.folder.state_stamp()
        return state

    def look(self, wait: float) -> None:
        """Notice what others did to the folder or to the database file.

        Parameters
        ----------
        wait : float
            Seconds to wait for the file if it does not look as expected.

        Raises
        ------
        StoreTooNew
            If a newer library wrote the folder or the database.
        """
        seen = self.folder.state_stamp()
        if seen != self._seen:
            self._seen = seen
            self.state = self.folder.state() or self.state
        stamp = self.folder.stamp()
        if stamp == self.state.database:
            self.doubt, self.refill = None, False
        elif stamp is None:
            self.doubt, self.refill = None, self.state.generation > 0
        elif stamp == self._looked_like and self.doubt is None:
            return
        elif not self.database.is_being_merged:  # the merger looks for itself, and notes it
            self._examine(stamp, wait)

    def _examine(self, stamp: Stamp, wait: float) -> None:
        try:
            with self.database.reading(wait) as connection:
                values = store_values(connection, ALIAS)
        except (StoreLocked, StoreDamaged, StoreUnwritable) as error:
            self.doubt = str(error)
            return
        check_version(int(values.get("schema_version", 0)), str(self.database.path))
        self.doubt, self._looked_like = None, stamp
        store_id, generation = values.get("store_id"), int(values.get("generation", 0))
        if store_id == self.state.store_id and generation >= self.state.generation:
            self.refill = False
            self._note(replace(self.state, generation=generation, database=stamp))
        elif self.state.generation > 0:
            self.refill = True
        elif store_id is not None:
            # Shared without its journals: what it holds is only known from itself.
            self._note(
                replace(
                    self.state,
                    store_id=store_id,
                    generation=generation,
                    cleared=generation,
                    database=stamp,
                )
            )

    def _note(self, found: StoreState) -> None:
        """Let others find the file as it is, unless somebody merged meanwhile."""

        def change(state: StoreState | None) -> StoreState:
            if state is not None and state.generation > found.generation:
                return state
            known = self.state if state is None else state
            return replace(found, run_dirs=known.run_dirs)

        try:
            self.state = self.folder.change(change)
        except StoreUnwritable:
            self.state = found
        self._seen = self.folder.state_stamp()
