"""Named views over what runs recorded under one key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consist.artifacts.keys import check_key
from consist.views.members import of_key
from consist.views.shelf import View, check_name, shelf_of

if TYPE_CHECKING:
    from consist.workspace import Workspace


def create_view(ws: Workspace, view_name: str, concept_key: str) -> str:
    """Make a SQL view over every recorded table of a key, whichever run it is from.

    The view unites the rows of ingested artifacts with those of the files of all others, matched
    by name, and adds ``consist_run_id``, ``consist_artifact_id``, ``consist_year``,
    ``consist_iteration`` and ``consist_scenario_id`` (the plain name of the scenario). It follows
    what is recorded: each question through this tracker sees what there is by then. Artifacts whose
    recorded bytes are gone are passed over with a warning.

    Parameters
    ----------
    view_name : str
        Name of the view: letters, digits and underscores.
    concept_key : str
        Artifact key.

    Returns
    -------
    str
        The name of the view.

    Raises
    ------
    RuntimeError
        Without a database.
    ValueError
        If the name is not a plain identifier or belongs to a table of the library.
    """
    ws.check_database("create_view")
    check_key(concept_key)
    shelf_of(ws).put(View(check_name(view_name), of_key(concept_key)))
    return view_name
