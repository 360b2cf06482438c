import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from typer.testing import CliRunner

from chattn_nas.benchmark import LongTable, LookUp, answers_markdown, load, read_table
from chattn_nas.benchmark.compare import METHODS
from chattn_nas.benchmark.simulate import simulate
from chattn_nas.cli import app
from chattn_nas.errors import InputError

DOCS = Path(__file__).parents[2] / "docs" / "tables.md"


def test_a_table_is_read_without_torch() -> None:
    code = (
        "import sys; from chattn_nas.benchmark import LookUp, read_table; "
        "ask = LookUp(read_table('cifar_resnet8_16px')); print(ask(['none'] * 3, seed=0)); "
        "assert not {'torch', 'timm', 'optuna'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 0.4 < float(done.stdout) < 0.6


def test_an_optimiser_finds_a_good_network_by_looking_up() -> None:
    ask = LookUp(read_table("cifar_resnet8_16px"))
    assert len(ask.networks) == 217, "the control, too"
    assert ask.seeds == (0, 1, 2)

    def objective(trial: optuna.Trial) -> float:
        stages = [trial.suggest_categorical(f"stage{i}", names) for i, names in enumerate(ask.choices)]
        accuracy = ask(stages)
        if accuracy is None:
            raise optuna.TrialPruned
        return accuracy

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=30)
    assert study.best_value > ask(["se"] * 3, seed=0)


def test_what_was_not_trained_has_no_answer_and_what_does_not_exist_is_refused() -> None:
    ask = LookUp(read_table("cifar_resnet8_16px_20ep", "table"))
    assert ask(["none", "none", "se"]) is None or ask(["none", "se", "none"]) is None
    with pytest.raises(InputError, match="no plan 'tabel'"):
        read_table("cifar_resnet8_16px_20ep", "tabel")
    with pytest.raises(InputError, match="there is no table 'nothing'"):
        read_table("nothing")


def test_rows_of_several_plans_are_no_objective() -> None:
    with pytest.raises(InputError, match=r"several trainings of one network .* read_table\(name, plan\): .*table"):
        LookUp(read_table("cifar_resnet8_16px_20ep"))


def test_searches_run_on_a_table_that_holds_a_part_of_its_space() -> None:
    table = load("cifar_resnet8_16px_20ep")
    assert (len(table.networks), table.seeds, table.share) == (64, (0, 1, 2, 3), 0.125)
    sampler, _ = METHODS["random"](table, 0)
    found = simulate(table, sampler, budget=12, seeds=table.seeds[:2])
    assert len(found) == 12
    assert all(record.hash in table.networks for record in found)


@pytest.mark.parametrize(
    "name", ["cifar_resnet8_16px_20ep", "cifar_resnet20_32px_30ep", "imagenette_resnet18_64px_20ep"]
)
def test_the_page_quotes_what_the_tool_says(name) -> None:
    rows = read_table(name)
    said = answers_markdown(LongTable(rows))
    assert said in DOCS.read_text(), f"docs/tables.md: quote `chattn-nas table {name}` again"


def test_the_picture_on_the_page_is_the_one_that_the_tool_draws(tmp_path) -> None:
    picture = tmp_path / "foretelling.svg"
    done = CliRunner().invoke(app, ["table", "cifar_resnet8_16px_20ep", "--figure", str(picture)])
    assert done.exit_code == 0
    assert picture.read_text() == (DOCS.parent / "pictures" / picture.name).read_text()
    assert picture.read_text().count("<circle") == 6 * 3 + 3, "six regimes, three readings, and the key"


def test_a_table_without_long_trainings_has_no_such_picture(tmp_path) -> None:
    done = CliRunner().invoke(app, ["table", "cifar_resnet8_16px", "--figure", str(tmp_path / "a.svg")])
    assert isinstance(done.exception, InputError)
    assert "has no long trainings" in str(done.exception)
    assert not list(tmp_path.iterdir())
