"""The functions of ``model.py`` beside the network: copied from here, so each needs only torch.

The constants are written anew for every network. A task may bring its own ``read_image`` and ``answer``
(:class:`~chattn_nas.export.usage.Usage`).
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

CARD = ""
CLASS_NAMES: tuple[str, ...] = ()
IN_CHANS = 3
IMAGE_SIZE = (1, 1)
MEAN: tuple[float, ...] = (0.0,)
STD: tuple[float, ...] = (1.0,)
RESIZE = "squash"
INTERPOLATION = "bilinear"
BACKGROUND = "white"
RANGE: tuple[float, float] | None = None

#: Names that ``model.py`` has whatever the network is for.
CONSTANTS = ("CARD", "CLASS_NAMES", "IN_CHANS", "IMAGE_SIZE", "MEAN", "STD", "RESIZE", "INTERPOLATION", "BACKGROUND",
             "RANGE")  # fmt: skip
FUNCTIONS = ("load", "tensors_of", "normalise", "read_image", "open_image", "eight_bits", "framed", "resized", "pixels",
             "answer", "main")  # fmt: skip


def build() -> nn.Module:
    """Written for every network."""
    raise NotImplementedError


def load(path: str | Path | None = None) -> nn.Module:
    """The trained network in evaluation mode; ``path`` is a file of weights, by default weights.pt beside this one."""
    network = build()
    file = Path(path) if path else Path(__file__).with_name("weights.pt")
    weights = tensors_of(file)
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{file} does not hold the weights of this network: {reason}") from None
    return network.eval()


def tensors_of(file: Path) -> Any:
    """What a file holds that torch wrote; OSError or ValueError where it cannot be read, or is damaged."""
    file.open("rb").close()
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:  # torch does not look at its checksums
                if damaged := archive.testzip():
                    raise ValueError(f"{damaged} in it is not what was written")
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds, and speaks of pickle where a file is cut off
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        reason = said if zipfile.is_zipfile(file) else "cut off, or no file of torch"
        raise ValueError(f"{file} is damaged ({reason}): export the network again") from error


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Images (B, C, H, W) in 0 to 255 as the network takes them."""
    mean = torch.tensor(MEAN, device=images.device).view(-1, 1, 1)
    std = torch.tensor(STD, device=images.device).view(-1, 1, 1)
    return (images.float() / 255 - mean) / std


def read_image(path: str | Path) -> torch.Tensor:
    """An image file as a normalised batch (1, C, H, W) of IMAGE_SIZE, read as the training images were."""
    return normalise(pixels(open_image(path, IMAGE_SIZE)))


def open_image(path: str | Path, size: tuple[int, int] | None = None) -> Any:
    """An image file as an upright image of Pillow, grey or RGB, of ``size`` (height, width) where one is asked for.

    EXIF rotation is applied, transparent pixels show BACKGROUND, more than eight bits are scaled from RANGE.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise SystemExit("Reading an image file needs Pillow: pip install pillow") from None
    if IN_CHANS not in (1, 3):
        raise SystemExit(f"The network takes images of {IN_CHANS} channels, image files have 1 or 3")
    try:
        with Image.open(path) as file:
            if size and file.format == "JPEG":  # the decoder may leave out detail beyond twice the size
                shape = size[::-1] if file.getexif().get(0x0112, 1) in (5, 6, 7, 8) else size  # before it is turned
                part_height, part_width = framed(file.size, shape)
                width = round(2 * shape[1] * file.width / part_width)
                height = round(2 * shape[0] * file.height / part_height)
                file.draft(None, (max(1, width), max(1, height)))
            file.load()
            image = ImageOps.exif_transpose(file)
    except Exception as error:  # a broken file makes Pillow raise whatever it met
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise SystemExit(f"{path} cannot be read as an image: {reason}") from error
    if image.mode[0] in "IF":
        image = Image.frombytes("L", image.size, bytes(eight_bits(image, path).flatten().tolist()))
    mode = "L" if IN_CHANS == 1 else "RGB"
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image.convert("RGBA"))
    if image.mode not in ("1", "L", "P") or mode == "RGB":
        image = image.convert("RGB")
    image = image.convert(mode)
    return image if size is None or image.size == size[::-1] else resized(image, size)


def eight_bits(image: Any, path: str | Path) -> torch.Tensor:
    """The pixels (H, W) of an image of more than eight bits, scaled from RANGE to 0 to 255, uint8."""
    floats = image.mode == "F"
    values = torch.frombuffer(
        bytearray((image if floats else image.convert("I")).tobytes()), dtype=torch.float32 if floats else torch.int32
    ).float()
    low, high = RANGE or (0.0, 1.0 if floats else 65535.0)
    if not values.isfinite().all() or (RANGE is None and (values.min() < low or values.max() > high)):
        raise SystemExit(f"{path} holds numbers that are not within {low:g} to {high:g}")
    values = (values - low) * (255 / (high - low))
    return values.round().clamp(0, 255).to(torch.uint8).view(image.height, image.width)


def framed(size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float]:
    """Height and width of what is brought to ``shape`` (height, width) of an image of ``size`` (width, height)."""
    if RESIZE == "squash":
        return size[1], size[0]
    scale = (min if RESIZE == "crop" else max)(size[0] / shape[1], size[1] / shape[0])
    return shape[0] * scale, shape[1] * scale


def resized(image: Any, shape: tuple[int, int]) -> Any:
    """An image of Pillow brought to ``shape`` (height, width) as RESIZE says."""
    from PIL import Image, ImageOps

    how = getattr(Image.Resampling, INTERPOLATION.upper())
    if RESIZE == "pad":
        colour: Any = Image.new("RGB", (1, 1), BACKGROUND).convert(image.mode).getpixel((0, 0))
        return ImageOps.pad(image, shape[::-1], how, color=colour)
    height, width = (round(side) for side in framed(image.size, shape))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height)).resize(shape[::-1], how)


def pixels(image: Any) -> torch.Tensor:
    """An image of Pillow as uint8 (1, C, H, W)."""
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.view(1, image.height, image.width, -1).permute(0, 3, 1, 2)


def answer(output: Any, path: str | Path) -> None:
    """Print the likeliest classes of one image."""
    probabilities = output.softmax(1)[0]
    for index in probabilities.argsort(descending=True)[:5].tolist():
        name = CLASS_NAMES[index] if CLASS_NAMES else f"class {index}"
        print(f"{100 * probabilities[index]:6.2f} %  {name}")


def main() -> None:
    """Answer the images named on the command line, or run a random batch."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show a name shows the rest
    try:
        network = load()
        with torch.no_grad():
            if len(sys.argv) < 2:
                output = network(torch.randn(2, IN_CHANS, *IMAGE_SIZE))
                shape = tuple(output.shape) if isinstance(output, torch.Tensor) else f"{len(output)} outputs"
                print(f"{CARD}: two random images give {shape}")
            for path in sys.argv[1:]:
                if len(sys.argv) > 2:
                    print(f"{path}:")
                answer(network(read_image(path)), path)
    except OSError as error:
        file = error.filename or "a file"
        raise SystemExit(f"{file} cannot be read or written: {error.strerror or error}") from None
    except ValueError as error:
        raise SystemExit(str(error)) from None
