#!/usr/bin/env python
"""Which timm models take attention, where, and why not: writes scripts/check_backbones.md.

    .venv/bin/python scripts/check_backbones.py            # a selection, each run forward and backward
    .venv/bin/python scripts/check_backbones.py --all      # all convolutional models of timm
    .venv/bin/python scripts/check_backbones.py NAME ...   # these

Slots are proved on the meta device (see chattn_nas/network/proof.py). A model of at most ``--run-below`` million
parameters is also built with random weights and an ECA module in every slot and run forward and backward; every
attention must have a gradient. One line each; what is done stands in ``--state`` and is not done again, so the same
command goes on after an interruption or after ``--seconds``. Exit code 1 where a model fails without a sentence.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import time
import warnings
from collections import Counter
from itertools import chain, zip_longest
from pathlib import Path

import timm
import torch

from chattn_nas.errors import ChattnError
from chattn_nas.network._timm import family_of, import_timm
from chattn_nas.network.survey import check, survey

MODELS = (
    "resnet18 resnet50 resnet26d resnext50_32x4d wide_resnet50_2 seresnet18 ecaresnet26t resnet33ts resnetv2_50 "
    "res2net50_26w_4s skresnet18 resnest14d legacy_seresnet18 hrnet_w18_small tresnet_m regnetx_002 regnety_002 "
    "regnetz_b16 regnetz_b16_evos gernet_s repvgg_a0 mobileone_s0 efficientnet_b0 tf_efficientnetv2_b0 mobilenetv2_050 "
    "mnasnet_050 tinynet_e mobilenetv3_small_100 lcnet_035 hardcorenas_a fbnetc_100 mobilenetv4_conv_small "
    "ghostnet_050 ghostnetv2_100 repghostnet_050 rexnet_100 nf_regnet_b0 dm_nfnet_f0 cspresnet50 cspdarknet53 "
    "ese_vovnet19b_slim repvit_m0_9 fastvit_t8 convnext_atto convnextv2_atto inception_next_atto edgenext_xx_small "
    "fasternet_t0 starnet_s1 mambaout_femto rdnet_tiny hgnet_tiny hgnetv2_b0 cspnext_tiny xception41 poolformer_s12 "
    "convformer_s18 densenet121 vgg11_bn dla34 dpn48b efficientvit_b0 nextvit_small convmixer_768_32 inception_v4 "
    "visformer_tiny coatnet_pico_rw_224 mobilevit_xxs focalnet_tiny_srf davit_tiny selecsls42b efficientformerv2_s0 "
    "test_resnet test_byobnet test_convnext test_efficientnet test_nfnet cifar_resnet8 cifar_resnet20"
)
OUT = Path(__file__).with_suffix(".md")
#: What is said of models that are none of ours to judge.
TRANSFORMER = ("no convolutional network", "has no module nn.Conv2d")


def main() -> None:
    """Go on with the models that are not done, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every model that timm knows")
    parser.add_argument("--run-below", type=float, default=6.0, help="millions of parameters; 0: prove only")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--state", type=Path, default=Path("check_backbones.jsonl"))
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    import_timm()
    names = given.names or (_every_model() if given.all else MODELS.split())
    rows = [json.loads(line) for line in given.state.read_text().splitlines()] if given.state.exists() else []
    done = {row["model"] for row in rows}
    later = {row["family"] for row in rows if _is_transformer(row)}
    started = time.perf_counter()
    waiting = [name for name in names if name not in done]
    while waiting and time.perf_counter() - started < given.seconds:
        # Families of transformers hold few convolutional models, if any: they come last.
        name = next((one for one in waiting if family_of(one) not in later), waiting[0])
        waiting.remove(name)
        rows.append(_row(name, given.run_below * 1e6))
        if _is_transformer(rows[-1]):
            later.add(rows[-1]["family"])
        with given.state.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(_line(rows[-1]), flush=True)
    given.out.write_text(_page([row for row in rows if row["model"] in set(names)], len(waiting)))
    raise SystemExit(any(row["result"].startswith("broken") for row in rows))


def _every_model() -> list[str]:
    """One model of every family, then a second of every family, and so on."""
    families: dict[str, list[str]] = {}
    for name in timm.list_models():
        if name != "chattn_net":
            families.setdefault(family_of(name), []).append(name)
    return [name for name in chain(*zip_longest(*families.values())) if name is not None]


def _row(name: str, run_below: float) -> dict[str, str]:
    start = time.perf_counter()
    row = {
        "family": family_of(name),
        "model": name,
        "where": "",
        "channels": "",
        "blocks": "",
        "pixels": "",
        "day": f"{datetime.date.today()}",
    }
    try:
        found = survey(name)
        stages = zip(found.stage_kinds, found.slots, strict=True)
        row |= {
            "where": " ".join("S" if kind == "stage" else f"{slots}{kind[0]}" for kind, slots in stages),
            "channels": " ".join(found.channels),
            "blocks": f"{found.slotted}/{found.blocks}",
            "pixels": str(found.image_size),
        }
        row["result"] = "proved"
        if found.parameters <= run_below:
            check(found)
            row["result"] = "runs"
    except ChattnError as error:
        row["result"] = f"refused: {getattr(error, 'message', error)}"
    except Exception as error:  # one model that breaks must not end the table
        row["result"] = f"broken: {type(error).__name__}: {error}".splitlines()[0]
    return row | {"seconds": f"{time.perf_counter() - start:.1f}"}


def _is_transformer(row: dict[str, str]) -> bool:
    return any(words in row["result"] for words in TRANSFORMER)


def _line(row: dict[str, str]) -> str:
    cells = ("family", "model", "where", "channels", "blocks", "pixels", "result", "day")
    return "| " + " | ".join(row[cell].replace("|", "\\|") for cell in cells) + " |"


def _page(rows: list[dict[str, str]], waiting: int) -> str:
    counted = Counter(row["result"].partition(":")[0] for row in rows if not _is_transformer(row))
    ours = [row for row in rows if not _is_transformer(row)]
    others = len(rows) - len(ours)
    whole = sum(set(row["where"].split()) == {"S"} for row in ours)
    mixed = sum("S" in row["where"].split() for row in ours) - whole
    return "\n".join(
        [
            "# Attention in timm models",
            "",
            f"{datetime.date.today()}, Python {platform.python_version()}, torch {torch.__version__}, timm "
            f"{timm.__version__}, CPU. `scripts/check_backbones.py` says how.",
            "",
            "- *where*: per stage, the number of slots and their kind (n: native, b: end of the residual branch), or "
            "S: behind the whole stage, since none of its blocks has a slot that is proved.",
            "- *blocks*: those with a slot of their own, of all.",
            "- *result*: *runs*: proved on the meta device, and every attention has a gradient in a forward and "
            "backward pass with random weights; *proved*: on the meta device only, for larger models; *refused*: why.",
            "- *day*: when this model was tried, with the code of that day.",
            "",
            f"{len(ours)} convolutional models of {len({row['family'] for row in ours})} families: "
            f"{counted['runs']} run, {counted['proved']} are proved, {counted['refused']} are refused, "
            f"{counted['broken']} are broken; {whole} take attention only behind whole stages, {mixed} there and in "
            f"blocks. Not convolutional, and not listed: {others}."
            + (f" Not yet tried: {waiting}." if waiting else ""),
            "",
            "| family | model | where | channels | blocks | pixels | result | day |",
            "|---|---|---|---|---|---|---|---|",
            *[_line(row) for row in sorted(ours, key=lambda row: (row["family"], row["model"]))],
            "",
        ]
    )


if __name__ == "__main__":
    main()
