"""The script that :mod:`chattn_nas.export.clean_process` runs with ``python -I``, which may import only torch.

It imports torch and then answers requests, each in a forked child if the system can fork. A request is a line of JSON
with a ``model.py`` or ``.pt2`` file, a file with inputs, which also takes the answers, and a file for messages. The
reply is a line with the exit status of the child.
"""

import contextlib
import importlib.abc
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

#: Not blocked are numpy, pandas and the like, which torch itself imports where it finds them.
BLOCKED = {"timm", "optuna", "chattn_nas", "torchvision", "safetensors", "yaml", "pydantic", "PIL"}


class Wall(importlib.abc.MetaPathFinder):
    """Makes every import fail, except torch and what torch itself needs."""

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        """Raise an error for a blocked package, else leave it to the other finders."""
        if fullname.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{fullname} is blocked: an exported network imports only torch")
        return None


def answer(what: Path, file: Path) -> None:
    """Load the network, and replace the inputs in ``file`` by its answers, before and after a training step."""
    import torch

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
    torch.save(answers | namespace["training_step"](network, given["images"]), file)


def attempt(what: str, file: str, messages: str) -> int:
    """Answer one request, with all output going into the file ``messages``; return the exit status."""
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open(messages, "w", encoding="utf-8", errors="replace"))
        stack.enter_context(contextlib.redirect_stdout(stream))
        stack.enter_context(contextlib.redirect_stderr(stream))
        try:
            answer(Path(what), Path(file))
        except BaseException:  # a SystemExit of the model's own included
            traceback.print_exc()
            return 1
    return 0


def main() -> None:
    """Answer requests until there are no more."""
    import torch  # noqa: F401 (once for all requests)

    sys.meta_path.insert(0, Wall())
    replies = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        if not hasattr(os, "fork"):
            status = attempt(*request)
        else:
            child = os.fork()
            if child == 0:
                os._exit(attempt(*request))
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, file=replies, flush=True)


if __name__ == "__main__":
    main()
