#!/usr/bin/env python
"""Places attention in many timm models, runs each forward and backward, and prints a Markdown table.

    .venv/bin/python scripts/check_backbones.py [NAME ...] > scripts/check_backbones.md

Every slot of a model gets an ECA module; the model is built with random weights, and every attention must have a
gradient. Exit code 1 where fewer than 97 % pass, or a model fails without a sentence that says why.
"""

from __future__ import annotations

import datetime
import platform
import sys
import time
import warnings

import timm
import torch

from chattn_nas.errors import ChattnError
from chattn_nas.network._timm import family_of, import_timm
from chattn_nas.network.survey import check, survey

MODELS = (
    "resnet18 resnet50 resnet26d resnext50_32x4d wide_resnet50_2 seresnet18 ecaresnet26t resnet33ts resnetv2_50 "
    "res2net50_26w_4s skresnet18 resnest14d legacy_seresnet18 hrnet_w18_small tresnet_m regnetx_002 regnety_002 "
    "regnetz_b16 gernet_s repvgg_a0 mobileone_s0 efficientnet_b0 tf_efficientnetv2_b0 mobilenetv2_050 mnasnet_050 "
    "tinynet_e mobilenetv3_small_100 lcnet_035 hardcorenas_a fbnetc_100 mobilenetv4_conv_small ghostnet_050 "
    "ghostnetv2_100 repghostnet_050 rexnet_100 nf_regnet_b0 dm_nfnet_f0 cspresnet50 cspdarknet53 ese_vovnet19b_slim "
    "repvit_m0_9 fastvit_t8 convnext_atto convnextv2_atto inception_next_atto edgenext_xx_small fasternet_t0 "
    "starnet_s1 mambaout_femto rdnet_tiny hgnet_tiny hgnetv2_b0 cspnext_tiny xception41 poolformer_s12 convformer_s18 "
    "densenet121 vgg11_bn dla34 dpn48b efficientvit_b0 nextvit_small convmixer_768_32 inception_v4 visformer_tiny "
    "coatnet_pico_rw_224 mobilevit_xxs focalnet_tiny_srf davit_tiny selecsls42b test_resnet test_byobnet "
    "test_convnext test_efficientnet test_nfnet cifar_resnet8 cifar_resnet20"
)  # fmt: skip


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    import_timm()
    names = sys.argv[1:] or MODELS.split()
    print("# Attention in timm models\n")
    print(f"{datetime.date.today()}, Python {platform.python_version()}, torch {torch.__version__}, "
          f"timm {timm.__version__}, CPU. `scripts/check_backbones.py`: an ECA module in every slot, random weights, "
          "forward and backward, every attention with a gradient.\n")  # fmt: skip
    print("| family | model | slots | stages | slots per stage | channels | pixels | result | seconds |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    passed, refused, families = 0, 0, set()
    for name in names:
        start, row, result = time.perf_counter(), ["", "", "", "", ""], "runs"
        try:
            found = survey(name)
            row = [", ".join(found.kinds), " ".join(found.stages), " ".join(map(str, found.slots)),
                   " ".join(found.channels), str(found.image_size)]  # fmt: skip
            check(found)
            passed += 1
        except ChattnError as error:
            refused += 1
            result = f"refused: {getattr(error, 'message', error)}"
        except Exception as error:  # one model that breaks must not end the table
            result = f"broken: {type(error).__name__}: {error}".splitlines()[0]
        family = family_of(name) if timm.is_model(name) else ""
        families.add(family)
        row_text = " | ".join(one.replace("|", "\\|") for one in [family, name, *row, result])
        print(f"| {row_text} | {time.perf_counter() - start:.1f} |", flush=True)
    print(f"\nRuns: {passed} of {len(names)} models ({passed / len(names):.0%}) of {len(families)} families; "
          f"refused with a reason: {refused}.")  # fmt: skip
    sys.exit(passed < 0.97 * len(names) or passed + refused < len(names))


if __name__ == "__main__":
    main()
