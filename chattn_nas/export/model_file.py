"""The text of ``model.py``: a header, the classes, and what loads and runs them."""

from __future__ import annotations

import re
import textwrap

from chattn_nas.export.card import Card, Facts
from chattn_nas.export.source.layout import layout
from chattn_nas.export.source.leaf import literal
from chattn_nas.export.source.writer import Source

_USE = '''
def load(path: str | Path | None = None) -> nn.Module:
    """The trained network in evaluation mode; ``path`` is a file of weights, by default weights.pt beside this one."""
    network = build()
    file = Path(path) if path else Path(__file__).with_name("weights.pt")
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return network.eval()


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Images (B, C, H, W) in 0 to 255 as the network takes them."""
    mean = torch.tensor(MEAN, device=images.device).view(-1, 1, 1)
    std = torch.tensor(STD, device=images.device).view(-1, 1, 1)
    return (images.float() / 255 - mean) / std


def read_image(path: str | Path) -> torch.Tensor:
    """An image file as a batch (1, C, H, W), resized to IMAGE_SIZE and normalised."""
    try:
        from PIL import Image
    except ImportError:
        raise SystemExit("Reading an image file needs Pillow: pip install pillow") from None
    if IN_CHANS not in (1, 3):
        raise SystemExit(f"The network takes images of {IN_CHANS} channels, image files have 1 or 3")
    try:
        with Image.open(path) as file:
            image = file.convert("L" if IN_CHANS == 1 else "RGB")
    except OSError as error:
        raise SystemExit(f"{path} cannot be read as an image: {error}") from None
    height, width = IMAGE_SIZE
    image = image.resize((width, height), getattr(Image.Resampling, INTERPOLATION.upper()))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return normalise(pixels.view(1, height, width, -1).permute(0, 3, 1, 2))


def main() -> None:
    """Run a random batch, or print the likeliest classes of the image named on the command line."""
    network = load()
    with torch.no_grad():
        if len(sys.argv) < 2:
            logits = network(torch.randn(2, IN_CHANS, *IMAGE_SIZE))
            print(f"{CARD}: two random images give logits of shape {tuple(logits.shape)}")
            return
        probabilities = network(read_image(sys.argv[1])).softmax(1)[0]
    for index in probabilities.argsort(descending=True)[:5].tolist():
        name = CLASS_NAMES[index] if CLASS_NAMES else f"class {index}"
        print(f"{100 * probabilities[index]:6.2f} %  {name}")


if __name__ == "__main__":
    main()
'''


_TABLE = '''
def table(name: str) -> torch.Tensor:
    """A constant of the network, too large to be written here."""
    return torch.load(Path(__file__).with_name("tables.pt"), weights_only=True)[name]


'''


def model_text(source: Source, card: Card, facts: Facts) -> str:
    """``model.py`` as text: laid out, free of unused imports, importing only torch and the standard library."""
    result = [f"network = {source.expression}", *source.hooks, "return network"]
    lines = [*source.shared, *(result if source.hooks else [f"return {source.expression}"])]
    building = "".join(f"    {line}\n" for line in lines)
    constants = {
        "CARD": card.name,
        "CLASS_NAMES": tuple(card.class_names),
        "IN_CHANS": facts.in_chans,
        "IMAGE_SIZE": tuple(facts.image_size),
        "MEAN": tuple(card.mean),
        "STD": tuple(card.std),
        "INTERPOLATION": card.interpolation,
    }
    body = "\n\n".join(
        [
            "".join(f"{name} = {literal(value)}\n" for name, value in constants.items()),
            (_TABLE.lstrip() if source.tables else "") + source.definitions + "\n",
            "def build() -> nn.Module:\n"
            f'    """The network in training mode, with weights that are not trained."""\n{building}',
        ]
    )
    body = body + "\n" + _USE
    return layout(_header(card, facts) + _imports(body, source.imports) + "\n" + body)


def _header(card: Card, facts: Facts) -> str:
    made = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    stages = [f"    stage {number}: {text}" for number, text in enumerate(facts.attention, 1)]
    wrapped = textwrap.fill(f"{card.evidence} Written by chattn-nas on {facts.date} ({made}).", 110)
    origin = f", from {card.origin}" if card.origin else ""
    return "\n".join(
        [
            f'"""{_plain(card.name)}: {_plain(card.backbone)} with channel attention{_plain(origin)}.',
            "",
            *stages,
            "",
            _plain(wrapped),
            "Needs torch and nothing else: ``load()`` gives the trained network, ``build()`` an untrained one.",
            "Parts come from timm (https://github.com/huggingface/pytorch-image-models, Apache-2.0), as noted there.",
            '"""',
            "",
            "",
        ]
    )


def _plain(text: str) -> str:
    return text.replace("\\", "/").replace('"""', "'''")


def _imports(body: str, others: tuple[str, ...]) -> str:
    """The import lines that ``body`` needs, merged and sorted as ruff sorts them."""
    lines = {"import sys", "from pathlib import Path", "import torch", "from torch import nn", *others}
    lines |= {"import math"} if re.search(r"\bmath\.", body) else set()
    lines |= {"from torch.nn import functional as F"} if re.search(r"\bF\.", body) else set()
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for line in lines:
        source, _, names = line.removeprefix("from ").partition(" import ")
        if line.startswith("from "):
            named.setdefault(source, set()).add(names)
        else:
            plain.add(line)
    merged = [f"from {source} import {', '.join(sorted(names, key=_rank))}" for source, names in sorted(named.items())]
    every = [*sorted(plain), *merged]
    standard = [line for line in every if line.split()[1].partition(".")[0] != "torch"]
    torchs = [line for line in every if line not in standard]
    return "\n".join(["from __future__ import annotations", "", *standard, "", *torchs, ""])


def _rank(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
