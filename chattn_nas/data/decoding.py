"""Decodes one image of any kind to eight bits per channel, in the wanted size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps
from torch.nn import functional as F

from chattn_nas.data.pictures import Raw
from chattn_nas.data.values import Range, check_within, needs_range, to_uint8

Resize = Literal["squash", "crop", "pad"]
Pixels = NDArray[np.uint8]

#: Pillow's modes with more than eight bits.
DEEP = ("I", "F")
GREY = ("1", "L", "LA", "La")
BILINEAR = Image.Resampling.BILINEAR
#: EXIF orientations that swap width and height.
TURNED = (5, 6, 7, 8)
#: Those that mirror or turn by a half.
MIRRORED = (2, 3, 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How images are converted to a common form.

    Attributes:
        size: Height and width in pixels.
        resize: ``squash`` changes the aspect ratio, ``crop`` takes the largest central part of the wanted one, ``pad``
            puts the whole image on the background.
        background: Colour behind transparent pixels and padding, as Pillow names colours.
        channels: 1 or 3 for files; arrays keep their channels unless the spec says otherwise.
        scale: Values of black and white, for images with more than eight bits.
        guessed: Whether the range was guessed from some images; values beyond it are then refused.
    """

    size: tuple[int, int]
    resize: Resize = "squash"
    background: str = "white"
    channels: int | None = None
    scale: Range | None = None
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Original:
    """Facts about an image before resizing: width and height in pixels, Pillow's mode or the array's type.

    ``turned``: its EXIF tag turns or mirrors it, so that it is stored otherwise than it is shown, and read.
    """

    width: int
    height: int
    mode: str
    grey: bool
    frames: bool = False
    turned: bool = False


class NeedsRangeError(Exception):
    """An image has more than eight bits, and no range is known."""


class ColourError(Exception):
    """An image has colours, although all were taken for grey."""


def decode(raw: Raw, reading: Reading, called: str) -> tuple[Pixels, Original]:
    """Decode an image to uint8 (C, H, W), and return facts about the original.

    Raises:
        NeedsRangeError: The image has more than eight bits, and ``reading.scale`` is unknown.
        ColourError: The image has colours, although a single channel was tried (``reading.channels`` 0).
        DataError: Values lie beyond a guessed range.
        Exception: Whatever a broken file makes Pillow raise.
    """
    if isinstance(raw, np.ndarray):
        return decode_arrays(raw[None], reading, called)[0], seen_array(raw)
    width, height = raw.size
    orientation = raw.getexif().get(0x0112, 1)
    turned = orientation in TURNED
    frames = bool(getattr(raw, "is_animated", False))
    seen = Original(height if turned else width, width if turned else height, raw.mode, _is_grey(raw), frames,
                    orientation in MIRRORED or turned)  # fmt: skip
    if reading.channels == 0 and not seen.grey:
        raise ColourError
    if raw.format == "JPEG":
        _draft(raw, reading, turned)
    image = _upright(raw)
    if image.mode.startswith(DEEP):
        image = Image.fromarray(_eight_bits(np.asarray(image), reading, called))
    image = _on_background(image, reading)
    return _fitted(image, reading), seen


def seen_array(image: NDArray[Any]) -> Original:
    """Facts about an image (H, W, C)."""
    height, width, channels = image.shape
    return Original(width, height, f"{image.dtype}x{channels}", channels == 1)


def decode_arrays(images: NDArray[Any], reading: Reading, called: str) -> Pixels:
    """Convert images (N, height, width, C) of one size to uint8 (N, C, H, W)."""
    pixels = _eight_bits(images, reading, called)
    held = np.ascontiguousarray(pixels)
    part = torch.from_numpy(held if held.flags.writeable else held.copy()).permute(0, 3, 1, 2)
    if reading.channels == 3 and part.shape[1] == 1:
        part = part.expand(-1, 3, -1, -1)
    elif reading.channels == 1 and part.shape[1] == 3:  # ITU-R 601-2, as Pillow
        weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
        part = (part * weights).sum(1, keepdim=True).round_().to(torch.uint8)
    elif part.shape[1] == 4 and reading.channels in (1, 3):
        raise ValueError("has four channels")
    height, width = part.shape[2:]
    tall, wide = (round(side) for side in framed((width, height), reading.size, reading.resize))
    if reading.resize == "crop":
        top, left = (height - tall) // 2, (width - wide) // 2
        part = part[:, :, top : top + tall, left : left + wide]
    elif (tall, wide) != (height, width):
        part = _padded(part, (tall, wide), reading.background)
    if part.shape[2:] != reading.size:
        part = F.interpolate(part.float(), reading.size, mode="bilinear", antialias=True)
        part = part.round_().clamp_(0, 255).to(torch.uint8)
    decoded: Pixels = part.contiguous().numpy()
    return decoded


def framed(image: tuple[int, int], size: tuple[int, int], resize: Resize) -> tuple[float, float]:
    """Height and width of the area that becomes the picture: the image, a part of it, or a larger frame.

    Args:
        image: Width and height of the image.
        size: Wanted height and width.
        resize: As in :class:`Reading`.
    """
    if resize == "squash":
        return image[1], image[0]
    scale = (min if resize == "crop" else max)(image[0] / size[1], image[1] / size[0])
    return size[0] * scale, size[1] * scale


def _padded(part: torch.Tensor, to: tuple[int, int], background: str) -> torch.Tensor:
    """Put an image into the middle of (height, width)."""
    count, channels, height, width = part.shape
    colour = ImageColor.getrgb(background)[:3]
    grey = round(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2])
    fill = torch.tensor(colour if channels == 3 else [grey] * channels, dtype=torch.uint8).reshape(1, -1, 1, 1)
    whole = fill.expand(count, channels, *to).clone()
    top, left = (to[0] - height) // 2, (to[1] - width) // 2
    whole[:, :, top : top + height, left : left + width] = part
    return whole


def _eight_bits(values: NDArray[Any], reading: Reading, called: str) -> Pixels:
    if needs_range(values.dtype):
        if reading.scale is None:
            raise NeedsRangeError
        if reading.guessed:
            check_within(values, reading.scale, called)
    return to_uint8(values, reading.scale)


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):
        palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in GREY or image.mode.startswith(DEEP)


def _draft(image: Image.Image, reading: Reading, turned: bool) -> None:
    """Let the JPEG decoder skip detail, down to twice the final size."""
    size = reading.size[::-1] if turned else reading.size
    tall, wide = framed(image.size, size, reading.resize)
    width, height = 2 * size[1] * image.width / wide, 2 * size[0] * image.height / tall
    image.draft(None, (max(1, round(width)), max(1, round(height))))


def _upright(image: Image.Image) -> Image.Image:
    """Rotate an image as EXIF says."""
    image.load()
    return ImageOps.exif_transpose(image)


def _on_background(image: Image.Image, reading: Reading) -> Image.Image:
    """Convert any image to L or RGB; transparent pixels show the background."""
    grey = _is_grey(image) if reading.channels in (None, 0) else reading.channels == 1
    mode = "L" if grey else "RGB"
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        behind = Image.new("RGBA", image.size, reading.background)
        image = Image.alpha_composite(behind, image)
        return image.convert("RGB").convert(mode)
    if image.mode in ("L", "RGB"):
        return image if image.mode == mode else image.convert(mode)
    return image.convert("RGB").convert(mode) if image.mode not in ("1", "P") or mode == "RGB" else image.convert(mode)


def cropped(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The largest central part with the proportions of (height, width)."""
    height, width = (round(side) for side in framed(image.size, size, "crop"))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _fitted(image: Image.Image, reading: Reading) -> Pixels:
    size = reading.size[::-1]
    if image.size != size:
        if reading.resize == "crop":
            image = cropped(image, reading.size).resize(size, BILINEAR)
        elif reading.resize == "pad":
            colour: Any = Image.new("RGB", (1, 1), reading.background).convert(image.mode).getpixel((0, 0))
            image = ImageOps.pad(image, size, BILINEAR, color=colour)
        else:
            image = image.resize(size, BILINEAR)
    pixels: Pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
