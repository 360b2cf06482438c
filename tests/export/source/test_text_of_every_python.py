"""The text layer gives the same text on every Python, and 3.11 reads it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chattn_nas.export.source import format_calls, layout

ARGUMENTS = ", ".join(f"argument_{index}=nn.Conv2d({index}, 64, 3, name='a, b')" for index in range(8))
#: Statements as ``ast.unparse`` and people write them.
TEXTS = [
    "y = x ** 2 + 'a ** b' + 'it\"s'\n",
    f"x = foo(1)({ARGUMENTS}).bar(3)\n",
    f"y = f'{{x ** 2}} {{table[\"a, b\"]}} {'a' * 120}{{function(first, second)}}'\n",
    "y = f'''{x\n   }  two lines   \n'''\nz = 'z'\n",
    "def f(x):\n    '''Kept\n      as it is.   '''\n    y = dict(a = 'x',\n      b = 2)  # kept\n    return f'{y!r}'\n",
]
#: f-strings, and values for their names.
F_STRINGS = [
    "f'{name} has {count:,} of {total!r:>{width}}, {{braces}} and {count * 2=}'",
    "f'{table[\"key\"]} and {name.upper()}'",
    "f'it is {f\"{count:0{width}d}\"}'",
    "'plain ' f'{{}}'",
]
NAMES = {"name": "max", "count": 1200, "total": "t", "width": 8, "table": {"key": "it's"}}
#: Read by Python 3.12 and later alone.
TOO_NEW = ['f"{table["key"]}"', 'f"{chr(1) + "\\n"}"', "type X = int", "def f[T](x): ...", 'f"{x # why\n}"']

DRIVER = """
import ast, importlib.util, json, sys
def load(path):
    name = path.rpartition("/")[2][:-3]
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
given = json.load(sys.stdin)
layout, format_calls = (load(path) for path in given["modules"])
called = [ast.unparse(format_calls.FormatCalls().visit(ast.parse(text))) for text in given["f_strings"]]
print(json.dumps({
    "layout": [layout.layout(text) for text in given["texts"]],
    "called": called,
    "problems": [format_calls.problem_on_oldest(text) for text in given["too_new"] + given["texts"]],
    "torch": "torch" in sys.modules,
}))
"""


def _pythons() -> list[str]:
    """Every python3.12 and later on the path or under pyenv."""
    versions = ("3.12", "3.13", "3.14")
    found = [shutil.which(f"python{version}") for version in versions]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found += [str(path) for version in versions for path in sorted(root.glob(f"{version}.*/bin/python"))]
    works = []
    for python in filter(None, found):  # pyenv's shims are there for versions that are not chosen, too
        done = subprocess.run([python, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() not in works:
            works.append(done.stdout.strip())
    return works


def _answers(python: str, texts: list[str]) -> dict:
    given = {
        "modules": [layout.__file__, format_calls.__file__],
        "f_strings": F_STRINGS,
        "texts": texts,
        "too_new": TOO_NEW,
    }
    done = subprocess.run(
        [python, "-I", "-c", DRIVER], input=json.dumps(given), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the reference is written by 3.11, and parsed by it")
def test_newer_pythons_write_what_3_11_writes_and_reads():
    pythons = _pythons()
    if not pythons:
        pytest.skip("there is no newer Python on this machine")
    expected = [layout.layout(text) for text in TEXTS]
    for python in pythons:
        found = _answers(python, TEXTS)
        assert found["layout"] == expected, python
        for text in found["called"]:
            ast.parse(text)  # by 3.11
        assert all(found["problems"][: len(TOO_NEW)]), (python, found["problems"])
        assert not any(found["problems"][len(TOO_NEW) :]), (python, found["problems"])
        assert not found["torch"]


@pytest.mark.parametrize("text", F_STRINGS)
def test_a_format_call_gives_what_the_f_string_gave(text):
    called = ast.unparse(format_calls.FormatCalls().visit(ast.parse(text)))
    assert "f'" not in called
    assert 'f"' not in called
    assert eval(called, dict(NAMES)) == eval(text, dict(NAMES))


@pytest.mark.parametrize("text", TEXTS)
def test_layout_changes_no_meaning_and_no_f_string(text):
    written = layout.layout(text)
    assert ast.dump(ast.parse(written)) == ast.dump(ast.parse(text))
    assert layout.layout(written) == written
    assert not format_calls.problem_on_oldest(written)


def test_what_spans_lines_is_left_as_it_is():
    assert layout.layout(TEXTS[3]) == "y = f'''{x\n   }  two lines   \n'''\nz = \"z\"\n"
    assert "    y = dict(a = 'x',\n      b = 2)  # kept\n" in layout.layout(TEXTS[4])
