"""``import consist`` is cheap: what is slow to import is imported where it is used."""

import json
import subprocess
import sys

SLOW = {"duckdb", "numpy", "pandas", "pyarrow", "pydantic", "sqlalchemy", "sqlmodel"}


def test_import_consist_leaves_slow_libraries_alone():
    script = "import consist, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "consist" in loaded
    assert not loaded & SLOW
