"""Views over what runs recorded under one key: as SQL, and as SQLModel classes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from consist.artifacts.keys import check_key
from consist.errors import some_of
from consist.views.members import of_key
from consist.views.model import check_model, duckdb_types, table_name_of, view_class
from consist.views.shelf import Shelf, View, check_name, shelf_of
from consist.views.united import Layout

if TYPE_CHECKING:
    from sqlmodel import SQLModel

    from consist.workspace import Workspace

_OTHER = re.compile(r"\W", re.ASCII)


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
    shelf_of(ws).put(View(check_name(view_name), of_key(concept_key), key=concept_key))
    return view_name


def view(ws: Workspace, model: type[SQLModel], key: str | None = None) -> type[Any]:
    """Make a view over every recorded table of a key, typed by a SQLModel; return its class.

    The class has the columns of the model, in its order and with its types, and the five system
    columns of :meth:`create_view`. It is asked with ``sqlmodel.select``; in SQL its name is
    ``v_<key>``. Columns that a table lacks are null; columns that the model lacks come after its
    own, in SQL only. A value that is none of the model's type is an error that names column and
    file.

    Parameters
    ----------
    model : type
        A SQLModel class, with or without ``table=True``; it is not changed.
    key : str, optional
        Artifact key; by default the model's ``__tablename__``.

    Returns
    -------
    type
        A SQLModel class that is mapped to the view. ``tracker.views.<ModelName>`` is the same.

    Raises
    ------
    RuntimeError
        Without a database.
    TypeError
        If ``model`` is no SQLModel class.
    ValueError
        If the key is none, or a field has no column type.

    Examples
    --------
    >>> VPerson = tracker.view(Person, key="persons")  # doctest: +SKIP
    >>> tracker.run_query(
    ...     select(VPerson.consist_year, func.count()).group_by(...)
    ... )  # doctest: +SKIP
    """
    ws.check_database("view")
    return views_of(ws).register(check_model(model), key)


def plain_view(ws: Workspace, key: str) -> str:
    """Return the SQL name of the view over a key, of a model if there is one; it is made if not."""
    ws.check_database("view")
    name = sql_name(check_key(key))
    views_of(ws)
    known = shelf_of(ws).get(name)
    return create_view(ws, name, key) if known is None else known.name


def sql_name(key: str) -> str:
    """Return what the view over a key is called in SQL."""
    return "v_" + _OTHER.sub("_", key)


def register_views(ws: Workspace, *models: type[SQLModel]) -> dict[str, type[Any]]:
    """Make a view of each model, over the key that its ``__tablename__`` is.

    Parameters
    ----------
    *models : type
        SQLModel classes.

    Returns
    -------
    dict of str to type
        What :meth:`view` returns for each, by the name of the model.

    Raises
    ------
    RuntimeError, TypeError, ValueError
        As :meth:`view` raises.
    """
    ws.check_database("register_views")
    for model in models:
        check_model(model)
    return {model.__name__: view(ws, model) for model in models}


class Views:
    """The views of a tracker as SQLModel classes, by the names of their models.

    ``tracker.views.Person`` and ``tracker.views["Person"]`` are the class of model ``Person``.
    """

    def __init__(self, ws: Workspace, shelf: Shelf) -> None:
        self._ws, self._shelf = ws, shelf
        self._classes: dict[str, type[Any]] = {}
        self._models: dict[str, type[SQLModel]] = {}

    def register(self, model: type[SQLModel], key: str | None = None) -> type[Any]:
        """Make the view of a model, or make it anew."""
        key = check_key(table_name_of(model) if key is None else key)
        name = self._name(key, model.__name__)
        layout = Layout(columns=duckdb_types(model))
        made = view_class(model, name)
        self._shelf.put(View(name, of_key(key), layout=layout, key=key, model=model.__name__))
        self._classes[model.__name__], self._models[model.__name__] = made, model
        return made

    def _name(self, key: str, model: str) -> str:
        """Return ``v_<key>``, followed by the name of the model where that is another view's."""
        first = sql_name(key)
        for name in (first, f"{first}_{_OTHER.sub('_', model).lower()}"):
            known = self._shelf.get(name)
            if known is None or known.model is None or (known.key, known.model) == (key, model):
                return check_name(name)
        return check_name(f"{first}_{len(self._classes) + 1}")

    def __getattr__(self, name: str) -> type[Any]:
        if name in self._classes:
            return self._classes[name]
        known = some_of(list(self._classes)) if self._classes else "no model is registered"
        problem = AttributeError(f"no view {name!r}; there are: {known}", name=name, obj=self)
        problem.add_note("Tracker(schemas=[...]) or tracker.view(Model) registers a model")
        raise problem

    def __getitem__(self, name: str) -> type[Any]:
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._classes))

    def __len__(self) -> int:
        return len(self._classes)

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *self._classes])

    def __repr__(self) -> str:
        return f"Views({', '.join(self._classes)})"


def views_of(ws: Workspace) -> Views:
    """Return the views of a tracker, those of its registered schemas first."""
    ws.check_database("views")
    views = ws.memory.get("views")
    if views is None:
        views = ws.memory["views"] = Views(ws, shelf_of(ws))
        for model in ws.schemas.values():
            views.register(check_model(model))
    return views
