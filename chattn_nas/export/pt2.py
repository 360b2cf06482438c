"""Format ``pt2``: a ``torch.export`` program with a free batch size and, if possible, a free image size."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import torch
from torch import nn

from chattn_nas.errors import ExportError, first_line
from chattn_nas.export.clean_process import CLEAN
from chattn_nas.export.context import Context, Written, python
from chattn_nas.export.proof import difference_of_all
from chattn_nas.export.training_step import tensors
from chattn_nas.quiet import quiet

FILE = "network.pt2"


def write_pt2(context: Context) -> Written:
    """Write ``network.pt2`` and compare it in a clean interpreter at batches of 1, 2 and 3, and at another size.

    The extra file ``preprocessing.json`` inside holds the preprocessing.

    Raises:
        ExportError: torch cannot export the network, or the program computes something else.
    """
    file = context.folder / FILE
    height, width = context.facts.image_size
    larger = torch.randn(2, context.facts.in_chans, height + 32, width + 64)
    try:
        worst, sizes = _write(context, file, larger), "any batch, images of any size that the network takes"
    except OSError:
        raise
    except Exception:  # that a size is not free shows in a dozen ways: torch's, and the network's own
        try:
            worst, sizes = _write(context, file, None), "any batch, images of the size below"
        except (ExportError, OSError):
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise ExportError(f"torch.export cannot write this network: {reason}") from error
    use = python(
        "import torch",
        f'network = torch.export.load("{FILE}").module()  # for inference; needs torch and nothing else',
        f"{context.result} = network(images){context.meaning}",
    )
    what = f"for inference from C++ or Python without source: {sizes}"
    return Written(files={FILE: what}, differences={"pt2": worst}, use=use)


def _write(context: Context, file: Path, larger: torch.Tensor | None) -> float:
    """Write and compare; with ``larger`` images the size is free, and they are compared as well."""
    program = export_program(context.network, context.images, free_size=larger is not None)
    with _quiet():
        whole = BytesIO()  # on a full disk, torch's own writing of a file ends the process
        torch.export.save(program, whole, extra_files={"preprocessing.json": json.dumps(context.preprocessing)})
        file.write_bytes(whole.getbuffer())
    batches = [*context.batches(), *([] if larger is None else [larger])]
    answers = CLEAN.run(file, batches=batches)
    with torch.no_grad():
        worst = max(
            difference_of_all(tensors(context.network(batch)), answer)
            for batch, answer in zip(batches, answers, strict=True)
        )
    if not worst <= context.max_difference:
        raise ExportError(f"{FILE} differs from the searched network by {worst:.3g}")
    return worst


def export_program(network: nn.Module, images: torch.Tensor, *, free_size: bool) -> torch.export.ExportedProgram:
    """Export ``network`` as a program for inference.

    Args:
        network: The network in evaluation mode.
        images: (B, C, H, W), B >= 2: a batch of 1 would become a constant.
        free_size: Whether height and width are free, not only the batch.
    """
    free = torch.export.Dim.DYNAMIC
    dynamic = {0: free, 2: free, 3: free} if free_size else {0: free}
    with _quiet(), torch.no_grad():
        return torch.export.export(network, (images,), dynamic_shapes=(dynamic,), strict=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings and log lines of torch.export about its internals."""
    with quiet("torch", below=logging.CRITICAL), warnings.catch_warnings(action="ignore"):
        yield
