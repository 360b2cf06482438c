#!/usr/bin/env python
"""Exports many timm models as source, proves each in a clean interpreter, and prints a Markdown table.

    .venv/bin/python scripts/check_exports.py [--attention TYPE] [--only NAME ...] > scripts/check_exports.md

Every model has random weights and 10 classes. ``0`` means bit-exact: logits in evaluation mode, in training mode, all
gradients of one training step, and all weights and statistics after it. A model that cannot be written is refused.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path

import timm
import torch

from chattn_nas.errors import ChattnError
from chattn_nas.export import Card, export_network
from chattn_nas.network import build_network, cifar  # noqa: F401 (cifar registers our models with timm)
from chattn_nas.space import Architecture, Backbone, StageChoice

#: Models by timm module, with the image size where 64 pixels are too few.
MODELS = (
    "resnet10t resnet18 resnet50 resnet26d resnext50_32x4d wide_resnet50_2 seresnet18 ecaresnet26t resnet33ts "
    "resnetv2_50 resnetv2_50d_gn res2net50_26w_4s res2next50 skresnet18 resnest14d legacy_seresnet18 senet154@96 "
    "hrnet_w18_small tresnet_m regnetx_002 regnety_002 regnetz_b16 gernet_s repvgg_a0 mobileone_s0 "
    "efficientnet_b0 tf_efficientnet_b0 efficientnet_lite0 tf_efficientnetv2_b0 mobilenetv2_050 mnasnet_050 "
    "tinynet_e mixnet_s mobilenetv3_small_100 tf_mobilenetv3_small_minimal_100 lcnet_035 hardcorenas_a fbnetc_100 "
    "fbnetv3_b mobilenetv4_conv_small mobilenetv5_base ghostnet_050 ghostnetv2_100 ghostnetv3_050 repghostnet_050 "
    "rexnet_100 nf_regnet_b0 dm_nfnet_f0@96 cspresnet50 cspdarknet53 ese_vovnet19b_slim ese_vovnet19b_dw "
    "repvit_m0_9 fastvit_t8 convnext_atto convnextv2_atto inception_next_atto edgenext_xx_small fasternet_t0 "
    "starnet_s1 mambaout_femto rdnet_tiny hgnet_tiny hgnetv2_b0 cspnext_tiny xception41 xception71 "
    "legacy_xception@96 poolformer_s12 poolformerv2_s12 convformer_s18 densenet121 vgg11_bn dla34 dpn48b "
    "efficientvit_b0 nextvit_small convmixer_768_32 selecsls42b inception_v3@96 inception_v4@96 "
    "inception_resnet_v2@96 visformer_tiny@224 coatnet_pico_rw_224@224 mobilevit_xxs focalnet_tiny_srf "
    "lambda_resnet26t gcresnet33ts test_resnet test_byobnet test_convnext test_efficientnet test_nfnet "
    "cifar_resnet8 cifar_resnet20 cpubone_nano csatv2 efficientformer_l1@224 efficientformerv2_s0@224 efficientvim_m1 "
    "efficientvit_m0 iformer_t lcnetv2_small lowformer_b0 shvit_s1 swiftformer_xs tiny_vit_5m_224"
)


def _build(name: str, size: int, attention: str) -> tuple[torch.nn.Module, Architecture]:
    architecture = Architecture(Backbone(name), (StageChoice(attention),))
    torch.manual_seed(0)
    if attention != "none":
        return build_network(architecture, num_classes=10, in_chans=3, image_size=size, seed=0), architecture
    return timm.create_model(name, num_classes=10), architecture


def _row(entry: str, attention: str) -> tuple[str, bool, str]:
    """Family, whether it was written bit-exactly, and the table's row."""
    name, _, given = entry.partition("@")
    size = int(given or 64)
    family = timm.models.model_entrypoint(name).__module__.rpartition(".")[2]
    start = time.perf_counter()
    exact = False
    directory = ""
    try:
        network, architecture = _build(name, size, attention)
        with tempfile.TemporaryDirectory() as directory:
            report = export_network(
                network,
                architecture=architecture,
                out_dir=directory,
                num_classes=10,
                in_chans=3,
                image_size=size,
                card=Card(name=name, backbone=name),
                formats=("source",),
            )
            lines = len((Path(directory) / "model.py").read_text().splitlines())
        exact = report.max_difference == 0
        result = " / ".join(
            f"{report.differences[part]:.2g}" for part in ("evaluation", "training", "gradients", "state")
        )
    except ChattnError as error:
        lines, result = 0, f"refused: {error}".replace(directory or "\0", "DIR").replace("|", "\\|").replace("\n", " ")
    except Exception as error:  # one model that breaks must not end the table
        lines, result = 0, f"broken: {type(error).__name__}: {error}".replace("|", "\\|").replace("\n", " ")[:300]
    return (
        family,
        exact,
        f"| {family} | {name} | {size} | {lines or '-'} | {result} | {time.perf_counter() - start:.1f} |",
    )


def main() -> None:
    """Print the table; exit code 1 where fewer than 90 % are bit-exact."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attention", default="none", help="attention type in every stage")
    parser.add_argument("--only", nargs="*", default=MODELS.split(), help="names, NAME@SIZE for an image size")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}"
    print(f"# Source export of timm models\n\n{datetime.date.today()}, {versions}, CPU.\n")
    print(
        f"`scripts/check_exports.py --attention {arguments.attention}`. Differences in evaluation, in training, of all"
    )
    print("gradients of a training step, and of all weights and statistics after it; 0 is bit-exact. Seconds include")
    print("building and proof.\n")
    print(
        "| family | model | pixels | lines of model.py | differences | seconds |\n|---|---|---|---|---|---|", flush=True
    )
    families, exact, total = set(), 0, 0
    for entry in arguments.only:
        if not timm.is_model(entry.partition("@")[0]):
            print(f"not a model of this timm: {entry}", file=sys.stderr)
            continue
        family, is_exact, row = _row(entry, arguments.attention)
        print(row, flush=True)
        families.add(family)
        exact, total = exact + is_exact, total + 1
    print(f"\nBit-exact: {exact} of {total} models ({100 * exact / max(1, total):.0f} %) of {len(families)} families.")
    sys.exit(exact < 0.9 * total)


if __name__ == "__main__":
    main()
