"""Entering classes and their instances."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import cached_property, lru_cache, partialmethod
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, cast

from consist.identity.canonical import digest
from consist.identity.carried import attributes_of
from consist.identity.mutation import changed_globals, object_use
from consist.identity.reach.found import Walker
from consist.identity.reach.functions import parts_before_body
from consist.identity.reach.modules import enter_import, module_name
from consist.identity.reach.names import chains_in
from consist.identity.reach.trees import Source, source_of, spelling

_MADE_BY_PYTHON = frozenset(
    """
    __abstractmethods__ __annotate__ __annotate_func__ __annotations__ __annotations_cache__
    __attrs_attrs__ __attrs_own_setattr__ __attrs_props__ __class_vars__ __classcell__
    __dataclass_fields__ __dataclass_params__ __dict__ __doc__ __firstlineno__ __match_args__
    __module__ __orig_bases__ __parameters__ __private_attributes__ __qualname__ __signature__
    __slots__ __static_attributes__ __struct_config__ __struct_fields__ __weakref__ _abc_impl
    _generate_next_value_ _member_map_ _member_names_ _member_type_ _new_member_ _unhashable_values_
    _unhashable_values_map_ _use_args_ _value2member_map_ _value_repr_ _hashable_values_
    model_config model_fields model_computed_fields
    """.split()  # noqa: SIM905
)
_MAKING = frozenset({"__init__", "__new__", "__post_init__", "__setstate__"})


def enter_class(walk: Walker, cls: type) -> str:
    """Enter an own class with its bases and methods; return its label."""
    namespace = _namespace_of(cls)
    label = f"class {module_name(namespace) if namespace else cls.__module__}.{cls.__qualname__}"
    label = walk.found.label(label, cls)
    walk.later(("class", id(cls)), lambda: _enter_class(walk, cls, label))
    return label


def _enter_class(walk: Walker, cls: type, label: str) -> None:
    namespace = _namespace_of(cls)
    source, node = _definition(cls)
    methods, references = _enter_members(walk, cls)
    for number, base in enumerate((*cls.__bases__, type(cls))):
        references[f"base {number}"] = walk.target(base)
    tree = "no source"
    if node is not None:
        # Methods count by themselves; only what is nowhere else stays in the tree of the class.
        entered = frozenset(_nodes_of(source, methods))
        tree = spelling(node, entered)
        outside = walk.references(namespace, chains_in(_outside_methods(node, entered)), None)
        references.update({f"in class {name}": text for name, text in outside.items()})
    enter_import(walk, namespace)
    file = None if source is None else source.filename
    walk.found.part(label, digest("reach", label, tree, references), file)


def _enter_members(walk: Walker, cls: type) -> tuple[list[FunctionType], dict[str, str]]:
    """Enter what a class holds; return its methods, and name → target of every member."""
    methods: list[FunctionType] = []
    references: dict[str, str] = {}
    changed = changed_attributes(cls)
    walk.found.pins.size(vars(cls))
    for name, item in vars(cls).items():
        if _is_made_by_python(name):
            continue
        walk.found.pins.name(vars(cls), name)
        functions = [found for found in functions_of(item) if not _is_generated(found)]
        methods.extend(functions)
        if functions:
            references[name] = " ".join(walk.target(found) for found in functions)
        elif _counts(item) and name not in changed:
            references[name] = walk.target(item)
    return methods, references


def _namespace_of(cls: type) -> Mapping[str, Any]:
    """Return the global names where a class was defined."""
    import sys

    for item in vars(cls).values():
        for function in functions_of(item):
            if function.__module__ == cls.__module__ and not _is_generated(function):
                return function.__globals__
    module = sys.modules.get(cls.__module__)
    return {} if module is None else vars(module)


def _definition(cls: type) -> tuple[Source | None, ast.ClassDef | None]:
    """Return the source of a class and its definition there.

    Of several definitions it is the one that holds the code of its methods.
    """
    own = [found for item in vars(cls).values() for found in functions_of(item)]
    own = [f for f in own if f.__code__.co_qualname.startswith(f"{cls.__qualname__}.")]
    files = [found.__code__.co_filename for found in own if not _is_generated(found)]
    namespace = _namespace_of(cls)
    file = files[0] if files else namespace.get("__file__")
    source = source_of(file, dict(namespace)) if isinstance(file, str) else None
    if source is None:
        return None, None
    lines = {found.__code__.co_firstlineno for found in own}
    lines.add(getattr(cls, "__firstlineno__", -1))
    nodes = source.classes(cls.__qualname__)
    holding = (
        node
        for node in nodes[::-1]
        if any(node.lineno <= line <= (node.end_lineno or 0) for line in lines)
    )
    return source, next(holding, nodes[-1] if nodes else None)


def _nodes_of(source: Source | None, functions: list[FunctionType]) -> Iterator[ast.AST]:
    for function in functions:
        if source is not None and function.__code__.co_filename == source.filename:
            node = source.function(function.__code__)
            if node is not None:
                yield node


def _outside_methods(node: ast.ClassDef, entered: AbstractSet[ast.AST]) -> list[ast.AST]:
    """Return what a class definition evaluates itself."""
    parts: list[ast.AST] = [*node.decorator_list, *node.bases, *node.keywords]
    for statement in node.body:
        if statement in entered and isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            parts.extend(parts_before_body(statement))
        else:
            parts.append(statement)
    return parts


# ---------------------------------------------------------------- members


def functions_of(item: Any) -> Iterator[FunctionType]:
    """Yield the functions behind a member of a class."""
    match item:
        case FunctionType():
            yield item
        case staticmethod() | classmethod():
            yield from functions_of(item.__func__)
        case property():
            for part in (item.fget, item.fset, item.fdel):
                yield from functions_of(part)
        case cached_property() | partialmethod():
            yield from functions_of(item.func)
        case _ if isinstance(item, _CACHED):
            yield from functions_of(item.__wrapped__)
        case _:
            pass


_CACHED: Any = type(lru_cache(print))


def _is_generated(function: FunctionType) -> bool:
    """Whether a library wrote a function from what the class says, as dataclasses do."""
    filename = function.__code__.co_filename
    return filename == "<string>" or filename.startswith("<attrs generated")


def _is_made_by_python(name: str) -> bool:
    return name in _MADE_BY_PYTHON or name.startswith("__pydantic")


def _counts(item: object) -> bool:
    return not isinstance(item, MemberDescriptorType | GetSetDescriptorType)


def changed_attributes(cls: type) -> frozenset[str]:
    """Return the attributes that the methods of a class change, so that they are state.

    What is set while an instance is made is not, unless it is set on the class.
    """
    making, others = _methods(cls)
    changed = _changed_by_object(others)
    counted = {
        chain[1]
        for method in (*making, *others)
        for chain in changed_globals(method.__code__)
        if len(chain) > 1 and any(method.__globals__.get(chain[0]) is base for base in cls.__mro__)
    }
    return changed | counted


def _methods(cls: type) -> tuple[tuple[FunctionType, ...], tuple[FunctionType, ...]]:
    """Return the methods that make an instance, and all others."""
    found: dict[bool, list[FunctionType]] = {True: [], False: []}
    for base in cls.__mro__:
        for name, item in vars(base).items():
            found[name in _MAKING].extend(functions_of(item))
    return tuple(found[True]), tuple(found[False])


@lru_cache(maxsize=512)
def _changed_by_object(methods: tuple[FunctionType, ...]) -> frozenset[str]:
    return frozenset(name for method in methods for name in object_use(method.__code__).changed)


# ---------------------------------------------------------------- instances


def enter_instance(walk: Walker, value: Any) -> str:
    """Enter an instance of an own class; return its text: the class, and the attributes."""
    cls = cast("type[Any]", type(value))
    label = walk.target(cls)
    if isinstance(value, Enum):
        return f"{label}.{value.name} {walk.target(value.value)}"
    return f"instance of {label} {digest('reach', attribute_texts(walk, value))}"


def attribute_texts(walk: Walker, value: Any) -> dict[str, str]:
    """Return what an instance holds besides its state, label → text.

    What its methods change may yet be a parameter that it was made with: then the statements that
    made it tell.
    """
    changed = changed_attributes(cast("type[Any]", type(value)))

    def kept() -> dict[str, object]:
        found = attributes_of(value)
        return {name: item for name, item in found if name not in changed and item is not value}

    walk.found.pins.items(lambda: [part for item in kept().items() for part in item])
    if any(name in changed for name, _ in attributes_of(value)):
        walk.found.opaque += 1
    return {name: walk.target(item) for name, item in kept().items()}
