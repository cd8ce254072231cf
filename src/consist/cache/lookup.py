"""Find out whether this was done before, by a run whose outputs still stand."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from consist.artifacts.verify import standing
from consist.hot.marks import is_ingested
from consist.models.record import ArtifactRecord, Raw, RunDocument, replace

if TYPE_CHECKING:
    from consist.workspace import Workspace

logger = logging.getLogger("consist.cache")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for.

    Attributes
    ----------
    signature : str
        With managed inputs by the signature of their producers.
    content_signature : str or None
        With every input by content; ``None`` if one has no digest.
    keys : frozenset of str
        Outputs that the run has to have, or at least to have declared.
    strict : bool
        Whether it has to have them.
    block : bool
        Whether an inline block asks, which executes in any case.
    eager : bool
        Whether the outputs have to exist.
    """

    signature: str
    content_signature: str | None
    keys: frozenset[str] = frozenset()
    strict: bool = False
    block: bool = False
    eager: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What was found.

    Attributes
    ----------
    hit : RunDocument or None
        The run to give back.
    matched : {"signature", "content"} or None
        What it was found by.
    rejected : tuple of str
        Why candidates of the same signature were not taken.
    refused : RunDocument or None
        The first of these candidates.
    why : Explanation or None
        Why the run executes; of a hit ``None``.
    config : Raw or None
        The config as the snapshot will hold it, where the explanation needed it.
    waited : dict or None
        Which process this one waited for before it looked, and for how long.
    """

    hit: RunDocument | None = None
    matched: str | None = None
    rejected: tuple[str, ...] = ()
    refused: RunDocument | None = None
    why: Any = None  # not annotated as what it is, or a hit would import it
    config: Raw | None = None
    waited: dict[str, Any] | None = None


NOTHING_FOUND = Answer()
"""The answer where nobody looked."""


def find(ws: Workspace, question: Question, timing: Timing) -> Answer:
    """Look for a completed run of the same identity, newest first.

    The signature comes first; then the content of the inputs, so that an upstream step that ran
    again to the same bytes does not cost its consumers theirs.
    """
    rejected: list[str] = []
    refused: RunDocument | None = None
    lost: set[Bytes] = set()
    for signature, matched in _signatures(question):
        candidates = ws.store.candidates(signature)
        timing.lap("cache_lookup")
        for candidate in _unambiguous(candidates, question):
            if not lost.isdisjoint(map(_bytes, candidate.outputs)):
                continue  # a fixed path may have been overwritten a thousand times
            reason = objection(ws, candidate, question, lost)
            timing.lap("validate")
            if reason is None:
                return Answer(_with_news(ws, candidate), matched)
            refused = refused or candidate
            rejected.append(f"{candidate.run.id}: {reason}")
    return Answer(rejected=tuple(dict.fromkeys(rejected)), refused=refused)


def _with_news(ws: Workspace, source: RunDocument) -> RunDocument:
    """Return a run with what was said of its outputs since it was recorded."""
    found = [(output, ws.store.located(output.location)) for output in source.outputs]
    outputs = tuple(
        latest if latest is not None and latest.id == output.id else output
        for output, latest in found
    )
    return source if outputs == source.outputs else replace(source, outputs=outputs)


def _signatures(question: Question) -> Iterable[tuple[str, str]]:
    yield question.signature, "signature"
    if question.content_signature not in {None, question.signature}:
        yield str(question.content_signature), "content"


def _unambiguous(candidates: list[RunDocument], question: Question) -> list[RunDocument]:
    """Leave out blocks that came to different outputs under one signature, unless a block asks.

    What a block does is not part of its identity, so two of them that disagree prove nothing.
    """
    if question.block or len(candidates) < 2:
        return candidates
    outcomes = {_outcome(d) for d in candidates if d.extra.block}
    if len(outcomes) < 2:
        return candidates
    return [d for d in candidates if not d.extra.block]


def _outcome(document: RunDocument) -> frozenset[tuple[str, str | None]]:
    return frozenset((artifact.key, artifact.hash) for artifact in document.outputs)


Bytes = tuple[tuple[str, str, str | None, str | None], str | None]
"""Where an output lies, and its digest."""


def _bytes(artifact: ArtifactRecord) -> Bytes:
    return artifact.location, artifact.hash


def objection(
    ws: Workspace, candidate: RunDocument, question: Question, lost: set[Bytes]
) -> str | None:
    """Return why a candidate cannot be given back, or ``None`` if it can.

    An output that was overwritten is added to ``lost``, for it is lost to older runs as well.
    """
    have = {artifact.key for artifact in candidate.outputs}
    declared = () if question.strict else candidate.run.meta.get("declared_outputs", ())
    lacking = question.keys - have - set(declared)
    if lacking:
        return f"has no output {', '.join(sorted(lacking))}"
    recorded = candidate.extra.content_signature
    if None not in {recorded, question.content_signature} and (
        recorded != question.content_signature
    ):
        return "used inputs with other content"
    changed = next((a.key for a in _late_inputs(candidate) if _has_changed(ws, a)), None)
    if changed is not None:
        return f"input {changed!r}, logged while it ran, has changed"
    overwritten = next((a for a in candidate.outputs if _is_overwritten(ws, a)), None)
    if overwritten is not None:
        lost.add(_bytes(overwritten))
        return f"output {overwritten.key!r} was overwritten by a later run"
    if question.eager:
        return next(filter(None, (_missing(ws, a) for a in candidate.outputs)), None)
    return None


def _late_inputs(candidate: RunDocument) -> list[ArtifactRecord]:
    late = set(candidate.extra.late_inputs)
    return [artifact for artifact in candidate.inputs if artifact.id in late] if late else []


def _has_changed(ws: Workspace, artifact: ArtifactRecord) -> bool:
    path = ws.path_of(artifact)
    if artifact.hash is None:
        return path.exists()
    return not ws.files.is_same(path, artifact.hash)


def _is_overwritten(ws: Workspace, artifact: ArtifactRecord) -> bool:
    """Whether the record knows of other bytes at the place of this output.

    Where something was recorded in it or around it, the bytes themselves have to tell.
    """
    later = ws.store.overwritten(artifact)
    if later is None:
        return False
    return later.certain or standing(ws, artifact).state == "changed"


def _missing(ws: Workspace, artifact: ArtifactRecord) -> str | None:
    """Return why an output could not be used as it was recorded: it is gone, or other bytes."""
    if artifact.hash is None and not is_ingested(ws, artifact):
        return f"output {artifact.key!r} had no bytes when it was recorded"
    found = standing(ws, artifact)
    if found.state == "gone" and not is_ingested(ws, artifact):
        return f"output {artifact.key!r} is not there: {found.path}"
    if found.state == "changed":
        return f"output {artifact.key!r} has other bytes than were recorded: {found.path}"
    return None


# ---------------------------------------------------------------- diagnostics


_PHASES = ("signature_prefetch", "input_hashing", "cache_lookup", "validate", "hydration")


class Timing:
    """Durations of the phases of one cache decision, logged when asked for."""

    def __init__(self, ws: Workspace) -> None:
        self._on = ws.settings.cache_timing
        self._phases: dict[str, float] = {}
        self._since = time.perf_counter() if self._on else 0.0

    def lap(self, phase: str) -> None:
        """End a phase."""
        if self._on:
            now = time.perf_counter()
            self._phases[phase] = self._phases.get(phase, 0.0) + (now - self._since) * 1e3
            self._since = now

    def skip(self) -> None:
        """Let the time since the last phase belong to none."""
        if self._on:
            self._since = time.perf_counter()

    def log(self) -> None:
        """Write the line that ``CONSIST_CACHE_TIMING=1`` asks for."""
        if self._on:
            text = " ".join(f"{name}={self._phases.get(name, 0.0):.1f}ms" for name in _PHASES)
            logger.warning("[cache_timing] %s", text)


def log_decision(
    ws: Workspace, signature: str, answer: Answer, *, inputs: int, hydration: str
) -> None:
    """Write the lines that ``CONSIST_CACHE_DEBUG=1`` asks for."""
    if not ws.settings.cache_debug:
        return
    logger.warning(
        "[cache_debug] hit=%s signature=%s inputs=%d outputs=%d hydration=%s",
        answer.hit is not None,
        signature[:12],
        inputs,
        0 if answer.hit is None else len(answer.hit.outputs),
        hydration,
    )
    for reason in answer.rejected:
        logger.warning("[cache_debug] not taken: %s", reason)
    if answer.why is not None:
        logger.warning("[cache_debug] why: %s", answer.why)
