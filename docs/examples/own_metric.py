"""A metric of your own, and an augmentation: functions.

python docs/examples/own_metric.py
"""

# %% A metric takes logits (N, K) and targets of all validation images, and gives a number, more is better.
import torch
from torch import Tensor

from chattn_nas import Spec, search


def worst_class(logits: Tensor, targets: Tensor) -> float:
    """Recall of the class that is recognised least."""
    said = logits.argmax(1)
    return min(float((said[targets == one] == one).float().mean()) for one in targets.unique())


# %% An augmentation draws from the generator alone, so that networks of one seed see the same images.
def brighter(images: Tensor, generator: torch.Generator) -> Tensor:
    more = torch.randint(0, 60, (len(images), 1, 1, 1), generator=generator, device=images.device)
    return (images.int() + more).clamp(max=255).to(torch.uint8)


# %%
SPEC = {
    "name": "own-metric",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {
        "dataset": "digits",
        "image_size": 8,
        "metric": "own_metric:worst_class",
        "augment": "own_metric:brighter",
    },
    "space": {"all": ["none", "eca"]},
    "proxy": {"rungs": [2], "device": "cpu"},
    "search": {"trials": 5, "workers": 0},
}

# %% Tables, plots and the report speak of it by its name.
if __name__ == "__main__":
    run = search(Spec.from_dict(SPEC), progress=False)
    print(run.trials()[["architecture", "worst_class"]])
