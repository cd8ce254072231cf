"""Every Python block of the documents runs, in order, and prints what the page says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import Block, blocks, documents, fences, name_of, printed_as_told

RUNNER = Path(__file__).with_name("run_blocks.py")
PAGES = [pytest.param(page, id=name_of(page)) for page in documents()]


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run_as_printed(page, tmp_path):
    to_run = [b for b in blocks(page.read_text(encoding="utf-8")) if b.not_run is None]
    if not to_run:
        return
    printed = run_as_script(to_run, tmp_path, page.stem)
    for block, output in zip(to_run, printed, strict=True):
        if block.output is not None:
            assert printed_as_told(block.output, output), (
                f"{name_of(page)}:{block.line} tells\n{block.output}\nand it prints\n{output}"
            )


@pytest.mark.parametrize("page", PAGES)
def test_a_block_that_is_not_run_says_why(page):
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.not_run != "", f"{name_of(page)}:{block.line} is not run and gives no reason"


@pytest.mark.parametrize("page", PAGES)
def test_no_block_evades_the_tests_by_another_name_for_python(page):
    for fence in fences(page.read_text(encoding="utf-8")):
        lookalike = fence.language.lower().startswith(("py", "{python", "{code"))
        assert fence.language == "python" or not lookalike, f"{name_of(page)}:{fence.line}"


def run_as_script(to_run: list[Block], folder: Path, name: str) -> list[str]:
    """Run blocks in an empty folder and return what each printed."""
    place = folder / "work"
    place.mkdir()
    script = place / f"{name.lower().replace('-', '_')}.py"
    spans = write_script(script, to_run)
    plan, printed = folder / "blocks.json", folder / "printed.json"
    plan.write_text(json.dumps(spans), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, RUNNER, script, plan, printed],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(printed.read_text(encoding="utf-8"))


def write_script(script: Path, to_run: list[Block]) -> list[tuple[int, int]]:
    """Write all blocks on the lines they have in the document; return each one's lines."""
    lines: list[str] = []
    spans: list[tuple[int, int]] = []
    for block in to_run:
        lines.extend([""] * (block.line - 1 - len(lines)))
        lines.extend(block.code.splitlines())
        spans.append((block.line, len(lines)))
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return spans
