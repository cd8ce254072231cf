"""Why a run that is about to begin is a hit, or why it has to be executed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from consist.cache.compare_identity import (
    COMPONENTS,
    Compared,
    Comparison,
    PathOf,
    UsedInput,
    compare,
    identity_of,
)
from consist.cache.explanation import Explanation, hit, reason_of
from consist.models.record import NULL, Raw, RunDocument, replace

if TYPE_CHECKING:
    from consist.cache.lookup import Answer
    from consist.runs.arguments import RunRequest
    from consist.runs.identify import Identity
    from consist.store.recent import Earlier
    from consist.workspace import Workspace

_INCONCLUSIVE = "exact_match_lookup_inconclusive"


def explain_miss(
    ws: Workspace, request: RunRequest, identity: Identity, answer: Answer, config: Raw
) -> Explanation:
    """Return why no earlier run is given back.

    What is compared is a run of the same identity that was found and not taken, else the nearest
    earlier run of the model. This asks the index alone, as look-ups do.

    Parameters
    ----------
    ws, request, identity
        The run.
    answer : Answer
        What the look-up found.
    config : Raw
        The config as the snapshot will hold it.
    """
    blank = Explanation(
        status="miss",
        reason="no_similar_prior_run",
        model=request.model,
        signature=identity.signature,
        rejected=answer.rejected,
        incomplete=ws.store.incomplete,
        confidence="high" if ws.store.incomplete is None else "low",
    )
    because = _not_looked_up(ws, request)
    if because is not None:
        return replace(blank, reason="not_looked_up", details={"because": because})
    if answer.refused is None:
        passed = ws.store.passed_over(str(identity.signature))
        if passed:
            sentences = (f"{run.run_id}: {run.why}" for run in passed)
            return _same(blank, passed[0].run_id, (*answer.rejected, *sentences))
    candidate = answer.refused or _nearest(ws, request, identity)
    if candidate is None:
        return blank if blank.incomplete is None else replace(blank, reason=_INCONCLUSIVE)
    found = compare(
        identity_of(candidate), identity_about_to_be(request, identity, config), _paths(ws)
    )
    return _compared(blank, candidate, found, is_refused=answer.refused is not None)


def explain_hit(
    ws: Workspace, request: RunRequest, identity: Identity, source: RunDocument, matched: str | None
) -> Explanation:
    """Return why an earlier run is given back; of a hit by content, whose producers ran again."""
    by_content = matched == "content"
    found = hit(
        source.run.id, by_content=by_content, model=request.model, signature=identity.signature
    )
    if not by_content:
        return found
    now = identity_about_to_be(request, identity, NULL)
    return replace(found, details=compare(identity_of(source), now, _paths(ws)).details)


def _not_looked_up(ws: Workspace, request: RunRequest) -> str | None:
    if request.cache.mode == "overwrite":
        return "cache_mode='overwrite'"
    return None if ws.store.has_database else "the tracker has no database"


def _same(blank: Explanation, run_id: str, rejected: tuple[str, ...]) -> Explanation:
    """Return that a run is the same in everything and never comes into question."""
    return replace(
        blank,
        reason=_INCONCLUSIVE,
        candidate_run_id=run_id,
        matched_components=COMPONENTS,
        rejected=rejected,
    )


def _compared(
    blank: Explanation, candidate: RunDocument, found: Comparison, *, is_refused: bool
) -> Explanation:
    why = blank.rejected[0].removeprefix(f"{candidate.run.id}: ") if is_refused else ""
    if not found.mismatched and why.startswith("input"):  # one that its code logged
        found = replace(found, matched=("config", "code"), mismatched=("inputs",))
    reason = reason_of(found.mismatched)
    if not found.mismatched and why.startswith(("output", "has no output")):
        reason = "candidate_outputs_invalid"
    sure = found.complete or is_refused
    return replace(
        blank,
        reason=reason,
        candidate_run_id=candidate.run.id,
        matched_components=found.matched,
        mismatched_components=found.mismatched,
        details=found.details,
        confidence=blank.confidence if sure or blank.confidence == "low" else "medium",
    )


# ---------------------------------------------------------------- what is compared


def _nearest(ws: Workspace, request: RunRequest, identity: Identity) -> RunDocument | None:
    """Return the run among the latest of the model that has most in common with this one."""
    earlier = ws.store.recent(request.model)
    if not earlier:
        return None
    nearest = most_alike(earlier, identity.config, identity.inputs, identity.code)
    return ws.store.recent_document(request.model, nearest.uid)


def most_alike(
    earlier: Sequence[Earlier], config: str | None, inputs: str | None, code: str | None
) -> Earlier:
    """Return the run with most digests equal, a completed one before others, then the newest.

    Parameters
    ----------
    earlier : sequence of Earlier
        Newest first.
    config, inputs, code : str or None
        The digests of the identity that is compared.
    """

    def likeness(run: Earlier) -> tuple[int, bool]:
        equal = (run.config == config) + (run.inputs == inputs) + (run.code == code)
        return equal, run.status == "completed"

    return max(earlier, key=likeness)  # of equal ones the first


def identity_about_to_be(request: RunRequest, identity: Identity, config: Raw) -> Compared:
    """Return the identity of a run that has no record yet, as its record will tell it."""
    names = {i.record.id: i.name for i in identity.used if i.name not in {None, i.record.key}}
    records = {item.record.id: item.record for item in identity.used}
    return Compared(
        code=identity.code,
        config=identity.config,
        inputs=identity.inputs,
        mode=identity.meta.get("code_identity"),
        code_parts=identity.code_parts,
        fields={
            "model": request.model,
            "year": request.year,
            "iteration": request.iteration,
            "cache_epoch": request.cache.epoch,
            "cache_version": request.cache.version,
        },
        values=config,
        identity_inputs=identity.meta.get("consist_hash_inputs", {}),
        binding=identity.binding,
        used=tuple(
            UsedInput(names.get(uid) or record.key, record, record.content)
            for uid, record in records.items()
        ),
    )


def _paths(ws: Workspace) -> PathOf:
    """Return what tells where the bytes of an artifact are expected, without looking there."""
    mounts = ws.files.mounts
    return lambda artifact: str(mounts.resolve(artifact.container_uri, artifact.root or None))
