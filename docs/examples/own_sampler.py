"""What proposes networks, what stops them and who is told: a sampler, a pruner, a logger, and a callback.

python docs/examples/own_sampler.py
"""

# %% A sampler is Optuna's; `seed` and `space` are handed over where it takes them.
from typing import Any

import optuna

from chattn_nas import Spec, search
from chattn_nas.search import Callback


class Simplest(optuna.samplers.RandomSampler):
    """At random, and the first choice of every stage each other time."""

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        if trial.number % 2:
            return param_distribution.choices[0]
        return super().sample_independent(study, trial, param_name, param_distribution)


def patient() -> optuna.pruners.BasePruner:
    return optuna.pruners.PercentilePruner(75.0)


# %% A logger is a callback that a spec names; it is called with the run.
class Lines(Callback):
    def __init__(self, run: Any) -> None:
        self.path = run.directory / "lines.txt"

    def on_trial_end(self, trial: Any) -> None:
        with self.path.open("a") as file:
            file.write(f"{trial.number} {trial.description} {trial.outcome}\n")


class Rungs(Callback):
    def on_rung(self, trial: Any, rung: Any) -> None:
        print(f"trial {trial.number}, epoch {rung.epoch}: {trial.unit.text(rung.score)}")


# %%
SPEC = {
    "name": "own-sampler",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "space": {"all": ["none", "eca", "srm"]},
    "proxy": {"rungs": [1, 2], "device": "cpu"},
    "search": {
        "trials": 8, "workers": 0, "sampler": "own_sampler:Simplest", "pruner": "own_sampler:patient",
        "log_to": ["csv", "own_sampler:Lines"],
    },
}  # fmt: skip

# %% These may change between two sessions of one search: trials stay comparable.
if __name__ == "__main__":
    run = search(Spec.from_dict(SPEC), progress=False, callbacks=[Rungs()])
    print((run.directory / "lines.txt").read_text())
