"""The documentation names only files that there are, and its examples run."""

import re
import runpy
import sys
from contextlib import suppress
from pathlib import Path
from unittest import SkipTest

import pytest

ROOT = Path(__file__).parents[1]
#: The page on attentions cites sources of others.
PAGES = [path for path in (ROOT / "docs").glob("*.md") if path.name != "attentions.md"]
PAGES += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
#: Files that a run or an export writes, and examples.
WRITTEN = {
    "model.py",
    "trials.csv",
    "spec.yaml",
    "my_module.py",
    "calibration.json",
    "result.json",
    "config.json",
    "architecture.yaml",
    "export.json",
}


def anchors(page: Path) -> list[str]:
    """Of all headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_named_is_there(page) -> None:
    text = page.read_text(encoding="utf-8")
    for named in re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|toml|yaml|json))(?::[^`]*)?`", text):
        places = (ROOT / named, ROOT / "chattn_nas" / named, page.parent / named)
        ours = "/" not in named and any((ROOT / "chattn_nas").rglob(named))
        assert ours or named in WRITTEN or Path(named).stem.isupper() or any(place.exists() for place in places), (
            f"{page.name} names {named}"
        )
    for link, anchor in re.findall(r"\]\(([^)#:]+)?(?:#([\w-]+))?\)", text):
        target = page.parent / link if link else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}#{anchor}"


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # torch's own, on its first forward-mode derivative
def test_the_attention_of_the_page_on_extending_passes_our_battery(tmp_path, monkeypatch) -> None:
    from chattn_nas.testing.attention import battery

    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(encoding="utf-8"), re.S)[0]
    (tmp_path / "my_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        checks = battery("my_module:MeanGate")
        assert len(checks) > 10
        for check in checks:
            with suppress(SkipTest):
                check()
    finally:
        sys.modules.pop("my_module", None)
        from chattn_nas.attention import registry

        registry._types.pop("mean_gate", None)


@pytest.mark.parametrize("script", sorted((ROOT / "docs" / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_every_example_runs(script, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(script.parent)
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.modules.pop(script.stem, None)
    assert capsys.readouterr().out
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "predictions.json").is_file()


def test_a_figure_of_a_built_page_stays_on_one_line() -> None:
    built = runpy.run_path(str(ROOT / "scripts" / "docs_hook.py"))["on_page_content"]
    page = '<p>0.1 ± 0.2 of it</p><td style="width: 1em;">17 [14, &gt; 40]</td><td><strong>-0.1 ± 1</strong></td>'
    blank = "\N{NO-BREAK SPACE}"
    assert built(page + "<td>two words, 3</td>") == (
        f'<p>0.1{blank}±{blank}0.2 of it</p><td style="width: 1em;">17{blank}[14,{blank}&gt;{blank}40]</td>'
        f"<td><strong>-0.1{blank}±{blank}1</strong></td><td>two words, 3</td>"
    )
