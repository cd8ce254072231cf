"""Where things come from and what came of them."""

# ruff: noqa: ARG005 - steps name what they take, used or not

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pandas as pd
import pytest

from consist import Artifact, Lineage, Tracker
from consist.models.record import replace
from consist.query.lineage_graph import Edge
from consist.query.lineage_walk import of_artifact, of_run
from tests.unit.models.test_html import checked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def model(**inputs: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})


def first(raw: pd.DataFrame) -> pd.DataFrame:
    return raw.head(2)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    """Record raw → clean → total in a scenario, total used twice, and a hit of clean beside it."""
    folder = tmp_path_factory.mktemp("project")
    raw = folder / "raw.csv"
    raw.write_text("a,b\n1,2\n")
    with Tracker(
        run_dir=folder / "runs", db_path=folder / "provenance.duckdb", project_root=folder
    ) as tracker:
        with tracker.scenario("base") as sc:
            clean = sc.run(first, "clean", run_id="c", inputs={"raw": raw}, outputs=["clean"])
            sc.run(
                lambda clean, raw: clean,
                "total",
                run_id="t",
                year=2030,
                inputs={"clean": clean.outputs["clean"], "raw": raw},
                outputs=["total"],
            )
        with tracker.start_run("figure", "plot"):
            tracker.log_input(tracker.get_run_outputs("t")["total"])
            picture = folder / "figure 3.png"
            picture.write_bytes(b"\x89PNG 3")
            tracker.log_output(picture, "figure3")
        tracker.run(first, "clean", run_id="hit", inputs={"raw": raw}, outputs=["clean"])
        yield tracker


def keys(lineage: Lineage) -> set[str]:
    return {artifact.key for artifact in lineage.artifacts.values()}


# ---------------------------------------------------------------- the graph


def test_a_lineage_has_each_artifact_and_run_once(project: Tracker) -> None:
    # QRY-028
    found = project.lineage("figure3")
    assert keys(found) == {"figure3", "total", "clean", "raw"}
    assert list(found.runs) == ["figure", "t", "c"]
    assert len(found.nodes) == len({node.id for node in found.nodes}) == 7
    raw = next(node.id for node in found.nodes if getattr(node.entity, "key", "") == "raw")
    assert {edge.target for edge in found.out_of[raw]} == {"run:t", "run:c"}
    assert found.root == of_artifact(project.get_artifact("figure3").id)  # type: ignore[union-attr]


@pytest.mark.parametrize(("depth", "runs"), [(0, 0), (1, 1), (2, 2), (3, 3), (99, 3)])
def test_the_depth_counts_runs(project: Tracker, depth: int, runs: int) -> None:
    # QRY-029
    found = project.lineage("figure3", max_depth=depth)
    assert len(found.runs) == runs
    assert len(found.edges) == {0: 0, 1: 2, 2: 5, 3: 7}[min(depth, 3)]


def test_what_came_of_something_is_found_downwards(project: Tracker) -> None:
    found = project.lineage("raw", direction="down")
    assert set(found.runs) == {"c", "t", "figure", "hit"}
    assert keys(found) == {"raw", "clean", "total", "figure3"}
    gave = {(edge.source, edge.kind) for edge in found.edges if edge.kind in {"made", "gave back"}}
    assert ("run:hit", "gave back") in gave
    assert ("run:c", "made") in gave
    assert project.lineage("figure3", direction="down").edges == ()
    one = project.lineage("raw", direction="down", max_depth=1)
    assert set(one.runs) == {"c", "t", "hit"}


def test_both_ways_are_one_graph(project: Tracker) -> None:
    found = project.lineage("total", direction="both")
    assert {"c", "t", "figure"} <= set(found.runs)
    assert len(found.edges) == len(set(found.edges))
    assert str(found).count("total [parquet]") == 2


def test_a_run_that_is_a_hit_shows_its_source(project: Tracker) -> None:
    found = project.lineage("hit")
    assert found.root == "run:hit"
    assert Edge("run:c", "run:hit", "reused") in found.edges
    assert "cached from c" in str(found)
    assert list(project.lineage("hit", max_depth=1).runs) == ["hit"]


def test_a_scenario_stands_for_its_steps(project: Tracker) -> None:
    found = project.lineage("base")
    assert {edge for edge in found.edges if edge.kind == "step"} == {
        Edge("run:base", "run:c", "step"),
        Edge("run:base", "run:t", "step"),
    }
    assert keys(found) == {"raw", "clean"}
    down = project.lineage("base", direction="down")
    assert "figure3" in keys(down)


def test_what_is_meant_can_be_given_in_many_ways(project: Tracker) -> None:
    artifact, run = project.get_artifact("total"), project.get_run("t")
    assert artifact is not None
    edges = project.lineage("total").edges
    for meant in (artifact, artifact.id, str(artifact.id), artifact.path):
        assert project.lineage(meant).edges == edges
    assert project.lineage(run).edges == project.lineage("t").edges  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["nothing", UUID(int=7), str(UUID(int=7))])
def test_what_nobody_recorded_is_an_error(project: Tracker, wrong: Any) -> None:
    with pytest.raises(KeyError, match=re.escape(str(wrong))):
        project.lineage(wrong)


def test_wrong_options_are_errors(project: Tracker, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="direction"):
        project.lineage("total", direction="sideways")
    with pytest.raises(ValueError, match="below zero"):
        project.lineage("total", max_depth=-1)
    for wrong in (True, "1", 1.5):
        with pytest.raises(TypeError):
            project.get_artifact_lineage("total", max_depth=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a dict"):
        project.lineage({})  # type: ignore[arg-type]
    with Tracker(run_dir=tmp_path) as bare:
        with pytest.raises(RuntimeError, match="db_path"):
            bare.lineage("total")
        assert bare.get_artifact_lineage("total") is None


# ---------------------------------------------------------------- files


def test_a_file_tells_which_run_made_it(
    project: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = project.project_root / "figure 3.png"
    monkeypatch.chdir(project.project_root)
    for path in (picture, str(picture), "figure 3.png", "./figure 3.png"):
        found = project.lineage(path)
        assert list(found.runs) == ["figure", "t", "c"]
        assert found.file == (str(picture), "same", "place")
    assert str(found).startswith(f"{picture}: as it was recorded\nfigure3 [")
    copy = tmp_path / "in the paper.png"
    shutil.copy(picture, copy)
    found = project.lineage(copy)
    assert found.file == (str(copy), "same", "content")
    assert "a copy" in str(found)
    assert list(found.runs) == ["figure", "t", "c"]


def test_a_file_that_changed_or_is_gone_says_so(tracker: Tracker, here: Path) -> None:
    path = here / "out.csv"
    for n in (1, 2):
        path.write_text(f"a\n{n}\n")
        with tracker.start_run(f"r{n}", "m"):
            tracker.log_output(path, "out")
    assert list(tracker.lineage(path).runs) == ["r2"]
    path.write_text("a\n1\n")
    assert list(tracker.lineage(path).runs) == ["r1"]  # the version that the file is again
    path.write_text("a\nother\n")
    found = tracker.lineage(path)
    assert found.file is not None
    assert found.file.state == "changed"
    assert list(found.runs) == ["r2"]
    for text in (str(found), found.to_mermaid(), found.to_dot(), found._repr_html_()):
        assert "CHANGED" in text
    assert found.to_dict()["file"]["state"] == "changed"
    path.unlink()
    assert "no longer there" in str(tracker.lineage(path))
    with pytest.raises(KeyError, match=r"nowhere\.csv") as caught:
        tracker.lineage("./nowhere.csv")
    assert "no such file" in caught.value.__notes__[0]
    (here / "unknown.csv").write_text("never seen")
    with pytest.raises(KeyError) as caught:
        tracker.lineage(here / "unknown.csv")
    assert "no run recorded" in caught.value.__notes__[0]


def test_a_file_is_found_from_another_run_folder_and_in_a_recorded_folder(
    tracker: Tracker, here: Path, tmp_path: Path
) -> None:
    with tracker.start_run("r", "m"):
        tracker.log_dataframe(model(), "table")
        folder = here / "tables"
        folder.mkdir()
        (folder / "part.csv").write_text("x")
        tracker.log_output(folder, "tables")
    written = tracker.get_run_outputs("r")["table"].path
    with Tracker(run_dir=tmp_path / "elsewhere", db_path=tracker.db_path) as other:
        assert list(other.lineage(written).runs) == ["r"]
        found = other.lineage(folder / "part.csv")
        assert found.file == (str(folder / "part.csv"), "unknown", "folder")
        assert keys(found) == {"tables"}


# ---------------------------------------------------------------- odd histories


def documents(tracker: Tracker, edges: list[tuple[list[int], int]]) -> None:
    """Append runs that use and make artifacts by number, like one that was recorded."""
    with tracker.start_run("example", "m"):
        tracker.log_dataframe(model(), "k")
    example = tracker.last_run.document  # type: ignore[union-attr]
    known: dict[int, Any] = {}
    for number, (used, made) in enumerate(edges):
        uid = f"run{number}"
        for each in {*used, made} - known.keys():
            known[each] = replace(
                example.outputs[0], id=str(UUID(int=each)), key=f"k{each}", run_id=None
            )
        known[made] = replace(known[made], run_id=uid)
        run = replace(example.run, id=uid, uid=uid, requested_id=uid)
        inputs = tuple(known[each] for each in used)
        tracker.store.append(replace(example, run=run, inputs=inputs, outputs=(known[made],)))


def test_cycles_are_cut(tracker: Tracker) -> None:
    documents(tracker, [([2, 9], 1), ([1], 2), ([1, 2], 3), ([4], 4)])
    tracker.store.sync()
    # Each of two artifacts was made with the other: k2 is an input of the run that made k1.
    tree = tracker.get_artifact_lineage("k3")
    assert len(json.dumps(tree, default=str)) < 20_000
    assert len(str(tracker.lineage("k3")).splitlines()) < 10
    assert "see above" in str(tracker.lineage("k4"))
    assert list(tracker.lineage("k4", direction="down").runs) == ["run3"]
    tree = tracker.get_artifact_lineage("k4")
    assert tree is not None
    assert tree["producing_run"]["inputs"][0]["producing_run"] is None


def test_a_run_that_nobody_knows_any_more_is_named(tracker: Tracker) -> None:
    documents(tracker, [([1], 2)])
    artifact = tracker.get_artifact("k2")
    assert artifact is not None
    artifact.run_id, artifact.id = "purged", uuid4()
    found = tracker.lineage(artifact)
    assert found.runs == {"purged": None}
    assert str(found) == "k2 [parquet] ← purged"
    assert found.to_dict()["runs"][0]["known"] is False
    assert "unknown run" in found.to_mermaid()


def test_a_part_leads_to_its_container_and_on(tracker: Tracker) -> None:
    with tracker.start_run("w", "write"):
        tracker.log_dataframe(model(), "store")
    document = tracker.last_run.document  # type: ignore[union-attr]
    whole = document.outputs[0]
    part = replace(
        whole, id=str(uuid4()), key="part", table_path="t", parent_artifact_id=whole.id, run_id=None
    )
    user = replace(document.run, id="u", uid="u", requested_id="u")
    tracker.store.append(replace(document, run=user, inputs=(part,), outputs=()))
    up = tracker.lineage("part")
    assert set(up.runs) == {"w"}
    assert {edge.kind for edge in up.edges} == {"part", "made"}
    assert "part#t" in str(up)
    assert set(tracker.lineage("store", direction="down").runs) == {"u"}
    again = replace(user, id="v", uid="v", requested_id="v")
    tracker.store.append(replace(document, run=again, inputs=(whole,), outputs=()))
    assert set(tracker.lineage("part", direction="down").runs) == {"u", "v"}


def chain(tracker: Tracker, length: int) -> None:
    documents(tracker, [([n], n + 1) for n in range(length)])


def test_a_long_chain_is_followed_without_recursion(tracker: Tracker) -> None:
    chain(tracker, 2_000)
    found = tracker.lineage("k2000")
    assert len(found.runs) == 2_000
    lines = str(found).splitlines()
    assert 2_000 <= len(lines) <= 2_100
    assert max(map(len, lines)) < 600
    assert len(found.to_mermaid().splitlines()) > 6_000
    tree = tracker.get_artifact_lineage("k2000")
    depth = 0
    while tree is not None and tree["producing_run"]:
        (tree,), depth = tree["producing_run"]["inputs"], depth + 1
    assert depth == 2_000
    assert len(tracker.lineage("k0", direction="down").runs) == 2_000


def test_a_big_history_is_asked_for_what_matters_only(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents(tracker, [([n], n + 1) for n in range(30)] + [([n], n + 1) for n in range(40, 60)])
    whole = tracker.lineage("k30"), tracker.lineage("k40", direction="down")
    monkeypatch.setattr("consist.query.lineage_walk._FEW_LINKS", 0)
    some = tracker.lineage("k30"), tracker.lineage("k40", direction="down")
    for ours, theirs in zip(whole, some, strict=True):
        assert ours.to_dict() == theirs.to_dict()
    assert len(some[0].runs) == 30
    assert len(some[1].runs) == 20
    run = tracker.lineage("run5", direction="down")
    assert len(run.runs) == 25


@pytest.mark.slow
def test_a_hundred_thousand_runs_are_followed_in_bounded_time(tracker: Tracker) -> None:
    chain(tracker, 100_000)
    tracker.store.sync(wait=600)
    began = time.monotonic()
    found = tracker.lineage("k100000")
    assert len(found.runs) == 100_000
    assert sum(len(line) for line in found.lines()) < 100_000 * 600
    assert found.to_dot().count(" -> ") == 200_000
    assert time.monotonic() - began < 120


# ---------------------------------------------------------------- text

HOSTILE = [
    'a "quoted" [b] {c} (d)',
    "<script>alert(1)</script> & &lt; ]]>",
    "line\nbreak\ttab\x00nul",
    "back\\slash \\n \\",
    "größe 東京 🚗 \u2028 e\u0301",
    "1. list - not; end graph subgraph %%{init}%% #35; $$x$$ fa:fa-car https://x.org www.x.org",
    "a@b.c",
    "`code` *bold* _em_ ~~x~~ -->|text| --- :::",
    "\ud800half",
    "x" * 10_000,
    "",
]


def hostile() -> Lineage:
    now = pd.Timestamp("2030-01-01", tz="UTC").to_pydatetime()
    artifacts: dict[str, Artifact] = {}
    for n, text in enumerate(HOSTILE):
        made = Artifact(
            id=UUID(int=n), key=text, container_uri="./x", driver=text, table_path=text,
            created_at=now, meta={},
        )  # fmt: skip
        artifacts[str(made.id)] = made
    ids = list(artifacts)
    runs: dict[str, Any] = dict.fromkeys(HOSTILE[:-1])
    edges = [Edge(of_artifact(each), of_run(run), "used") for each in ids for run in runs]
    edges.append(Edge(of_run(HOSTILE[0]), of_run(HOSTILE[1]), "reused"))
    return Lineage(of_artifact(ids[0]), "up", None, artifacts, runs, tuple(edges))


_MERMAID_TEXT = r'"(?:[\w ./,()…-]|#\d+;|<br/>)*"'
_MERMAID_LINE = re.compile(
    rf"flowchart LR|  n\d+(\[{_MERMAID_TEXT}\]|\(\[{_MERMAID_TEXT}\]\))"
    rf"|  n\d+ (-->|-\. {_MERMAID_TEXT} \.->) n\d+|  style n\d+ stroke-width:3px"
    rf"|  file\[{_MERMAID_TEXT}\] -\.-> n\d+"
)


def test_mermaid_is_of_its_grammar_whatever_things_are_called(project: Tracker) -> None:
    for found in (hostile(), project.lineage("figure3"), project.lineage("base")):
        text = found.to_mermaid()
        text.encode()
        for line in text.split("\n")[:-1]:
            assert _MERMAID_LINE.fullmatch(line), line
        assert text.count(" --> ") + text.count(" .-> ") == len(found.edges)
    text = hostile().to_mermaid()
    assert "#34;quoted#34; #91;b#93;" in text
    assert "größe 東京 #128663;" in text
    assert "script" in text
    assert "<script" not in text


_DOT_TEXT = r'"(?:[^"\\\n]|\\.)*"'
_DOT_LINE = re.compile(
    rf"digraph lineage \{{|  rankdir=LR;|  node \[fontname={_DOT_TEXT}\];|  label={_DOT_TEXT};"
    rf"|  n\d+ \[shape=(box|ellipse)(, penwidth=3)?, label={_DOT_TEXT}\];"
    rf"|  n\d+ -> n\d+( \[style=dashed, label={_DOT_TEXT}\])?;|\}}"
)


def test_dot_is_of_its_grammar_whatever_things_are_called(project: Tracker) -> None:
    for found in (hostile(), project.lineage("figure3"), project.lineage("base")):
        text = found.to_dot()
        for line in text.split("\n")[:-1]:
            assert _DOT_LINE.fullmatch(line), line
        assert text.count(" -> ") == len(found.edges)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_it() -> None:
    done = subprocess.run(
        ["dot", "-Tplain"], input=hostile().to_dot().encode(), capture_output=True, check=True
    )
    assert done.stderr == b""
    assert done.stdout.count(b"node ") == len(hostile().nodes)


def test_a_lineage_is_data_that_can_be_written_as_json(project: Tracker) -> None:
    found = project.lineage("figure3")
    data = json.loads(json.dumps(found.to_dict()))
    assert data["artifact_id"] == found.root.partition(":")[2]
    assert data["run_id"] is None
    assert {each["key"] for each in data["artifacts"]} == keys(found)
    total = next(run for run in data["runs"] if run["id"] == "t")
    assert total["year"] == 2030
    assert total["parent_run_id"] == "base"
    assert len(total["input_ids"]) == 2
    assert len(total["output_ids"]) == 1
    assert len(data["edges"]) == 7
    json.dumps(hostile().to_dict()).encode()


def test_a_tree_shows_shared_things_once(project: Tracker, capsys: Any) -> None:
    # QRY-030
    project.print_lineage("figure3")
    plain = capsys.readouterr().out
    assert plain.splitlines() == [
        "figure3 [png] ← plot" if "[png]" in plain else plain.splitlines()[0],
        "└── total [parquet] ← total, 2030",
        "    ├── clean [parquet] ← clean",
        "    │   └── raw [csv]",
        "    └── raw [csv]",
    ]
    project.print_lineage("figure3", show_run_ids=True, max_depth=1)
    assert capsys.readouterr().out.splitlines()[0].endswith("← plot, figure")
    down = str(project.lineage("clean", direction="down"))
    assert down.splitlines() == [
        "clean [parquet]",
        "└── → total, 2030",
        "    └── total [parquet]",
        "        └── → plot",
        f"            └── {plain.split(' ←')[0]}",
    ]


def test_a_lineage_is_shown_in_notebooks(project: Tracker) -> None:
    found = project.lineage("figure3")
    assert repr(found).startswith("Lineage('artifact:")
    assert "4 artifacts, 3 runs" in checked(found).text
    assert "└── total" in checked(found).text
    assert len(checked(hostile()).text) < 400_000
