"""Runs the Python of one document as one script, in a process of its own.

``python run_blocks.py SCRIPT BLOCKS PRINTED``: SCRIPT holds all code of the document on the lines
it has there, so that tracebacks, ``inspect.getsource`` and process pools find it; BLOCKS is a JSON
list of ``[first, last]`` lines; what each block prints is written to PRINTED as a JSON list.
"""

import contextlib
import io
import json
import sys
import types
from pathlib import Path


def main(script: Path, blocks: Path, printed: Path) -> None:
    """Run every block in the namespace of a fresh ``__main__``."""
    lines = script.read_text(encoding="utf-8").splitlines(keepends=True)
    module = types.ModuleType("__main__")
    module.__file__ = str(script)
    sys.modules["__main__"] = module
    sys.path[0] = str(script.parent)
    sys.argv[:] = [str(script)]
    outputs: list[str] = []
    for first, last in json.loads(blocks.read_text(encoding="utf-8")):
        code = "\n" * (first - 1) + "".join(lines[first - 1 : last])
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            exec(compile(code, str(script), "exec"), vars(module))
        outputs.append(stream.getvalue())
        printed.write_text(json.dumps(outputs), encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
