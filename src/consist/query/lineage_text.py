"""A lineage as text: a tree, a Mermaid flowchart, a graph for Graphviz."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from consist.models.record import storable
from consist.query.lineage_parts import Graph
from consist.query.lineage_walk import (
    GAVE_BACK,
    MADE,
    PART,
    REUSED,
    STEP,
    USED,
    Edge,
    of_run,
)

if TYPE_CHECKING:
    from consist.models.artifact import Artifact
    from consist.models.run import Run

T = TypeVar("T")

_DEEPEST = 100
"""Levels of a tree that are indented; below, it goes on from the left margin."""

_LONGEST_LABEL = 80
_SAYING_NOTHING = frozenset({USED, MADE})


# ---------------------------------------------------------------- labels


def label(lineage: Graph, node: str) -> tuple[str, str]:
    """Return what a node is called, and what else there is to say of it."""
    kind, _, bare = node.partition(":")
    if kind == "artifact":
        artifact = lineage.artifacts[bare]
        return _artifact_name(artifact), artifact.driver
    run = lineage.runs[bare]
    if run is None:
        return bare, "unknown run"
    facts = _run_facts(run)
    return f"{facts[0]}{' ' if facts[1:] else ''}{', '.join(facts[1:])}", bare


def artifact_line(artifact: Artifact, run: Run | None, *, show_run_ids: bool) -> str:
    """Return an artifact and the run that made it as one line of a tree."""
    text = f"{_artifact_name(artifact)} [{artifact.driver}]"
    if run is None:
        return text if artifact.run_id is None else f"{text} ← {artifact.run_id}"
    return f"{text} ← {', '.join([*_run_facts(run), *([run.id] if show_run_ids else [])])}"


def _artifact_name(artifact: Artifact) -> str:
    part = artifact.table_path or artifact.array_path
    return f"{artifact.key}#{part}" if part else artifact.key


def _run_facts(run: Run) -> list[str]:
    facts = [run.model_name]
    if run.year is not None:
        facts.append(str(run.year))
    if run.iteration is not None:
        facts.append(f"iteration {run.iteration}")
    if run.status != "completed":
        facts.append(run.status)
    return facts


# ---------------------------------------------------------------- tree


def branches(
    root: T, said: Callable[[T], str], below: Callable[[T], Sequence[T]], key: Callable[[T], Any]
) -> Iterator[str]:
    """Yield anything tree-like as lines; what was shown before is only named again.

    Neither depth nor width is bounded: a tree that is too deep to be indented goes on from the
    left margin, so that the text grows with the number of nodes.
    """
    shown: set[Any] = set()
    further = [root]
    for top in further:
        stack: list[tuple[T, str, str, int]] = [(top, "", "", 0)]
        while stack:
            node, lead, margin, depth = stack.pop()
            children = below(node)
            again = key(node) in shown and bool(children)
            cut = not again and depth >= _DEEPEST and bool(children)
            note = " (see above)" if again else " (continued below)" if cut else ""
            yield f"{lead}{said(node)}{note}"
            if cut:
                further.append(node)
            if again or cut:
                continue
            shown.add(key(node))
            for number in range(len(children) - 1, -1, -1):
                last = number == len(children) - 1
                branch, space = ("└── ", "    ") if last else ("├── ", "│   ")
                stack.append((children[number], margin + branch, margin + space, depth + 1))


def tree(lineage: Graph, *, show_run_ids: bool) -> Iterator[str]:
    """Yield a lineage as a tree, after a line on the file that was asked for, if it was one."""
    if lineage.file is not None:
        yield str(lineage.file)
    up = lineage.direction in {"up", "both"}
    if up:
        yield from _lines(_Up(lineage, show_run_ids=show_run_ids))
    if lineage.direction in {"down", "both"}:
        if up:
            yield ""
        yield from _lines(_Down(lineage, show_run_ids=show_run_ids))


def _lines(way: _Up | _Down) -> Iterator[str]:
    return branches(way.lineage.root, way.said, way.below, way.key)


class _Up:
    """Artifacts, each with the run that made it, and below what that used."""

    def __init__(self, lineage: Graph, *, show_run_ids: bool) -> None:
        self.lineage, self._ids = lineage, show_run_ids

    def said(self, node: str) -> str:
        kind, _, bare = node.partition(":")
        if kind == "run":
            return _run_line(self.lineage, bare)
        maker = self._maker(node)
        run = None if maker is None else self.lineage.runs[maker]
        return artifact_line(self.lineage.artifacts[bare], run, show_run_ids=self._ids)

    def below(self, node: str) -> list[str]:
        into = self.lineage.into
        found = [edge.source for edge in into[node] if edge.kind in {PART, USED, REUSED}]
        found += [edge.target for edge in self.lineage.out_of[node] if edge.kind == STEP]
        maker = self._maker(node)
        if maker is not None:
            found += [edge.source for edge in into[of_run(maker)] if edge.kind == USED]
        return list(dict.fromkeys(found))

    def key(self, node: str) -> str:
        """Return what stands for all that is below: artifacts of one run have the same."""
        return self._maker(node) or node

    def _maker(self, node: str) -> str | None:
        made = [edge.source for edge in self.lineage.into[node] if edge.kind == MADE]
        return made[0].partition(":")[2] if made else None


class _Down:
    """Artifacts, below each the runs that used it, and below those what they gave."""

    def __init__(self, lineage: Graph, *, show_run_ids: bool) -> None:
        self.lineage, self._ids = lineage, show_run_ids

    def said(self, node: str) -> str:
        kind, _, bare = node.partition(":")
        if kind == "artifact":
            artifact = self.lineage.artifacts[bare]
            return f"{_artifact_name(artifact)} [{artifact.driver}]"
        run = self.lineage.runs[bare]
        lead = "" if node == self.lineage.root else "→ "
        if self._ids or run is None or not lead:
            return f"{lead}{_run_line(self.lineage, bare)}"
        return f"{lead}{', '.join(_run_facts(run))}{_hit(run)}"

    def below(self, node: str) -> list[str]:
        kinds = {USED, MADE, GAVE_BACK, PART, STEP}
        found = (edge.target for edge in self.lineage.out_of[node] if edge.kind in kinds)
        return list(dict.fromkeys(found))

    def key(self, node: str) -> str:
        return node


def _run_line(lineage: Graph, run_id: str) -> str:
    run = lineage.runs[run_id]
    if run is None:
        return f"run {run_id} (unknown)"
    return f"run {run_id} ({', '.join(_run_facts(run))}){_hit(run)}"


def _hit(run: Run) -> str:
    source = run.meta.get("cache_source")
    return f", cached from {source}" if run.meta.get("cache_hit") and source else ""


# ---------------------------------------------------------------- Mermaid

_PLAIN = frozenset(" _,/()…")


def mermaid(lineage: Graph) -> str:
    """Return a flowchart; see https://mermaid.js.org for who draws it."""
    names = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    lines = ["flowchart LR"]
    if lineage.file is not None:
        said = "<br/>".join(map(_mermaid_text, (lineage.file.path, lineage.file.said)))
        lines.append(f'  file["{said}"] -.-> {names[lineage.root]}')
    for node, name in names.items():
        first, second = (_mermaid_text(part) for part in label(lineage, node))
        text = f'"{first}<br/>{second}"' if second else f'"{first}"'
        lines.append(f"  {name}{f'([{text}])' if node.startswith('run:') else f'[{text}]'}")
    lines += [
        f"  {names[edge.source]} {_mermaid_arrow(edge)} {names[edge.target]}"
        for edge in lineage.edges
    ]
    lines.append(f"  style {names[lineage.root]} stroke-width:3px")
    return "\n".join([*lines, ""])


def _mermaid_arrow(edge: Edge) -> str:
    return "-->" if edge.kind in _SAYING_NOTHING else f'-. "{edge.kind}" .->'


def _mermaid_text(text: str) -> str:
    """Escape text for a quoted label: whatever could mean something is given by its number."""
    text = _cut(text)
    return "".join(
        char if _says_nothing(char, text, at) else f"#{ord(char)};" for at, char in enumerate(text)
    )


def _says_nothing(char: str, text: str, at: int) -> bool:
    """Whether a character is only a character, where labels may hold Markdown, HTML and links."""
    if char == "_":  # emphasis begins and ends beside what is no letter
        return 0 < at < len(text) - 1 and text[at - 1].isalnum() and text[at + 1].isalnum()
    if char in ".-":  # a list, at the beginning; an address, after www
        inside = 0 < at < len(text) - 1 and text[at + 1].isalnum()
        return inside and not text[:at].lower().endswith("www")
    return char.isalnum() or char in _PLAIN


# ---------------------------------------------------------------- Graphviz


def dot(lineage: Graph) -> str:
    """Return a graph in the language of Graphviz."""
    names = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    if lineage.file is not None:
        lines.append(f"  label={_dot_text((lineage.file.path, lineage.file.said))};")
    for node, name in names.items():
        shape = "ellipse" if node.startswith("run:") else "box"
        weight = ", penwidth=3" if node == lineage.root else ""
        lines.append(f"  {name} [shape={shape}{weight}, label={_dot_text(label(lineage, node))}];")
    for edge in lineage.edges:
        said = "" if edge.kind in _SAYING_NOTHING else f' [style=dashed, label="{edge.kind}"]'
        lines.append(f"  {names[edge.source]} -> {names[edge.target]}{said};")
    return "\n".join([*lines, "}", ""])


def _dot_text(parts: Iterable[str]) -> str:
    """Quote lines of text; Graphviz reads backslashes and HTML entities even inside quotes."""
    escaped = (
        _cut(part)
        .replace("\\", "\\\\")
        .replace('"', '\\"')
        .replace("&", "&amp;")
        .replace("\n", "\\n")
        for part in parts
        if part
    )
    return '"' + "\\n".join(escaped) + '"'


_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def _cut(text: str) -> str:
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", storable(text))
    if len(text) <= _LONGEST_LABEL:
        return text
    half = _LONGEST_LABEL // 2
    return f"{text[: half - 1]}…{text[-half:]}"
