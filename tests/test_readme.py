"""Every command of the README is one, and the way from a folder of photos to a network runs as it stands there."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from chattn_nas.cli import app, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "commands.md"]
#: Added to a command of the README, so that it ends in seconds.
SHORTER = {
    "search": ["--trials", "4", "--workers", "0"],
    "plan": ["--workers", "1"],
    "confirm": ["--top", "1", "--seeds", "2", "--epochs", "1", "--workers", "0"],
    "train": ["--epochs", "1"],
}


def written(page: Path) -> list[list[str]]:
    """Command lines in blocks and in backticks, without ``chattn-nas``."""
    text = page.read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"(?s)```bash\n(.*?)```", text))
    lines = re.findall(r"(?m)^chattn-nas (.+?)(?:\s+#.*)?$", blocks) + re.findall(r"`chattn-nas ([^`]+)`", text)
    return [shlex.split(line) for line in lines if "COMMAND" not in line]


@pytest.mark.parametrize(
    "words", [words for page in PAGES for words in written(page)], ids=lambda words: "-".join(words)[:60]
)
def test_every_command_is_one_and_has_these_options(words) -> None:
    group = get_command(app)
    if words[0].startswith("-"):
        assert any(words[0] in option.opts for option in group.params)
        return
    command = group.commands[words[0]]
    command.make_context(words[0], list(words[1:]), resilient_parsing=True)
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    assert {word for word in words[1:] if word.startswith("-")} <= known


@pytest.fixture
def typed(monkeypatch, capsys):
    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["chattn-nas", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        assert not ended.value.code, error
        return out

    return run


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_a_folder_of_photos_to_a_network(tmp_path, monkeypatch, typed) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for number, name in enumerate(("cats", "dogs")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(40):
            pixels = rng.integers(0, 128, (16, 16, 3)).astype(np.uint8) + np.uint8(100 * number)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.png")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(one for one in re.findall(r"```bash\n(.*?)```", text, re.S) if "init --data photos" in one)
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert [words[1] for words in lines[:-1]] == ["init", "plan", "search", "confirm", "report", "train", "export"]
    for words in lines[:-1]:
        assert words[0] == "chattn-nas"
        out = typed(*words[1:], *SHORTER.get(words[1], ()))
        if words[1] == "init":
            spec = tmp_path / "photos.yaml"
            smaller = re.sub(r"rungs: \[\d+, \d+\]", "rungs: [1]", spec.read_text(encoding="utf-8"))
            spec.write_text(smaller + "  devices: [cpu]\n", encoding="utf-8")
        if words[1] == "plan":
            assert "one full trial about" in out
            assert out.count("updates of 16 images") == 1, "said with the data, not again with the plan"
        if words[1] == "report":
            assert "Verdict, confirmed" in out
            assert "What next" in (tmp_path / "runs" / "photos" / "report.html").read_text(encoding="utf-8")
    done = subprocess.run([sys.executable, lines[-1][1]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code = next(one for one in re.findall(r"```python\n(.*?)```", text, re.S) if 'load_spec("photos.yaml")' in one)
    shorter = {"7200": "0.5", '"network"': '"from_python"', "confirm(run)": "confirm(run, top=1, seeds=2, epochs=1)"}
    for long, short in shorter.items():
        assert long in code
        code = code.replace(long, short)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "from_python" / "model.py").is_file()


@pytest.mark.parametrize("repository", [None, "https://example.org/us/it/"])
def test_on_an_index_no_link_leads_nowhere(repository) -> None:
    """Relative ones do, outside the repository."""
    path = ROOT / "scripts" / "long_description.py"
    spec = importlib.util.spec_from_file_location("long_description", path)
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    metadata = {} if repository is None else {"urls": {"Repository": repository}}
    hook.LongDescription(str(ROOT), {}).update(metadata)
    text = metadata["readme"]["text"]
    links = re.findall(r"\]\(([^)]*)\)", text)
    if repository is None:
        assert links == []
        assert "`chattn-nas docs data`" in text
        assert "what it is worth: `chattn-nas docs cost`" in text
        assert not re.search(r"\bdocs/|!\[|\(table\)", text)
    else:
        assert all(link.startswith("https://") for link in links)
        assert "](https://example.org/us/it/blob/main/docs/data.md)" in text
        assert re.search(r"!\[[^\]]*\]\(https://example.org/us/it/raw/main/docs/pictures/", text)
    assert "chattn-nas search quickstart" in text
