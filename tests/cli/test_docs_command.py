"""``chattn-nas docs``: the pages that a wheel brings, as a user reads them."""

import json

import pytest
from rich.cells import cell_len

from chattn_nas.cli import _app
from chattn_nas.cli.docs import pages


@pytest.fixture
def said(invoke):
    """What the command prints; on stderr where it is to fail."""
    return lambda *words, code=0: invoke("docs", *words, code=code)[code != 0]


def test_every_page_is_listed_with_what_it_is_about(said) -> None:
    listed = json.loads(said("--json"))
    assert {row["page"] for row in listed} == set(pages()) >= {"data", "spec", "judging"}
    assert all(row["what it is about"] for row in listed)


def test_a_page_is_laid_out_on_a_terminal_and_markdown_in_a_pipe(said, monkeypatch) -> None:
    assert said("data") == pages()["data"].read_text() + "\n"
    assert json.loads(said("docs/data.md", "--json"))["page"] == "data"
    monkeypatch.setattr(_app.console, "_force_terminal", True)
    monkeypatch.setattr(_app.console, "_width", 80)
    monkeypatch.setattr(_app.console, "_color_system", None)
    lines = said("data").splitlines()
    assert not any("|---" in line for line in lines)
    assert max(map(cell_len, lines)) <= 80


def test_a_mistyped_page_is_told_with_the_nearest_one(said) -> None:
    assert "did you mean 'judging'" in said("judgin", code=2)
