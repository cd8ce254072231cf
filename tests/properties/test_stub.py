"""Whatever columns a table has, its model is Python that imports and names the same columns."""

from __future__ import annotations

import itertools
import sys
import types
import warnings
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel

from consist.hot.model_layout import columns_of, layout_of_model
from consist.hot.stub import stub
from consist.models.observed import SchemaField, SchemaRecord, SchemaRelation, layout
from consist.models.record import replace

KEPT = {
    "BIGINT": "BIGINT",
    "INTEGER": "INTEGER",
    "SMALLINT": "SMALLINT",
    "DOUBLE": "DOUBLE",
    "VARCHAR": "VARCHAR",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE",
    "DECIMAL(10,2)": "DECIMAL(10,2)",
    "BLOB": "BLOB",
    "JSON": "JSON",
    "INTERVAL": "INTERVAL",
}
"""What comes back as it was; others become a wider type, or text."""
WIDER = {
    "FLOAT": "DOUBLE",
    "TINYINT": "SMALLINT",
    "UBIGINT": "DECIMAL(20,0)",
    "HUGEINT": "DECIMAL(38,0)",
    "UUID": "VARCHAR",
    "STRUCT(a BIGINT)": "JSON",
    "DOUBLE[]": "JSON",
    "ENUM('a', 'b')": "VARCHAR",
    '"NULL"': "VARCHAR",
}
HOSTILE = [
    "class", "None", "metadata", "registry", "model_config", "model_dump", "json", "copy", "date",
    "int", "str", "Optional", "Field", "dt", "2030", "_dlt", "__x__", "", " ", "a b", "a-b", "a__b",
    "a'b", 'a"b', "a\\", "a\nb", "a\r\nb", "a#b", "naïve", "漢字", "😀", "\u2028", "{x}", "%s",
    "a)", '"""', "self", "__tablename__", "__abstract__", "\x00",
]  # fmt: skip
_numbers = itertools.count()

names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))
columns = st.lists(
    st.tuples(names, st.sampled_from([*KEPT, *WIDER]), st.booleans()),
    min_size=1,
    max_size=8,
    unique_by=lambda column: column[0],
)


def imported(text: str) -> types.ModuleType:
    """Import source as a module of its own."""
    name = f"stub_{next(_numbers)}"
    module = types.ModuleType(name)
    sys.modules[name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(text, f"{name}.py", "exec"), module.__dict__)
    return module


def model_of(text: str) -> type[Any]:
    module = imported(text)
    (model,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, SQLModel) and value is not SQLModel
    )
    return model


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(columns, st.booleans(), st.text(max_size=20), names)
@example([(name, "BIGINT", True) for name in HOSTILE], True, "trips", "to")
@example([("date", "DATE", True), ("d", "DATE", False)], True, "date", "x")
def test_it_names_the_columns_of_the_table(
    listed: list[tuple[str, str, bool]], comments: bool, table: str, target: str
) -> None:
    # SCH-003, SCH-013
    fields = [
        SchemaField(name=name, type=kind, nullable=nullable, stats={"min": name}, values=(name,))
        for name, kind, nullable in listed
        if name and "\x00" not in name  # no table has such a column
    ]
    if not fields:
        return
    found = layout(fields, relations=[_relation(fields[0])] if "." not in target else ())
    model = model_of(stub(found, table_name=table, system_columns=True, comments=comments))
    read = columns_of(model)
    assert list(read) == [field.name for field in fields]
    back = layout_of_model(model)
    assert isinstance(back, SchemaRecord)
    assert [field.type for field in back.fields] == [(KEPT | WIDER)[field.type] for field in fields]
    assert [field.nullable for field in back.fields] == [field.nullable for field in fields]
    assert model.__tablename__ == table
    assert back.relations == found.relations
    keyed = [replace(fields[0], stats={"primary_key": True}), *fields[1:]]
    name = f"table_{next(_numbers)}"
    concrete = model_of(stub(layout(keyed), table_name=name, abstract=False, system_columns=True))
    assert [column.name for column in concrete.__table__.columns] == list(read)
    assert [column.name for column in concrete.__table__.primary_key] == [fields[0].name]
    SQLModel.metadata.remove(concrete.__table__)
    exact = all(field.type in KEPT for field in fields)
    assert (back.id == found.id) is exact


def _relation(field: SchemaField) -> SchemaRelation:
    return SchemaRelation(from_field=field.name, to_table="persons", to_field="id")
