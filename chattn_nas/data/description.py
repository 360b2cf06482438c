"""The description of a data set: made once, kept with its cached images, compared wherever the set is used again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.boxes import are_boxes, counted
from chattn_nas.data.reading import ReadPart
from chattn_nas.image_size import ImageSize, either
from chattn_nas.plural import first_of, plural

#: Names listed in a message.
SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class PartFacts:
    """One part as its source holds it, before anything is split off.

    Attributes:
        images: Number of images that were read.
        counts: Number of images or boxes per class; ``None`` if targets are neither labels nor boxes.
        sizes: Width, height and number of images, the commonest first, at most 50.
        smallest, largest: Width and height of the image with the fewest and with the most pixels.
        modes: Images by Pillow's mode, or the array's type and channels.
        bad: Name and reason of images that were left out.
        frames: Files with several frames, of which the first is taken.
        content, pixels, targets: Hashes of what was read, of the tensors that came of it, and of the targets.
        boxes: How many, where targets are boxes.
    """

    images: int
    counts: list[int] | None
    sizes: list[list[int]]
    smallest: list[int]
    largest: list[int]
    modes: dict[str, int]
    bad: list[list[str]] = field(default_factory=list)
    frames: int = 0
    content: str = ""
    pixels: str = ""
    targets: str = ""
    boxes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A data set.

    Attributes:
        parts: ``train``, and where the source has them ``validation`` and ``test``.
        class_names: By label.
        channels, image_size: Channels and image size of the tensors.
        multilabel: An image may be of several classes at once.
        may_flip: Whether a mirrored image is of the same class, as far as the source knows.
        said: How the source was understood, one sentence each.
        warned: What is odd about it.
        seconds: That reading took.
        value_range: Numbers that were read as black and white, where images have more than eight bits.
    """

    parts: dict[str, PartFacts]
    class_names: tuple[str, ...]
    channels: int
    image_size: ImageSize
    multilabel: bool = False
    may_flip: bool = True
    said: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    seconds: float = 0.0
    value_range: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Description:
        """A description from what :meth:`to_dict` gave."""
        lists = {name: tuple(data[name]) for name in ("class_names", "said", "warned")}
        parts = {name: PartFacts(**facts) for name, facts in data["parts"].items()}
        value_range = data.get("value_range")
        others = {"image_size": either(data["image_size"]), "value_range": tuple(value_range) if value_range else None}
        return cls(**{**data, **lists, **others, "parts": parts})

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The identity of the set, small enough to be kept with every study."""
        return {
            "classes": list(self.class_names),
            "channels": self.channels,
            "parts": {
                name: {key: getattr(facts, key) for key in ("images", "counts", "content", "pixels", "targets")}
                for name, facts in self.parts.items()
            },
        }


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The differences between two data sets as sentences; none where their content is the same.

    Files that are the same byte for byte are the same set, whatever their names; so are files that decode to the same
    tensors.

    Args:
        then, now: From :attr:`Description.fingerprint`.
    """
    sentences = []
    if then["classes"] != now["classes"]:
        gone = [name for name in then["classes"] if name not in now["classes"]]
        new = [name for name in now["classes"] if name not in then["classes"]]
        words = [f"no class {', '.join(gone)}"] * bool(gone) + [f"a class {', '.join(new)}"] * bool(new)
        sentences.append(f"it has {' and '.join(words) if words else 'its classes in another order'}")
    if then["channels"] != now["channels"]:
        sentences.append(f"it has {plural(now['channels'], 'channel')}, not {then['channels']}")
    for part in dict.fromkeys((*then["parts"], *now["parts"])):
        old, new_part = then["parts"].get(part), now["parts"].get(part)
        if old is None or new_part is None:
            sentences.append(f"it has {'no' if new_part is None else 'a'} {part} part")
        elif old["images"] != new_part["images"]:
            sentences.append(f"{part} has {plural(new_part['images'], 'image')}, not {old['images']:,}"
                         + _classes(old, new_part, now["classes"]))  # fmt: skip
        elif old["targets"] != new_part["targets"]:
            sentences.append(f"labels of the {part} images differ" + _classes(old, new_part, now["classes"]))
        elif old["content"] != new_part["content"] and old["pixels"] != new_part["pixels"]:
            sentences.append(f"the content of the {part} images differs")
    return sentences


def _classes(old: dict[str, Any], new: dict[str, Any], names: Sequence[str]) -> str:
    if not old["counts"] or not new["counts"] or len(old["counts"]) != len(new["counts"]):
        return ""
    changed = [
        f"{name}: {after}, not {before}"
        for name, before, after in zip(names, old["counts"], new["counts"])
        if before != after
    ]
    return f" ({first_of(changed, between='; ')})" if changed else ""


def part_facts(survey: ReadPart, targets: NDArray[Any], classes: int) -> PartFacts:
    """The content of a part that was read."""
    counts = counted(targets, classes).tolist() if are_boxes(targets) else None
    if targets.ndim == 1 and targets.dtype.kind == "i":
        counts = np.bincount(targets, minlength=classes).tolist()
    elif targets.ndim == 2 and targets.shape[1] == classes:
        counts = targets.astype(np.int64).sum(0).tolist()
    by_area = sorted(survey.sizes, key=lambda size: size[0] * size[1])
    return PartFacts(
        images=len(survey.kept),
        boxes=sum(counts) if counts is not None and are_boxes(targets) else None,
        counts=counts,
        sizes=[[*size, images] for size, images in survey.sizes.most_common(50)],
        smallest=list(by_area[0]) if by_area else [0, 0],
        largest=list(by_area[-1]) if by_area else [0, 0],
        modes=dict(survey.modes.most_common()),
        bad=[list(one) for one in survey.bad[: 50 * SHOWN]],
        frames=survey.frames,
        content=survey.content.hexdigest(),
        pixels=survey.pixels.hexdigest(),
        targets=hashlib.blake2b(np.ascontiguousarray(targets).tobytes(), digest_size=16).hexdigest(),
    )
