"""``consist artifacts``, ``lineage`` and ``preview``."""

from uuid import uuid4

import pytest

from consist import Tracker
from tests.unit.cli.conftest import ODD


def test_artifacts_of_a_run(consist, project):
    done = consist("artifacts", project.runs["first"])
    assert done.exit_code == 0
    titles, _, *rows = done.stdout.splitlines()
    assert titles.split() == [
        "Ref",
        "Direction",
        "Key",
        "Artifact",
        "ID",
        "URI",
        "Access",
        "Driver",
        "Hash",
    ]
    assert [row.split()[:3] for row in rows] == [
        ["@1", "input", "clean"],
        ["@2", "output", "scaled"],
    ]
    assert all(" primary " in row for row in rows)


def test_artifacts_of_a_run_as_json(called_json, project):
    listed = called_json("artifacts", project.runs["first"])
    keys = ["direction", "key", "id", "run_id", "driver", "uri", "hash", "created_at", "access"]
    assert all(list(artifact) == keys for artifact in listed)
    assert listed[1]["run_id"] == project.runs["first"]


def test_a_file_that_is_gone_is_missing(called_json):
    access = {
        artifact["key"]: artifact["access"] for artifact in called_json("artifacts", "report")
    }
    assert access["gone"] == "missing"
    assert access["notes"] == "primary"


def test_artifacts_of_a_run_can_be_chosen(called_json, consist):
    assert [a["key"] for a in called_json("artifacts", "report", "--key-prefix", "no")] == ["notes"]
    done = consist("artifacts", "report", "--limit", 1)
    assert "more; --limit shows them" in done.stdout
    assert consist("artifacts", "report", "--key-prefix", "zz").stdout == "No artifacts match.\n"


def test_a_plain_id_means_the_completed_attempt_and_says_which(consist):
    done = consist("artifacts", "base")
    assert done.exit_code == 0
    assert done.stdout.startswith("Run base~2\n")


def test_artifacts_of_all_runs(consist, called_json, project):
    titles, _, newest, *_ = consist("artifacts").stdout.splitlines()
    facet = ["Facet", "Namespace", "Facet", "Schema", "Version"]
    assert titles.split() == ["Key", "Run", "Driver", *facet, "URI"]
    assert newest.startswith("wide ")
    scaled = called_json("artifacts", "--key-prefix", "scaled")
    assert [artifact["run_id"] for artifact in scaled] == [project.runs["first"]]
    assert len(called_json("artifacts", "--limit", 3)) == 3
    assert "--limit shows more than 3" in consist("artifacts", "--limit", 3).stdout


@pytest.mark.parametrize("prefix", ["%", "_", "' OR 1=1", "\\"])
def test_a_prefix_is_taken_literally(called_json, prefix):
    assert called_json("artifacts", "--key-prefix", prefix) == []


def test_artifacts_of_an_unknown_run(consist):
    done = consist("artifacts", "nobody")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: there is no run 'nobody'\nHint: ")


def test_files_are_found_below_another_run_dir(called_json, project, tmp_path):
    """Files that moved are named by the folder they are in now."""
    (tmp_path / "inputs").mkdir()
    data = tmp_path / "inputs" / "zones.csv"
    data.write_text("zone\n1\n")
    (tmp_path / "archive").mkdir()
    database = tmp_path / "archive" / "provenance.duckdb"
    with (
        Tracker(tmp_path / "runs", database, mounts={"inputs": tmp_path / "inputs"}) as tracker,
        tracker.start_run("import", model="import"),
    ):
        tracker.log_input(data, key="zones")
        (tracker.output_dir() / "made.csv").write_text("a\n7\n")
        tracker.log_output(tracker.output_dir() / "made.csv", key="made")
    (tmp_path / "runs").rename(tmp_path / "moved")
    there = ["--db-path", database]

    def access(*words):
        return [a["access"] for a in called_json("artifacts", "import", *there, *words)]

    assert access() == ["untrusted", "untrusted"]
    assert access("--trust-db") == ["primary", "missing"]
    assert access("--run-dir", tmp_path / "moved") == ["untrusted", "primary"]
    mount = f"inputs={tmp_path / 'inputs'}"
    assert access("--mount", mount, "--run-dir", tmp_path / "moved") == ["primary", "primary"]
    made = called_json("preview", "made", *there, "--run-dir", tmp_path / "moved")
    assert made["rows"] == [{"a": 7}]


@pytest.mark.parametrize("mount", ["inputs", "=x", "inputs="])
def test_a_mount_needs_name_and_path(consist, mount):
    done = consist("artifacts", "--mount", mount)
    assert done.exit_code == 2
    assert "is not NAME=PATH" in done.stderr


def test_a_mount_with_an_impossible_name_fails(consist):
    done = consist("artifacts", "--mount", "UPPER=/tmp")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: 'UPPER' cannot name a mount\nHint: ")


# ---------------------------------------------------------------- lineage


def test_lineage_is_a_tree(consist):
    done = consist("lineage", "scaled")
    assert done.stdout.splitlines() == [
        "scaled [parquet] ← scale, 2030",
        "└── clean [parquet] ← clean, 2030",
        "    └── raw [csv]",
    ]


def test_lineage_can_name_runs_and_stop(consist, project):
    assert project.runs["first"] in consist("lineage", "scaled", "--run-ids").stdout
    shallow = consist("lineage", "scaled", "--max-depth", 1).stdout.splitlines()
    assert len(shallow) == 2
    assert len(consist("lineage", "scaled", "--max-depth", 0).stdout.splitlines()) == 1


def test_lineage_as_json_is_a_flat_graph(called_json, project):
    graph = called_json("lineage", "scaled")
    assert [artifact["key"] for artifact in graph["artifacts"]] == ["scaled", "clean", "raw"]
    assert graph["artifact_id"] == graph["artifacts"][0]["id"]
    made, cleaned = graph["runs"]
    assert made["id"] == graph["artifacts"][0]["run_id"] == project.runs["first"]
    assert made["input_ids"] == [graph["artifacts"][1]["id"]]
    assert cleaned["input_ids"] == [graph["artifacts"][2]["id"]]


def test_lineage_takes_an_id(consist, called_json):
    found = called_json("artifacts", "--key-prefix", "clean")[0]["id"]
    assert consist("lineage", found).stdout.startswith("clean [parquet]")


def test_a_long_chain_is_told_whole(tmp_path, consist, called_json):
    """A hundred runs deep, nested JSON would be too deep for some readers."""
    database, made = tmp_path / "provenance.duckdb", None
    with Tracker(tmp_path / "runs", database, project_root=tmp_path) as tracker:
        for number in range(100):
            with tracker.start_run(f"step_{number}", model="step"):
                if made is not None:
                    tracker.log_input(made)
                path = tracker.output_dir() / "x.txt"
                path.write_text(str(number))
                made = tracker.log_output(path, key=f"k{number}")
    assert len(called_json("lineage", "k99", "--db-path", database)["runs"]) == 100
    assert len(consist("lineage", "k99", "--db-path", database).stdout.splitlines()) == 100


# ---------------------------------------------------------------- preview


def test_preview_of_a_table(consist):
    done = consist("preview", "scaled", "-n", 2)
    assert done.exit_code == 0
    assert done.stdout.startswith("scaled · parquet · ./outputs/")
    assert [line.split() for line in done.stdout.splitlines()[-4:]] == [
        ["zone", "trips"],
        ["─" * 11],
        ["0", "0"],
        ["1", "6"],
    ]


def test_preview_of_a_table_as_json(called_json):
    told = called_json("preview", "scaled", "--rows", 1)
    assert told["columns"] == [
        {"name": "zone", "type": "BIGINT"},
        {"name": "trips", "type": "BIGINT"},
    ]
    assert told["rows"] == [{"zone": 0, "trips": 0}]
    assert told["artifact"]["key"] == "scaled"


def test_preview_without_rows_shows_the_columns(consist, called_json):
    assert called_json("preview", "scaled", "-n", 0)["rows"] == []
    done = consist("preview", "scaled", "-n", 0)
    assert "BIGINT" in done.stdout


def test_preview_of_raw_input(called_json):
    assert len(called_json("preview", "raw")["rows"]) == 5


def test_preview_of_a_wide_table_turns_it(consist, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = consist("preview", "wide").stdout.splitlines()
    assert lines[-1].split() == ["measure_39", "BIGINT", "39,", "39,", "39"]
    assert max(map(len, lines)) <= 100


def test_preview_of_a_document(consist, called_json):
    assert '"list": [\n    1,' in consist("preview", "facts").stdout
    assert called_json("preview", "facts")["document"] == {"name": ODD, "list": [1, {"a": None}]}


def test_preview_of_a_long_document_stops(consist, called_json):
    done = consist("preview", "long")
    assert len(done.stdout.splitlines()) == 102
    assert done.stdout.endswith("… 402 more lines; --json prints all\n")
    assert len(called_json("preview", "long")["document"]) == 500


def test_preview_of_records_is_a_table(called_json):
    told = called_json("preview", "records")
    assert told["rows"] == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    assert [column["name"] for column in told["columns"]] == ["a", "b"]


def test_values_that_json_lacks_are_null(called_json):
    assert called_json("preview", "odd")["rows"] == [
        {"text": ODD, "number": None},
        {"text": None, "number": 1.5},
    ]


def test_preview_of_a_plain_file_says_where_it_is(consist):
    done = consist("preview", "notes")
    assert (done.exit_code, done.stdout) == (1, "")
    error, hint = done.stderr.splitlines()
    assert error == "Error: 'notes' is a file of format 'txt', which has no preview"
    assert hint.startswith("Hint: open it yourself: ")
    assert hint.endswith("notes.txt")


def test_preview_of_a_missing_file_tells_the_options(consist):
    done = consist("preview", "gone")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: no file for artifact 'gone' at ")
    assert "Hint: --run-dir and --mount tell where files are now" in done.stderr


def test_preview_of_a_damaged_file(consist):
    done = consist("preview", "damaged")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: driver 'parquet' cannot read ")


@pytest.mark.parametrize("command", ["preview", "lineage"])
def test_an_unknown_artifact(consist, command):
    done = consist(command, "nothing")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: there is no artifact 'nothing'\nHint: ")
    assert "did you mean scaled?" in consist(command, "SCALE").stderr
    assert consist(command, uuid4()).exit_code == 1
