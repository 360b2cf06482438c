"""The house: every module is found by its path, every public name where its room says, nothing is imported in vain."""

import ast
import importlib
import inspect
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chattn_nas

#: Modules that do something when they are imported.
RUN = {"chattn_nas.__main__"}
MODULES = ["chattn_nas"] + [
    module.name for module in pkgutil.walk_packages(chattn_nas.__path__, "chattn_nas.") if module.name not in RUN
]


def fresh(code: str) -> list[str]:
    """The packages that a fresh interpreter holds after ``code``."""
    code = f"import json, sys\n{code}\nprint(json.dumps(sorted(set(name.partition('.')[0] for name in sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_found_by_its_path(name) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "nni":
            raise
        pytest.skip("runs only where NNI is installed")
    namespace: dict = {}
    exec(f"import {name} as found", namespace)
    assert namespace["found"] is module
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name} has no {public}"
        home = f"{name}.{public}"
        if home in MODULES:  # chattn_nas.search and chattn_nas.export: rooms that can be called
            assert callable(getattr(module, public))
            assert inspect.ismodule(getattr(module, public))


def test_a_room_hands_on_the_same_names_to_a_type_checker() -> None:
    rooms = [name for name in MODULES if name.count(".") < 2]
    for module in map(importlib.import_module, rooms):
        if "\n__all__, __getattr__" not in inspect.getsource(module):
            continue
        source = inspect.getsource(module).partition("if TYPE_CHECKING:")[2].partition("\n__all__")[0]
        told = {line.split(" as ")[1] for line in source.splitlines() if " as " in line}
        assert told == set(module.__all__), module.__name__


def test_what_a_room_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'chattn_nas\.study' has no attribute 'nothing'"):
        chattn_nas.study.nothing  # noqa: B018
    with pytest.raises(ImportError):
        exec("from chattn_nas.study import nothing")
    assert "load_spec" in dir(chattn_nas)


def test_importing_the_package_imports_nothing_large() -> None:
    heavy = {"torch", "torchvision", "timm", "optuna", "sklearn", "plotly", "pandas", "scipy", "pydantic"}
    assert not heavy & set(fresh("import chattn_nas"))


COMMANDS = {
    "help": (["--help"], 0),
    "version": (["--version"], 0),
    "help of a command": (["search", "--help"], 0),
    "schema": (["schema"], 0),
    "not YAML": (["search", "{spec}"], 2),
    "unknown key": (["search", "{spec}"], 2),
    "wrong value": (["search", "{spec}"], 2),
    "no data": (["init", "--data", "nowhere"], 2),
    "data for a spec": (["search", "{spec}.csv"], 2),
    "pages": (["docs", "data"], 0),
}
MISTAKES = {
    "not YAML": "name: [",
    "unknown key": "name: a\nbackbon: {model: cifar_resnet8}\n",
    "wrong value": "name: a\nbackbone: {model: cifar_resnet8}\ndata: {dataset: digits, image_size: large}\n"
    "space: {all: [none, se]}\n",
}


@pytest.mark.parametrize("what", COMMANDS)
def test_quick_commands_import_no_torch(what, tmp_path) -> None:
    words, code = COMMANDS[what]
    spec = tmp_path / "spec.yaml"
    spec.write_text(MISTAKES.get(what, ""))
    words = [word.format(spec=spec) for word in words]
    imported = fresh(
        "import contextlib, io\n"
        f"sys.argv = ['chattn-nas', *{words!r}]\n"
        "from chattn_nas.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        f"        assert (end.code or 0) == {code}, end.code\n"
    )
    assert not {"torch", "timm", "sklearn", "plotly"} & set(imported)


def test_registering_with_timm_is_explicit() -> None:
    code = (
        "import timm\n"
        "import chattn_nas\n"
        "assert not timm.is_model('cifar_resnet8')\n"
        "import chattn_nas.timm\n"
        "assert timm.is_model('cifar_resnet8') and timm.is_model('chattn_net')\n"
    )
    assert "timm" in fresh(code)


def test_building_a_network_registers_with_timm_by_itself_and_a_worker_imports_no_tables() -> None:
    code = (
        "import timm\n"
        "from chattn_nas import Architecture, build_network\n"
        "from chattn_nas.space import Backbone, StageChoice\n"
        "build_network(Architecture(Backbone('cifar_resnet8'), (StageChoice('se'),) * 3), image_size=32)\n"
        "assert timm.is_model('cifar_resnet8')\n"
        "import gc, chattn_nas.search._join\n"
        "assert gc.isenabled() and 'scipy.stats' not in sys.modules\n"
    )
    held = fresh(code)
    assert "timm" in held
    assert not {"pandas", "sklearn", "plotly"} & set(held)


#: The one file of a room that touches what a foreign library does not promise; other rooms may use it.
DOORS = {"_optuna", "_timm", "_nni", "_ray", "_dashboard"}


def test_no_room_imports_what_is_private_to_another() -> None:
    root = Path(chattn_nas.__file__).parent
    taken = []
    for path in sorted(root.rglob("*.py")):
        room = path.relative_to(root).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("chattn_nas."):
                continue
            for name in node.names:
                other, *inside = f"{node.module}.{name.name}".split(".")[1:]
                private = [part for part in inside if part.startswith("_") and part not in DOORS]
                if private and other != room:
                    taken.append(f"{path.relative_to(root)}:{node.lineno} {node.module}.{name.name}")
    assert taken == []


#: What is handed on to code that is not ours: timm's entry points, an attention's own hyperparameters.
OPEN = {"register", "build", "chattn_net", "Refusing", "model_validate"}


def test_public_signatures_are_spelled_out() -> None:
    rooms = [name for name in MODULES if name.count(".") < 2]
    for module in map(importlib.import_module, rooms):
        for name in set(getattr(module, "__all__", ())) - OPEN:
            value = getattr(module, name)
            if inspect.isfunction(value):
                kinds = {parameter.kind for parameter in inspect.signature(value).parameters.values()}
                assert inspect.Parameter.VAR_KEYWORD not in kinds, f"{module.__name__}.{name}"


def test_a_wrong_value_from_python_is_an_error_of_ours() -> None:
    from chattn_nas.errors import InputError
    from chattn_nas.proxy import ProxySettings
    from chattn_nas.spec import SearchSettings, Spec

    spec = {
        "name": "a",
        "backbone": {"model": "cifar_resnet8"},
        "data": {"dataset": "digits"},
        "space": {"all": ["se"]},
    }
    for wrong in (
        lambda: ProxySettings(rungs=[3, 2]),
        lambda: SearchSettings(sampler="tpee"),
        lambda: SearchSettings().changed(trials=0),
        lambda: Spec.model_validate({**spec, "proxy": {"rungs": "many"}}),
        lambda: Spec(**{**spec, "name": "a b"}),
    ):
        with pytest.raises(InputError):
            wrong()
    with pytest.raises(InputError, match=r"proxy\.batch_size: .*not 0") as caught:
        Spec.model_validate({**spec, "proxy": {"batch_size": 0}})
    assert caught.value.where == ("proxy", "batch_size")


def test_reading_and_exporting_need_nothing_that_only_unix_has(tmp_path) -> None:
    """``import``, ``trials``, ``report`` and ``export`` where there is no ``fcntl`` and no ``resource``."""
    shutil.copytree(Path(__file__).parent / "fixtures" / "run_v1", tmp_path / "run")
    code = (
        "import sys\n"
        "sys.modules['fcntl'] = sys.modules['resource'] = None\n"
        "from chattn_nas import Run, export\n"
        "from chattn_nas.report import write_report\n"
        "run = Run('run')\n"
        "assert len(run.trials()) == 6\n"
        "write_report(run.directory, run.study)\n"
        "export(run.best(), 'network', ('safetensors',))\n"
    )
    # Its cache is its own: without fcntl a lock is held as long as its file is there, and with fcntl the files stay.
    environment = os.environ | {
        "PYTHONPATH": str(Path(chattn_nas.__file__).parents[1]), "CHATTN_NAS_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "network" / "weights.safetensors").is_file()


def test_a_class_has_a_name_of_its_own() -> None:
    """Two classes of one name in two rooms are taken for each other by whoever reads."""
    homes: dict[str, set[str]] = {}
    for path in Path(chattn_nas.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, set()).add(str(path))
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_rooms_are_there_after_import() -> None:
    code = (
        "import chattn_nas\n"
        "assert callable(chattn_nas.export) and callable(chattn_nas.search)\n"
        "assert chattn_nas.attention.__name__ == 'chattn_nas.attention'\n"
    )
    assert "torch" not in fresh(code)
    rooms = {path.parent.name for path in Path(chattn_nas.__file__).parent.glob("*/__init__.py")} - {"cli"}
    assert rooms <= set(dir(chattn_nas))


def test_the_trials_of_a_run_are_listed_without_torch(tmp_path) -> None:
    """The study keeps what the words for an architecture need; a run of an earlier version asks the registry."""
    shutil.copytree(Path(__file__).parent / "fixtures" / "run_v1", tmp_path / "run")
    defaults = {"none": {}, "random_gate": {}, "se": {"reduction": 16, "bias": True}, "eca": {"gamma": 2, "b": 1}}
    code = (
        "import optuna\n"
        "optuna.logging.set_verbosity(optuna.logging.WARNING)\n"
        f"study = optuna.load_study(study_name='run_v1', storage='sqlite:///{tmp_path}/run/study.db')\n"
        f"study.set_user_attr('defaults', {defaults!r})\n"
        f"sys.argv = ['chattn-nas', 'trials', '{tmp_path}/run', '--json']\n"
        "import contextlib, io\n"
        "from chattn_nas.cli import main\n"
        "said = io.StringIO()\n"
        "with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "assert len(json.loads(said.getvalue())) == 6, said.getvalue()\n"
    )
    assert not {"torch", "timm", "sklearn", "plotly"} & set(fresh(code))
