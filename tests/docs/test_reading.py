"""The reader of the documents, on pages made for it: what it finds and what it refuses."""

from textwrap import dedent

import pytest

from tests.docs.documents import anchors, blocks, fences, links, printed_as_told
from tests.docs.test_documents import run_as_script
from tests.docs.test_references import leads_somewhere


def page(text: str) -> str:
    return dedent(text).strip() + "\n"


def test_blocks_come_in_order_with_the_lines_they_have_in_the_page():
    text = page("""
        # Title

        ```python
        a = 1
        ```

        ```bash
        rm -rf everything
        ```

        1. In a list:

           ```python title="b.py"
           b = a
           ```
        """)
    assert [(b.code, b.line) for b in blocks(text)] == [("a = 1\n", 4), ("b = a\n", 14)]


def test_a_block_opts_out_with_a_comment_right_above_it():
    text = page("""
        <!-- not run: needs a cluster -->
        ```python
        submit()
        ```

        <!-- not run: -->
        ```python
        submit()
        ```

        <!-- not run: too far away -->

        A paragraph.

        ```python
        submit()
        ```
        """)
    assert [b.not_run for b in blocks(text)] == ["needs a cluster", "", None]


def test_hidden_setup_runs_at_its_place():
    text = page("""
        <!-- setup
        x = 1

        y = 2
        -->
        ```python
        print(x + y)
        ```
        """)
    assert [(b.code, b.line) for b in blocks(text)] == [
        ("x = 1\n\ny = 2\n", 2),
        ("print(x + y)\n", 7),
    ]


def test_an_output_belongs_to_the_block_before_it():
    text = page("""
        ```python
        print(1)
        ```

        <!-- output -->
        ```text
        1
        ```

        ```text
        no output
        ```
        """)
    assert [b.output for b in blocks(text)] == ["1\n"]


def test_an_output_without_a_block_is_refused():
    with pytest.raises(ValueError, match="line 2"):
        blocks("<!-- output -->\n```text\n1\n```\n")


def test_the_language_of_every_fence_is_seen():
    assert [f.language for f in fences("```pycon\n>>> 1\n```\n\n```\nx\n```\n")] == ["pycon", ""]


@pytest.mark.parametrize(
    ("told", "printed", "same"),
    [
        ("a 1\n", "a 1  \n", True),
        ("run_...: done", "run_4f2a: done\n", True),
        ("first\n...\nlast", "first\nx\ny\nlast\n", True),
        ("a", "b", False),
        ("a", "a\nb", False),
        ("1.5", "1x5", False),
        ("", "surprise", False),
    ],
)
def test_output_is_compared_with_wildcards(told, printed, same):
    assert printed_as_told(told, printed) is same


def test_anchors_are_those_of_the_headings():
    text = "# The `run` verb\n\n## Why, and how?\n\n## Why, and how?\n"
    assert anchors(text) == {"the-run-verb", "why-and-how", "why-and-how-1"}


def test_links_and_images_are_found_with_their_lines():
    text = "# T\n\n[a](b.md#c) and\n`[no](link)`\n\n| x |\n|---|\n| ![i](p.png) |\n"
    assert links(text) == [("b.md#c", 3), ("p.png", 8)]


def test_a_link_must_find_its_file_and_its_heading(tmp_path):
    here, there = tmp_path / "here.md", tmp_path / "there.md"
    here.write_text("# Here\n")
    there.write_text("# Top\n")
    assert leads_somewhere(here, "there.md#top")
    assert leads_somewhere(here, "#here")
    assert leads_somewhere(here, "https://example.org/x")
    assert not leads_somewhere(here, "there.md#bottom")
    assert not leads_somewhere(here, "nowhere.md")


def test_blocks_share_one_namespace_and_a_fresh_folder(tmp_path):
    text = page("""
        ```python
        import inspect
        from pathlib import Path

        def f():
            return 1

        print(list(Path().glob("*.md")), __name__)
        ```

        ```python
        print(f(), inspect.getsource(f).splitlines()[0])
        ```
        """)
    assert run_as_script(blocks(text), tmp_path, "a-page") == ["[] __main__\n", "1 def f():\n"]


def test_a_block_that_raises_fails_with_its_line_in_the_page(tmp_path):
    text = "# T\n\n```python\nx = 1\n1 / 0\n```\n"
    with pytest.raises(AssertionError, match="line 5"):
        run_as_script(blocks(text), tmp_path, "page")


def test_functions_of_a_page_reach_a_process_pool(tmp_path):
    text = page("""
        ```python
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        def double(x):
            return 2 * x

        if __name__ == "__main__":
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                print(list(pool.map(double, [1, 2])))
        ```
        """)
    assert run_as_script(blocks(text), tmp_path, "page") == ["[2, 4]\n"]
