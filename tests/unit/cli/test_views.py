"""``consist views create``."""

# pyright: basic

import shutil

import duckdb
import pytest

from consist import Tracker
from consist.cli import app


@pytest.fixture
def links(tmp_path, monkeypatch):
    """Record two runs of tables of one schema under keys of their own; return its id."""
    monkeypatch.chdir(tmp_path)
    with Tracker("runs", "provenance.duckdb", project_root=tmp_path) as tracker:
        record(tracker, "a", 2018)
        record(tracker, "b", 2030)
        return tracker.get_artifact("links_1").meta["schema_id"]


def record(tracker, run_id, year):
    with tracker.start_run(run_id, "beam", year=year, facet={"seed": year}):
        for number in range(2):
            path = tracker.run_artifact_dir() / f"{number}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"link,volume\n{number},{year}\n")
            tracker.log_artifact(
                path,
                f"links_{number}",
                direction="output",
                profile_file_schema=True,
                facet={"iter": number},
                facet_index=True,
            )


def consist(*words):
    from typer.testing import CliRunner

    return CliRunner().invoke(app, [str(word) for word in words])


def plain(statement):
    """Ask the file as somebody does who has never heard of the library."""
    with duckdb.connect("provenance.duckdb", read_only=True) as connection:
        return connection.execute(statement).fetchall()


def test_a_view_stays_for_any_client_and_follows_what_is_merged(links):
    done = consist("views", "create", "v_links", "--schema-id", links[:8])
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "View v_links shows 4 artifacts in 7 columns\n"
    assert plain("SELECT sum(link), sum(volume), count(*) FROM v_links") == [(2, 8096, 4)]
    with Tracker("runs", "provenance.duckdb") as tracker:
        record(tracker, "c", 2040)
    assert plain("SELECT consist_run_id, count(*) FROM v_links GROUP BY 1 ORDER BY 1") == [
        ("a", 2),
        ("b", 2),
        ("c", 2),
    ]


def test_every_option_counts(links):
    import json

    words = ["views", "create", "v", "--schema-id", links, "--json"]
    options = {
        ("--param", "iter=1"): 2,
        ("--param", "other.iter=1"): 0,
        ("--param", "iter>=0", "--param", "iter<=0"): 2,
        ("--namespace", "nobody", "--param", "iter=1"): 0,
        ("--driver", "parquet"): 0,
        ("--driver", "parquet", "--driver", "csv"): 4,
        ("--run-id", "a"): 2,
        ("--parent-run-id", "nobody"): 0,
        ("--model", "beam"): 4,
        ("--status", "failed"): 0,
        ("--year", "2018"): 2,
        ("--iteration", "7"): 0,
        ("--schema-compatible",): 4,
    }
    for asked, count in options.items():
        done = consist(*words, *asked)
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["artifacts"] == count, asked
    consist(*words, "--mode", "hot_only")
    assert plain("SELECT count(*) FROM v") == [(0,)]
    facets = ["--attach-facet", "iter", "--attach-facet", "seed", "--no-system-columns"]
    done = consist(*words, *facets)
    assert json.loads(done.stdout)["columns"] == [
        {"name": "link", "type": "BIGINT"},
        {"name": "volume", "type": "BIGINT"},
        {"name": "facet_iter", "type": "BIGINT"},
        {"name": "facet_seed", "type": "BIGINT"},
    ]
    assert plain("SELECT DISTINCT facet_seed FROM v ORDER BY 1") == [(2018,), (2030,)]
    done = consist(*words, "--if-exists", "error")
    assert done.exit_code == 1
    assert "there is a view 'v'" in done.stderr


def test_what_cannot_be_is_an_error(links):
    create = ("views", "create")
    for words, code, said in [
        ((*create, "v", "--schema-id", "nobody"), 1, "no schema 'nobody' is recorded"),
        ((*create, "run", "--schema-id", links), 1, "a table of the provenance database"),
        ((*create, "v", "--schema-id", links, "--param", "iter"), 1, "'iter'"),
        ((*create, "v", "--schema-id", links, "--mode", "warm"), 2, "hot_only"),
        ((*create, "v"), 2, "--schema-id"),
        ((*create, "v", "--schema-id", links, "--db-path", "x.duckdb"), 1, "no database"),
    ]:
        done = consist(*words)
        assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    shutil.rmtree("runs/outputs/beam/a")
    done = consist(*create, "v", "--schema-id", links, "--missing-files", "error")
    assert done.exit_code == 1
    assert "no file for artifact" in done.stderr
    with pytest.raises(duckdb.CatalogException):
        plain("SELECT * FROM v")
