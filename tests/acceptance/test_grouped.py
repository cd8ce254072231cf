"""The tracker reference's own example of a grouped view, as printed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sqlalchemy import text

from consist import Tracker


def test_one_view_over_the_linkstats_of_all_iterations(tracker: Tracker, tmp_path: Path) -> None:
    # VIEW-007, VIEW-009, VIEW-010, VIEW-011, VIEW-012, VIEW-014
    known: list[pd.DataFrame] = []
    for year in (2018, 2030):
        with tracker.start_run(f"beam_{year}", "beam", year=year, facet={"sample": 0.1}):
            for iteration in (0, 1, 2):
                path = tracker.run_artifact_dir() / f"linkstats_{iteration}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                table = pd.DataFrame({"link": [1, 2], "volume": [year / 10, iteration * 1.0]})
                table.to_parquet(path)
                tracker.log_artifact(
                    path,
                    key=f"linkstats_iter_{iteration}",
                    direction="output",
                    profile_file_schema=True,
                    facet={
                        "artifact_family": "linkstats",
                        "year": year,
                        "phys_sim_iteration": iteration,
                    },
                    facet_index=True,
                )
                if year == 2018:
                    known.append(table.assign(facet_phys_sim_iteration=iteration))
    artifact = tracker.get_artifact("linkstats_iter_1")
    assert artifact is not None
    tracker.ingest(artifact)
    abc123 = artifact.meta["schema_id"]

    tracker.create_grouped_view(
        "v_linkstats_all",
        schema_id=abc123,
        namespace="beam",
        params=["artifact_family=linkstats", "year=2018"],
        attach_facets=["artifact_family", "phys_sim_iteration"],
        drivers=["parquet"],
        mode="hybrid",
    )

    rows = tracker.run_query(
        text(
            "SELECT link, volume, facet_phys_sim_iteration, facet_artifact_family, consist_run_id"
            " FROM v_linkstats_all ORDER BY facet_phys_sim_iteration, link"
        )
    )
    expected = pd.concat(known).assign(family="linkstats", run="beam_2018")
    assert [tuple(row) for row in rows] == [*expected.itertuples(index=False, name=None)]

    tracker.create_grouped_view(
        "v_linkstats_all", schema_id=abc123, params=["beam.phys_sim_iteration=2"]
    )
    rows = tracker.run_query(
        text("SELECT DISTINCT consist_run_id FROM v_linkstats_all ORDER BY consist_run_id")
    )
    assert [tuple(row) for row in rows] == [("beam_2018",), ("beam_2030",)]
