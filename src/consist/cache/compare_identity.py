"""What makes one run another than an earlier one: two recorded identities, compared.

Pure: identities in, differences out. Nothing is looked up, and no file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from consist.identity import COMMIT, FURTHER, short
from consist.models.record import NULL, ArtifactRecord, Raw, RunDocument, encode

COMPONENTS = ("config", "inputs", "code")
MOST_LISTED = 20
_LONGEST_VALUE = 200
_AS_COMMITTED = "as committed"

Entry = dict[str, Any]
PathOf = Callable[[ArtifactRecord], str]


class UsedInput(msgspec.Struct, frozen=True):
    """An input: the name it was given under, its artifact, and its digest at the time."""

    name: str
    record: ArtifactRecord
    digest: str | None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of a run, taken apart.

    Attributes
    ----------
    code, config, inputs : str or None
        The three digests.
    mode : str or None
        Mode of code identity.
    code_parts : mapping of str to str
        What the code's digest was made of.
    fields : mapping
        Model, year, iteration, epoch and version.
    values : Raw
        The config as the snapshot holds it; null where it is not known.
    identity_inputs : mapping of str to str
        Digests by label.
    adapter : mapping
        What a config adapter said of itself.
    binding : mapping of str to str or None
        How inputs reach the function; ``None`` where that was not recorded.
    used : tuple of UsedInput
        The declared inputs.
    """

    code: str | None
    config: str | None
    inputs: str | None
    mode: str | None = None
    code_parts: Mapping[str, str] = {}
    fields: Mapping[str, Any] = {}
    values: Raw = NULL
    identity_inputs: Mapping[str, str] = {}
    adapter: Mapping[str, Any] = {}
    binding: Mapping[str, str] | None = None
    used: tuple[UsedInput, ...] = ()


class Comparison(msgspec.Struct, frozen=True):
    """What is equal in two identities, and what is not.

    Attributes
    ----------
    matched, mismatched : tuple of str
        Which of ``config``, ``inputs`` and ``code``.
    details : dict
        What differs in them, under the names of :data:`DETAILS`.
    complete : bool
        Whether the details tell of every mismatched component what differs.
    """

    matched: tuple[str, ...]
    mismatched: tuple[str, ...]
    details: dict[str, Any]
    complete: bool


def identity_of(document: RunDocument) -> Compared:
    """Return the identity of a recorded run."""
    run, extra = document.run, document.extra
    late = set(extra.late_inputs)
    return Compared(
        code=run.git_hash,
        config=run.config_hash,
        inputs=run.input_hash,
        mode=run.meta.get("code_identity"),
        code_parts=extra.code_parts,
        fields={
            "model": run.model_name,
            "year": run.year,
            "iteration": run.iteration,
            "cache_epoch": run.meta.get("cache_epoch"),
            "cache_version": run.meta.get("cache_version"),
        },
        values=document.config,
        identity_inputs=run.meta.get("consist_hash_inputs", {}),
        adapter={name: run.meta[name] for name in _ADAPTER if name in run.meta},
        binding=extra.binding,
        used=tuple(
            UsedInput(
                extra.input_names.get(artifact.id, artifact.key),
                artifact,
                extra.input_digests.get(artifact.id, artifact.content),
            )
            for artifact in document.inputs
            if artifact.id not in late
        ),
    )


_ADAPTER = (
    "config_adapter",
    "config_adapter_version",
    "config_bundle_hash",
    "config_identity_manifest",
)


def compare(old: Compared, new: Compared, path_of: PathOf, most: int = MOST_LISTED) -> Comparison:
    """Return what the new identity has in common with the old one, and what differs.

    Inputs match if their bytes do, whichever run produced them: then the content finds the run.

    Parameters
    ----------
    old, new : Compared
        An earlier run, and one that is about to be.
    path_of : callable
        Returns where the bytes of an artifact are expected.
    most : int
        Most differences of a kind that are listed; the others are counted.
    """
    details = _Details(most)
    if old.config != new.config:
        _compare_config(old, new, details)
    same_inputs = old.inputs == new.inputs
    told = True
    if not same_inputs:
        same_inputs, told = _compare_inputs(old, new, details, path_of)
    if old.code != new.code:
        _compare_code(old, new, details)
    same = {
        "config": old.config == new.config,
        "inputs": same_inputs,
        "code": old.code == new.code,
    }
    found = details.found
    complete = (
        (same["config"] or not found.keys().isdisjoint(CONFIG_DETAILS))
        and (same["inputs"] or told)
        and (same["code"] or not found.keys().isdisjoint(CODE_DETAILS))
    )
    return Comparison(
        matched=tuple(name for name in COMPONENTS if same[name]),
        mismatched=tuple(name for name in COMPONENTS if not same[name]),
        details=found,
        complete=complete,
    )


class _Details:
    """Collects differences under their names, of each at most so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.found: dict[str, Any] = {}

    def add(self, what: str, **entry: Any) -> None:
        listed: list[Entry] = self.found.setdefault(what, [])
        if len(listed) < self._most:
            listed.append({name: value for name, value in entry.items() if value is not ABSENT})
        else:
            more: dict[str, int] = self.found.setdefault("more", {})
            more[what] = more.get(what, 0) + 1


ABSENT: Any = msgspec.UNSET
"""Stands for a value that is not there, which ``None`` would not."""


# ---------------------------------------------------------------- config

CONFIG_DETAILS = (
    "run_fields_changed",
    "config_keys_changed",
    "config_keys_added",
    "config_keys_removed",
    "config_value_hidden",
    "identity_inputs_changed",
    "adapter_identity_changed",
    "input_binding_changed",
)
_BY_CHANGE = {
    "changed": "config_keys_changed",
    "added": "config_keys_added",
    "removed": "config_keys_removed",
}


def _compare_config(old: Compared, new: Compared, details: _Details) -> None:
    for name, entry in _changes(old.fields, new.fields):
        details.add("run_fields_changed", name=name, old=entry["old"], new=entry["new"])
    for name, entry in _changes(old.identity_inputs, new.identity_inputs):
        details.add("identity_inputs_changed", name=name, **_digests(entry))
    for name, entry in _changes(old.adapter, new.adapter):
        details.add("adapter_identity_changed", name=name, **_bounded(entry))
    if old.binding is not None and new.binding is not None:
        for name, entry in _changes(old.binding, new.binding):
            details.add("input_binding_changed", name=name, **entry)
    if _is_known(old.values) and _is_known(new.values):
        before, now = msgspec.json.decode(old.values), msgspec.json.decode(new.values)
        for name, entry in value_changes(before, now):
            details.add(_BY_CHANGE[entry.pop("change")], name=name, **_bounded(entry))
        if not details.found and old.binding is not None:
            # Nothing else is left: what is shown alike differs, as a masked secret does.
            details.found["config_value_hidden"] = True


def _is_known(values: Raw) -> bool:
    return bytes(values) != bytes(NULL)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[tuple[str, Entry]]:
    for name in (*old, *(name for name in new if name not in old)):
        before: Any = old.get(name, ABSENT)
        now: Any = new.get(name, ABSENT)
        if before != now:
            yield name, {"change": _kind(before, now), "old": before, "new": now}


def _kind(old: object, new: object) -> str:
    return "added" if old is ABSENT else "removed" if new is ABSENT else "changed"


def value_changes(old: Any, new: Any) -> Iterable[tuple[str, Entry]]:
    """Yield what differs in two JSON values, leaf by leaf, with its dotted path.

    An entry has ``change``, and of ``old`` and ``new`` what there is.
    """
    for path, entry in _config_changes("", old, new):
        yield path, {name: value for name, value in entry.items() if value is not ABSENT}


def _config_changes(path: str, old: Any, new: Any) -> Iterable[tuple[str, Entry]]:
    """Yield what differs in two JSON values, leaf by leaf, with its dotted path."""
    inside = _inside(path, old, new)
    if inside is not None:
        for inner, before, now in inside:
            yield from _config_changes(inner, before, now)
    elif old != new or isinstance(old, bool) is not isinstance(new, bool):
        yield path, {"change": _kind(old, new), "old": old, "new": new}


def _inside(path: str, old: Any, new: Any) -> Iterable[tuple[str, Any, Any]] | None:
    """Return what lies in two mappings or two lists, side by side; ``None`` for anything else."""
    if isinstance(old, dict) and isinstance(new, dict):
        before, now = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        keys = (*before, *(key for key in now if key not in before))
        return ((_joined(path, k), before.get(k, ABSENT), now.get(k, ABSENT)) for k in keys)
    if isinstance(old, list) and isinstance(new, list):
        was, is_ = cast("list[Any]", old), cast("list[Any]", new)
        longest = max(len(was), len(is_))
        return ((f"{path}[{i}]", _at(was, i), _at(is_, i)) for i in range(longest))
    return None


def _at(values: Sequence[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT


def _joined(path: str, key: str) -> str:
    if not key or not key.isprintable() or "." in key or "[" in key:
        return f"{path}[{key!r}]"
    return f"{path}.{key}" if path else key


def _bounded(entry: Entry) -> Entry:
    return {
        name: value if value is ABSENT or name == "change" else _bounded_value(value)
        for name, value in entry.items()
    }


def _bounded_value(value: Any) -> Any:
    text = encode(value).decode()
    return value if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _digests(entry: Entry) -> Entry:
    return {
        name: short(value) if isinstance(value, str) and name != "change" else value
        for name, value in entry.items()
    }


# ---------------------------------------------------------------- inputs


def _compare_inputs(
    old: Compared, new: Compared, details: _Details, path_of: PathOf
) -> tuple[bool, bool]:
    """Return whether the bytes are the same after all, and whether the details tell what is not."""
    same, told = True, False
    for before, now in _pairs(old.used, new.used):
        what = _input_change(before, now)
        if what is None:
            continue
        told = True
        same = same and _same_content(before, now)
        entry = _input_entry(before, now, path_of)
        details.add(what, **entry)
        if entry["old_path"] is not ABSENT and entry["path"] is not ABSENT:
            details.add("input_location_changed", name=entry["name"])
    if told:
        return same, True
    # A list of inputs is no mapping, and what is bound to which name counts.
    return False, "input_binding_changed" in details.found


def _pairs(
    old: Sequence[UsedInput], new: Sequence[UsedInput]
) -> Iterable[tuple[UsedInput | None, UsedInput | None]]:
    """Yield the inputs of a name; of several with one name, those of equal content together."""
    equal: dict[tuple[str, str | None], list[UsedInput]] = {}
    for item in reversed(old):
        equal.setdefault((item.name, item.digest), []).append(item)
    unpaired: list[UsedInput] = []
    for item in new:
        same = equal.get((item.name, item.digest))
        if same:
            yield same.pop(), item
        else:
            unpaired.append(item)
    left: dict[str, list[UsedInput]] = {}
    for (name, _), items in equal.items():
        left.setdefault(name, []).extend(items)
    for item in unpaired:
        of_name = left.get(item.name)
        yield of_name.pop() if of_name else None, item
    for items in left.values():
        yield from ((item, None) for item in items)


def _input_change(old: UsedInput | None, new: UsedInput | None) -> str | None:
    if old is None:
        return "inputs_added"
    if new is None:
        return "inputs_removed"
    if _member(old) != _member(new):
        return "container_member_changed"
    if old.record.run_signature != new.record.run_signature and new.record.run_id is not None:
        return "upstream_run_changed"
    return None if old.digest == new.digest else "artifact_hash_changed"


def _same_content(old: UsedInput | None, new: UsedInput | None) -> bool:
    if old is None or new is None or old.digest is None:
        return False
    return old.digest == new.digest and _member(old) == _member(new)


def _member(item: UsedInput) -> tuple[str | None, str | None]:
    return item.record.table_path, item.record.array_path


def _input_entry(old: UsedInput | None, new: UsedInput | None, path_of: PathOf) -> Entry:
    shown = cast("UsedInput", new or old)
    path = ABSENT if new is None else path_of(new.record)
    old_path = ABSENT if old is None else path_of(old.record)
    return {
        "name": shown.name,
        "key": ABSENT if shown.record.key == shown.name else shown.record.key,
        "old": ABSENT if old is None else short(old.digest or "none"),
        "new": ABSENT if new is None else short(new.digest or "none"),
        "path": path,
        "old_path": ABSENT if old_path == path else old_path,
        "old_run": _producer(old),
        "new_run": _producer(new),
    }


def _producer(item: UsedInput | None) -> Any:
    return ABSENT if item is None or item.record.run_id is None else item.record.run_id


# ---------------------------------------------------------------- code

CODE_DETAILS = ("code_identity_mode_changed", "code_parts_changed", "repo_git_identity_changed")


def _compare_code(old: Compared, new: Compared, details: _Details) -> None:
    details.found["code_hash_changed"] = {
        "old": short(old.code or ""),
        "new": short(new.code or ""),
    }
    if old.mode != new.mode:
        details.found["code_identity_mode_changed"] = {"old": old.mode, "new": new.mode}
        return
    if not old.code_parts or not new.code_parts:
        return
    for label, entry in _code_changes(old.code_parts, new.code_parts):
        of_repository = new.mode == "repo_git" and _is_of_repository(label)
        shown = _since_commit(label, entry) if of_repository else entry
        details.add("repo_git_identity_changed" if of_repository else "code_parts_changed",
                    name=label, **shown)  # fmt: skip


def _code_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterable[tuple[str, Entry]]:
    """Return what differs by label; what lies in another file, such as a cell, is still itself."""
    changes = dict(_changes(old, new))
    was: dict[str, list[str]] = {}
    for label, entry in changes.items():
        if entry["change"] == "removed":
            was.setdefault(_without_file(label), []).append(label)
    for label, entry in list(changes.items()):
        before = was.get(_without_file(label), [])
        if entry["change"] == "added" and len(before) == 1:
            digest = changes.pop(before.pop())["old"]
            if digest == entry["new"]:
                del changes[label]
            else:
                changes[label] = {"change": "changed", "old": digest, "new": entry["new"]}
    return sorted((changes or dict(_changes(old, new))).items(), key=_label)


def _without_file(label: str) -> str:
    return label.rpartition(" in ")[0] or label


def _label(change: tuple[str, Entry]) -> str:
    return change[0]


def _is_of_repository(label: str) -> bool:
    return label.startswith(("file ", "untracked file ")) or label in {COMMIT, FURTHER}


def _since_commit(label: str, entry: Entry) -> Entry:
    """Return what happened to a file of which only departures from the commit are recorded."""
    old, new = entry["old"], entry["new"]
    if label.startswith("file "):
        old = _AS_COMMITTED if old is ABSENT else old
        new = _AS_COMMITTED if new is ABSENT else new
        change = "removed" if new == "deleted" else "added" if old == "deleted" else "changed"
        return {"change": change, "old": old, "new": new}
    return entry
