"""The SQLModel classes that a tracker knows by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from consist.errors import UsageError, WrongType, a_kind, hint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlmodel import SQLModel

    from consist.workspace import Workspace


def get_registered_schema(
    ws: Workspace, schema_name: str, default: type[SQLModel] | None = None
) -> type[SQLModel] | None:
    """Return the class that was registered under a name with ``Tracker(schemas=[...])``.

    Parameters
    ----------
    schema_name : str
        Name of the class; upper and lower case differ. ``artifact.meta["schema_name"]`` is one.
    default : type, optional
        What to return where none has this name.

    Raises
    ------
    TypeError
        If the name is no text.
    ValueError
        If it is empty or blank.

    Examples
    --------
    ``model = tracker.get_registered_schema(artifact.meta["schema_name"])``
    """
    given = cast("object", schema_name)
    if not isinstance(given, str):
        raise WrongType(f"schema_name={given!r} is {a_kind(given)}, not text")
    if not schema_name.strip():
        raise UsageError("schema_name is empty; pass the name of a class")
    return ws.schemas.get(schema_name, default)


def check_model(schema: object, what: str = "a schema") -> type[SQLModel]:
    """Return a class if it is a SQLModel.

    Raises
    ------
    WrongType
        If it is not.
    """
    from sqlmodel import SQLModel

    if not (isinstance(schema, type) and issubclass(schema, SQLModel)):
        shown = f"the class {schema.__name__}" if isinstance(schema, type) else a_kind(schema)
        problem = WrongType(f"{what} is no SQLModel class but {shown}")
        raise hint(problem, "class Person(SQLModel): ...")
    return schema


def by_name(schemas: Iterable[object]) -> dict[str, type[SQLModel]]:
    """Return SQLModel classes by name.

    Raises
    ------
    WrongType
        If one is no SQLModel class.
    UsageError
        If two have one name, since artifacts remember names only.
    """
    found: dict[str, type[SQLModel]] = {}
    for given in schemas:
        schema = check_model(given, "an entry of schemas")
        name = schema.__name__
        known = found.setdefault(name, schema)
        if known is not schema:
            modules = f"{known.__module__} and {schema.__module__}"
            problem = UsageError(f"two schemas are called {name!r} (of {modules})")
            raise hint(problem, "rename one: artifacts remember their schema by its name")
    return found
