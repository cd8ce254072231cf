"""Why a run is a hit, or why it is not, in words and as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from consist.identity import COMMIT
from consist.models.record import EXPLANATION

_ENTRIES_IN_SENTENCE = 2
_LONGEST_IN_SENTENCE = 60
_LONGEST_SHOWN = 1_000


class Change(NamedTuple):
    """One thing that differs from the nearest earlier run.

    Attributes
    ----------
    what : str
        ``"code"``, ``"config"``, ``"input"`` and so on.
    name : str
        Which: a function and its file, a dotted config key, an input.
    change : {"changed", "added", "removed", "reran"}
        What happened to it. The producer of an input ``reran``.
    old, new : object
        What it was and what it is now, as far as there is something to show; long values cut.
    note : str
        Where an input lies, and which runs produced it.
    """

    what: str
    name: str
    change: str
    old: Any = None
    new: Any = None
    note: str = ""

    @property
    def before(self) -> str:
        """The old value as text; empty where there is none to show."""
        return "" if self.change == "added" else _value(self.old, self.what)

    @property
    def now(self) -> str:
        """The new value as text; empty where there is none to show."""
        return "" if self.change == "removed" else _value(self.new, self.what)

    def __str__(self) -> str:
        return _phrase(self, _LONGEST_SHOWN) + (f" ({self.note})" if self.note else "")


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is given back from the cache, or why it executes.

    Attributes
    ----------
    status : {"hit", "miss"}
        Whether it is given back.
    reason : str
        For a hit ``exact_match`` (by signature) or ``content_match`` (the inputs have other
        producers and the same bytes). For a miss one of ``no_similar_prior_run``,
        ``config_changed``, ``inputs_changed``, ``code_changed``, ``config_and_inputs_changed``,
        ``config_and_code_changed``, ``inputs_and_code_changed``, ``all_components_changed``,
        ``candidate_outputs_invalid`` and ``exact_match_lookup_inconclusive`` (an earlier run of
        this identity can not be given back); ``not_looked_up``, and ``demoted`` for a run that
        began as a hit and then did something else, as a block may, or failed. What is called
        ``config`` in a reason is everything that ``config_hash`` covers: year, iteration, epoch,
        version and ``identity_inputs`` as well.
    candidate_run_id : str or None
        The run that is given back, or the nearest earlier one: of the 20 latest of this model the
        one with most components equal, the newest of these.
    matched_components, mismatched_components : tuple of str
        Which of ``config``, ``inputs`` and ``code`` are equal in that run, and which are not.
    details : dict
        What differs, by kind, each a list of entries; :attr:`changes` reads them for you.
    confidence : {"high", "medium", "low"}
        ``high`` if every difference is named; ``medium`` if a component differs and not all of it
        was recorded; ``low`` if not every earlier run could be seen.
    model : str or None
        Whose runs were compared.
    signature : str or None
        The signature that was looked for.
    rejected : tuple of str
        Runs of the same identity that could not be given back, each with the reason.
    incomplete : str or None
        Why the look-up may have missed earlier runs.
    """

    status: str
    reason: str
    candidate_run_id: str | None = None
    matched_components: tuple[str, ...] = ()
    mismatched_components: tuple[str, ...] = ()
    details: dict[str, Any] = {}
    confidence: str = "high"
    model: str | None = None
    signature: str | None = None
    rejected: tuple[str, ...] = ()
    incomplete: str | None = None

    @classmethod
    def of_meta(
        cls, meta: Mapping[str, Any], model: str | None = None, signature: str | None = None
    ) -> Explanation | None:
        """Return what the metadata of a recorded run says; ``None`` where it says nothing."""
        rest: dict[str, Any] = {
            "model": model,
            "signature": signature,
            "rejected": tuple(meta.get("cache_rejected", ())),
            "incomplete": meta.get("cache_lookup"),
        }
        if meta.get("cache_hit"):
            by_content = meta.get("cache_match") == "content"
            return hit(str(meta.get("cache_source")), by_content=by_content, **rest)
        stored = meta.get(EXPLANATION)
        if not isinstance(stored, Mapping):
            return None
        known = {name: stored[name] for name in _STORED if name in stored}  # type: ignore[index]
        try:
            return msgspec.convert({**known, **rest}, cls)
        except msgspec.ValidationError:  # somebody else wrote it
            return None

    def stored(self) -> dict[str, Any]:
        """Return what the metadata of the run keeps; the rest is in other entries of it."""
        return {
            "status": self.status,
            "reason": self.reason,
            "candidate_run_id": self.candidate_run_id,
            "matched_components": list(self.matched_components),
            "mismatched_components": list(self.mismatched_components),
            "details": self.details,
            "confidence": self.confidence,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return msgspec.to_builtins(
            {
                **self.stored(),
                "model": self.model,
                "signature": self.signature,
                "rejected": list(self.rejected),
                "incomplete": self.incomplete,
            }
        )

    @property
    def would_hit(self) -> bool:
        """Whether the run is given back."""
        return self.status == "hit"

    @property
    def changes(self) -> tuple[Change, ...]:
        """What differs from the nearest earlier run, code first."""
        return tuple(_changes(self.details))

    @property
    def headline(self) -> str:
        """Hit or miss, and in a few words why."""
        return _opening(self)

    @property
    def text(self) -> str:
        """Everything, line by line."""
        lines = [self.headline]
        lines += [f"  {change}" for change in self.changes]
        lines += [f"  … and {count} more ({kind})" for kind, count in self.not_listed.items()]
        lines += [f"  not taken: {reason}" for reason in self.rejected]
        if self.incomplete is not None:
            lines.append(f"  earlier runs may have been missed: {self.incomplete}")
        return "\n".join(lines)

    @property
    def not_listed(self) -> dict[str, int]:
        """How many more differences there are than are listed, by kind."""
        more: Any = self.details.get("more", {})
        return {kind: more[kind] for kind in more}

    def __str__(self) -> str:
        opening, changes = self.headline, self.changes
        if self.rejected and not changes:
            return f"{opening}; {self.rejected[0]}"
        if not changes:
            return opening
        first = "; ".join(
            _phrase(change, _LONGEST_IN_SENTENCE) for change in changes[:_ENTRIES_IN_SENTENCE]
        )
        left = len(changes) - _ENTRIES_IN_SENTENCE + sum(self.not_listed.values())
        return f"{opening}: {first}{f'; and {left} more' if left > 0 else ''}"

    def __repr__(self) -> str:
        return f"<Explanation {self}>"


_STORED = ("status", "reason", "candidate_run_id", "matched_components",
           "mismatched_components", "details", "confidence")  # fmt: skip


def hit(run_id: str, *, by_content: bool, **rest: Any) -> Explanation:
    """Return the explanation of a run that is given back."""
    return Explanation(
        status="hit",
        reason="content_match" if by_content else "exact_match",
        candidate_run_id=run_id,
        matched_components=("config", "inputs", "code"),
        **rest,
    )


def reason_of(mismatched: tuple[str, ...]) -> str:
    """Return the documented name of what differs."""
    return _REASONS[frozenset(mismatched)]


_REASONS = {
    frozenset[str](): "exact_match_lookup_inconclusive",
    frozenset({"config"}): "config_changed",
    frozenset({"inputs"}): "inputs_changed",
    frozenset({"code"}): "code_changed",
    frozenset({"config", "inputs"}): "config_and_inputs_changed",
    frozenset({"config", "code"}): "config_and_code_changed",
    frozenset({"inputs", "code"}): "inputs_and_code_changed",
    frozenset({"config", "inputs", "code"}): "all_components_changed",
}


# ---------------------------------------------------------------- differences

_KINDS = {
    "code_parts_changed": ("code", "changed"),
    "repo_git_identity_changed": ("code", "changed"),
    "config_keys_changed": ("config", "changed"),
    "config_keys_added": ("config", "added"),
    "config_keys_removed": ("config", "removed"),
    "run_fields_changed": ("field", "changed"),
    "identity_inputs_changed": ("identity input", "changed"),
    "adapter_identity_changed": ("config adapter", "changed"),
    "input_binding_changed": ("how an input is bound", "changed"),
    "artifact_hash_changed": ("input", "changed"),
    "container_member_changed": ("input", "changed"),
    "upstream_run_changed": ("input", "reran"),
    "inputs_added": ("input", "added"),
    "inputs_removed": ("input", "removed"),
}
_HIDDEN = Change("config", "a value that is shown alike: a masked secret, or one of another type",
                 "changed")  # fmt: skip


def _changes(details: Mapping[str, Any]) -> Iterator[Change]:
    mode = details.get("code_identity_mode_changed")
    if mode is not None:
        yield Change("code", _MODE, "changed", mode["old"], mode["new"])
    for kind, (what, change) in _KINDS.items():
        for entry in details.get(kind, ()):
            yield _change(what, change, entry)
    if "config_value_hidden" in details:
        yield _HIDDEN


def _change(what: str, change: str, entry: Mapping[str, Any]) -> Change:
    happened = entry.get("change", change)
    if happened == "reran" and "new" in entry and entry.get("old") != entry["new"]:
        happened = "changed"
    return Change(what, entry["name"], happened, entry.get("old"), entry.get("new"), _note(entry))


def _note(entry: Mapping[str, Any]) -> str:
    parts: list[str] = []
    if "key" in entry:
        parts.append(f"key {entry['key']}")
    if "path" in entry or "old_path" in entry:
        parts.append(str(entry.get("path", entry.get("old_path"))))
    if "path" in entry and "old_path" in entry:
        parts.append(f"was {entry['old_path']}")
    before, now = entry.get("old_run"), entry.get("new_run")
    if now is not None:
        parts.append(f"from run {now}")
    if before not in {None, now}:
        parts.append(f"before from run {before}")
    return ", ".join(parts)


# ---------------------------------------------------------------- words


def _opening(found: Explanation) -> str:
    template = _OPENINGS.get(found.reason, "{status}: {differs} changed since run {run}")
    if found.candidate_run_id is None:
        template = _WITHOUT_RUN.get(found.reason, template)
    return template.format(
        status=found.status,
        run=found.candidate_run_id,
        differs=_listed(found.mismatched_components) or "something",
        of_model="" if found.model is None else f" of model {found.model!r}",
        because=found.details.get("because", "as was asked for"),
    )


_OPENINGS = {
    "exact_match": "hit: run {run} has the same signature",
    "content_match": "hit: run {run} used inputs of the same content",
    "no_similar_prior_run": "miss: no earlier run{of_model}",
    "not_looked_up": "miss: not looked up, {because}",
    "demoted": "miss: began as a hit of run {run}, then did something else or failed",
    "candidate_outputs_invalid": "miss: run {run} is the same, but not its outputs",
    "exact_match_lookup_inconclusive": "miss: run {run} is the same, but cannot be given back",
}
_WITHOUT_RUN = {"exact_match_lookup_inconclusive": "miss: not every earlier run could be seen"}


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _phrase(change: Change, longest: int) -> str:
    old, new = _cut(change.before, longest), _cut(change.now, longest)
    if change.what == "code" and change.name not in _TOLD_BY_VALUES:
        return f"{change.name} {change.change}"  # digests would say no more
    subject = change.name if change.what in {"code", "field"} else f"{change.what} {change.name}"
    match change.change:
        case "added":
            return f"{subject} added{new and f': {new}'}"
        case "removed":
            return f"{subject} removed{old and f': was {old}'}"
        case "reran":
            return f"{subject}: its producer ran again, to the same bytes"
        case _:
            return f"{subject}: {old} → {new}" if old and new else f"{subject} changed"


_MODE = "mode of code identity"
_TOLD_BY_VALUES = frozenset({COMMIT, _MODE})


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _value(value: Any, what: str) -> str:
    if value is None and what not in {"config", "field"}:
        return ""  # nothing was recorded
    if isinstance(value, str) and value.isprintable() and value.strip() == value != "":
        return value
    return msgspec.json.encode(value).decode()
