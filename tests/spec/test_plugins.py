"""Modules beside a spec are found from every entry point, and named where they are not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chattn_nas import attention
from chattn_nas.attention import registry
from chattn_nas.errors import SpecError
from chattn_nas.spec import load_spec

PART = """
from torch import nn
from chattn_nas.attention import register

@register("beside_{n}", title="Beside the spec", year=2026, parameters=lambda *given: 0, macs=lambda *given: 0)
class Beside(nn.Module):
    def __init__(self, channels):
        super().__init__()
    def forward(self, x):
        return 0.5 * x
"""
SPEC = """
name: plugins
backbone: {{model: cifar_resnet8, options: {{width: 8}}}}
data: {{dataset: digits, image_size: 8}}
space: {{all: [none, {choice}]}}
proxy: {{rungs: [1], device: cpu}}
search: {{sampler: random, workers: {workers}, trials: 3}}
{imports}
"""


@pytest.fixture(scope="module", autouse=True)
def _types_of_here():
    """What is registered here is forgotten: other tests of this process list the types there are."""
    before = set(attention.names())
    yield
    for name in set(attention.names()) - before:
        del registry._types[name]


def written(folder: Path, *, workers: int = 0, imports: str = "", choice: str = "beside_one") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "parts_beside.py").write_text(PART.format(n="one"))
    path = folder / "spec.yaml"
    path.write_text(SPEC.format(choice=choice, workers=workers, imports=imports))
    return path


def run(*command, cwd) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize("entry", ["module", "console"])
@pytest.mark.parametrize("named", ["imports", "path"])
def test_found_from_every_entry_point(tmp_path, entry, named) -> None:
    spec = written(
        tmp_path / "specs",
        imports="imports: [parts_beside]" if named == "imports" else "",
        choice="beside_one" if named == "imports" else "'parts_beside:Beside'",
    )
    (tmp_path / "elsewhere").mkdir()
    console = shutil.which("chattn-nas", path=str(Path(sys.executable).parent))
    command = [sys.executable, "-m", "chattn_nas"] if entry == "module" or console is None else [console]
    done = run(*command, "space", spec, "--json", cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["canonical_size"] == 8


@pytest.mark.slow
def test_found_by_workers_by_commands_on_the_run_and_not_by_those_that_only_read(tmp_path) -> None:
    spec = written(tmp_path / "specs", workers=1, imports="imports: [parts_beside]")
    (tmp_path / "elsewhere").mkdir()
    cli = [sys.executable, "-m", "chattn_nas"]
    done = run(*cli, "search", spec, "--run", tmp_path / "run", cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
    done = run(*cli, "worker", tmp_path / "run", cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
    (spec.parent / "parts_beside.py").write_text(PART.format(n="one") + "\nprint('it was imported')\n")
    for trusted in (False, True):
        done = run(
            *cli, "trials", tmp_path / "run", "--json", *(["--trust"] if trusted else []), cwd=tmp_path / "elsewhere"
        )
        assert done.returncode == 0, done.stderr
        assert "beside_one" in done.stdout
        assert ("it was imported" in done.stdout) == trusted


def test_a_module_that_is_not_there_is_named_with_its_line(tmp_path) -> None:
    path = written(tmp_path / "specs", imports="imports: [parts_beside, no_such_part]")
    with pytest.raises(SpecError, match=r"imports: no_such_part cannot be imported .*the spec's folder") as caught:
        load_spec(path)
    assert str(caught.value).startswith(f"{path}:")


@pytest.mark.parametrize(
    ("choice", "imports", "message"),
    [
        ("'parts_beside.py:Beside'", "", r"names a file where a module belongs: write 'parts_beside:Beside'"),
        ("'./parts_beside:Beside'", "", r"write 'parts_beside:Beside'; modules are looked for in the spec's folder"),
        ("parts_beside.Beside", "", "a class of your own is named 'parts_beside:Beside'"),
        ("'a_script:Beside'", "", r"'a_script:Beside' cannot be imported as an attention \(SystemExit: 2\)"),
        ("se", "imports: [a_script]", r"imports: a_script cannot be imported \(SystemExit: 2\)"),
        ("se", "imports: [parts_beside.py]", "write 'parts_beside'"),
    ],
)
def test_parts_named_in_another_way_are_one_sentence(tmp_path, choice, imports, message) -> None:
    path = written(tmp_path / "specs", choice=choice, imports=imports)
    (path.parent / "a_script.py").write_text("import argparse\nargparse.ArgumentParser().parse_args(['--nothing'])\n")
    with pytest.raises(SpecError, match=message):
        load_spec(path)


def test_a_file_beside_the_spec_hides_no_installed_module(tmp_path) -> None:
    path = written(tmp_path / "specs", imports="imports: [json]")
    (path.parent / "json.py").write_text("raise SystemExit('hidden')")
    (path.parent / "statistics.py").write_text("raise SystemExit('hidden')")
    (path.parent / "parts_beside.py").write_text("import statistics\n" + PART.format(n="one"))
    done = run(sys.executable, "-m", "chattn_nas", "space", path, "--json", cwd=tmp_path)
    assert "hidden" not in done.stderr


MAIN = """
import sys
from torch import nn
from chattn_nas import load_spec, search
from chattn_nas.attention import register
from chattn_nas.errors import InputError

@register("of_main", title="x", year=2026, parameters=lambda *given: 0, macs=lambda *given: 0)
class OfMain(nn.Module):
    def __init__(self, channels):
        super().__init__()
    def forward(self, x):
        return 0.5 * x

if __name__ == "__main__":
    try:
        search(load_spec(sys.argv[1]), run=sys.argv[2], workers=1)
    except InputError as error:
        print(error)
"""


def test_a_class_of_the_script_itself_is_refused_before_anything_is_spent(tmp_path) -> None:
    path = written(tmp_path / "specs", workers=1, choice="of_main")
    (tmp_path / "script.py").write_text(MAIN)
    done = subprocess.run([sys.executable, tmp_path / "script.py", path, tmp_path / "run"], capture_output=True,
                          text=True, env=os.environ)  # fmt: skip
    assert "of_main is defined in the script that was started (__main__)" in done.stdout, done.stderr
    assert "imports: [my_parts]" in done.stdout
    assert not (tmp_path / "run").exists()
