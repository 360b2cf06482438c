"""What there is to choose from: the page and the command."""

import json
import re
import sys
from pathlib import Path

import pytest

from chattn_nas import attention
from chattn_nas.attention import overview
from chattn_nas.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "attentions.md"


def test_the_page_is_current():
    """After a change: python -m chattn_nas.attention.overview > docs/attentions.md"""
    assert PAGE.read_text() == overview.page()


def test_the_page_has_every_type_with_its_equation():
    text = PAGE.read_text()
    for name in attention.names():
        kind = attention.get(name)
        if not overview.is_ours(kind):
            continue
        section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
        assert "```text" in section or name == "none"
        for setting in kind.hyperparameters:
            assert f"{setting}: " in section


@pytest.fixture
def said(monkeypatch, capsys):
    def run_command(*words, code=0):
        monkeypatch.setattr(sys, "argv", ["chattn-nas", "attentions", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        assert (ended.value.code or 0) == code, error
        return error if code else out

    return run_command


def test_all_of_them_with_their_costs(said):
    rows = {row["type"]: row for row in json.loads(said("--channels", "32", "--size", "8x4", "--json"))}
    assert set(rows) == set(attention.names())
    assert rows["cbam"]["parameters"] == 2 * 32 * 2 + 2 + 32 + 100
    assert rows["cbam"]["macs"] == 3 * 32 * 2 + 98 * 32
    assert rows["timm/halo"]["problem"].startswith("timm refuses it")
    assert rows["timm/halo"]["macs"] is None
    assert rows["simam"]["looks_at"] == "positions"
    assert all(row["year"] or name in ("none", "random_gate", "channel_scale") for name, row in rows.items())
    text = said("--size", "7")
    assert "coordinate" in text
    assert "what a type does value by value is not in them" in " ".join(text.split())


def test_one_of_them_with_its_equation(said):
    text = " ".join(said("simam").split())
    assert "y = x * sigmoid(d / (4 (v + lambda)) + 1/2)" in text
    assert "epsilon: 0.0001, 0.001, 0.01, 0.1, 1.0" in text
    assert "needs: a map larger than 1x1" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simamm"], "did you mean 'simam'"),
        (["se", "--size", "0"], "--size is one number of pixels or HEIGHTxWIDTH"),
        (["se", "--size", "7x"], "--size is one number of pixels or HEIGHTxWIDTH"),
        (["se", "--channels", "0"], "should be greater than or equal to 1"),
    ],
)
def test_mistakes_are_told(said, words, message):
    assert message in " ".join(said(*words, code=2).split())
