"""A training of your own: the queue, baselines, pruning and the report stay ours.

python docs/examples/own_trainer.py
"""

# %% Ours as the base: stages, networks and costs are as they were, and only the training is another.
from torch import nn

from chattn_nas import Spec, search
from chattn_nas.proxy import Measurement, Outcome, Report, Rung, evaluate
from chattn_nas.proxy import train as train_by_proxy
from chattn_nas.search.trainer import ProxyTrainer


class Twice(ProxyTrainer):
    """First a training of one epoch at a tenth of the rate, then the proxy's rungs, told as rungs of their own."""

    def train(self, network: nn.Module, seed: int, report: Report) -> Measurement:
        gentle = self.spec.proxy.changed(rungs=[1], learning_rate=self.spec.proxy.learning_rate / 10)
        train_by_proxy(network, self.data, gentle, seed=seed, device=self.device)
        rungs: list[Rung] = []
        for index, epoch in enumerate(self.spec.proxy.rungs):
            one = self.spec.proxy.changed(rungs=[1])
            train_by_proxy(network, self.data, one, seed=seed + 1000 * index, device=self.device)
            score, loss = evaluate(network, self.data.validation, self.data, batch_size=128, device=self.device)
            rungs.append(Rung(epoch=epoch, score=score, loss=loss))
            if report(index, rungs[-1]) and index + 1 < len(self.spec.proxy.rungs):  # others were better
                return Measurement(outcome=Outcome.PRUNED, reason=f"stopped at rung {index}", rungs=tuple(rungs))
        return Measurement(outcome=Outcome.COMPLETE, rungs=tuple(rungs))


# %% `trainer` stands at the top of a spec: it is part of what makes trials comparable.
SPEC = {
    "name": "own-trainer",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "space": {"all": ["none", "eca"]},
    "proxy": {"rungs": [1, 2], "device": "cpu"},
    "search": {"trials": 6, "workers": 0},
    "trainer": "own_trainer:Twice",
}

# %%
if __name__ == "__main__":
    print(search(Spec.from_dict(SPEC), progress=False).best())
