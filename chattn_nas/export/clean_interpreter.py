"""Run by :mod:`chattn_nas.export.proof` as a script of its own, ``python -I``: loads a network where only torch may be.

Argument 1: a ``model.py`` or a ``.pt2`` file. Argument 2: a file of inputs; this script puts the answers there.
"""

import importlib.abc
import importlib.util
import sys
from pathlib import Path
from typing import Any

#: Not blocked are numpy, pandas and the like, which torch itself imports where it finds them.
BLOCKED = {"timm", "optuna", "chattn_nas", "torchvision", "safetensors", "yaml", "pydantic", "PIL"}


class Wall(importlib.abc.MetaPathFinder):
    """Makes the import of anything but torch and what torch itself needs fail."""

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        """Raise for a blocked package, else leave it to the other finders."""
        if fullname.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{fullname} is walled off: an exported network imports only torch")
        return None


def main() -> None:
    """Load the network, answer the inputs in evaluation mode and after one training step."""
    import torch

    sys.meta_path.insert(0, Wall())
    what, file = Path(sys.argv[1]), Path(sys.argv[2])
    given = torch.load(file, weights_only=True)
    torch.set_num_threads(given["threads"])
    namespace: dict[str, Any] = {}
    exec(given["step"], namespace)
    if what.suffix == ".pt2":
        program = torch.export.load(what).module()
        with torch.no_grad():
            torch.save([namespace["tensors"](program(batch)) for batch in given["batches"]], file)
        return
    spec = importlib.util.spec_from_file_location("exported_model", what)
    assert spec is not None
    assert spec.loader is not None
    model = importlib.util.module_from_spec(spec)
    sys.modules["exported_model"] = model
    spec.loader.exec_module(model)
    network = model.load()
    assert not network.training
    with torch.no_grad():
        answers = namespace["numbered"]("evaluation", network(given["images"]))
    answers |= namespace["training_step"](network, given["images"])
    torch.save(answers, file)


if __name__ == "__main__":
    main()
