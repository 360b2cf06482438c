"""Format ``onnx``: one file, by torch's dynamo exporter, checked with onnxruntime."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from types import ModuleType

import torch

from chattn_nas.errors import ExportError, MissingExtraError, first_line
from chattn_nas.export.context import Context, Written, python
from chattn_nas.export.proof import difference_of_all
from chattn_nas.export.training_step import tensors

FILE = "network.onnx"


def onnx_packages() -> tuple[ModuleType, ModuleType]:
    """Import onnx and onnxruntime.

    Raises:
        MissingExtraError: They, or onnxscript, which torch's exporter needs, are not installed.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f'the onnx format needs {error.name}, which is not installed: pip install "chattn-nas[onnx]"'
        ) from None
    return onnx, onnxruntime


def write_onnx(context: Context) -> Written:
    """Write ``network.onnx`` with a free batch size and compare it at batches of 1, 2 and 3.

    The metadata property ``preprocessing`` (JSON) holds the preprocessing.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: torch cannot export the network, or onnxruntime computes something else.
    """
    onnx, onnxruntime = onnx_packages()
    file = context.folder / FILE
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the exporter warns of its own dependencies
            program = torch.onnx.export(
                context.network,
                (context.images,),
                input_names=["images"],
                output_names=list(context.usage.outputs),
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            program.save(file, external_data=False)
    except Exception as error:  # whatever the exporter raises, the user needs the sentence
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ExportError(f"torch.onnx cannot write this network: {reason}") from error
    model = onnx.load(file)
    onnx.helper.set_model_props(model, {"preprocessing": json.dumps(context.preprocessing)})
    onnx.checker.check_model(model)
    onnx.save(model, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in context.batches():
        answers = [torch.from_numpy(array) for array in session.run(None, {"images": batch.numpy()})]
        with torch.no_grad():
            worst = max(worst, difference_of_all(tensors(context.network(batch)), answers))
    if not worst <= context.max_difference:
        raise ExportError(f"{FILE} differs from the searched network by {worst:.3g} in onnxruntime")
    use = python(
        "import onnxruntime",
        f'session = onnxruntime.InferenceSession("{FILE}")',
        f'{context.result} = session.run(None, {{"images": images.numpy()}}){context.meaning}',
    )
    what = "for onnxruntime and other ONNX run times: any batch, images of the size below"
    return Written(files={FILE: what}, differences={"onnx": worst}, use=use)
