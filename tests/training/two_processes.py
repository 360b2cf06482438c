"""Run by torchrun: two processes train one layer; the first writes its weights."""

import sys
from pathlib import Path

import torch
from layer import train_layer

from chattn_nas.proxy import join_distributed

if __name__ == "__main__":
    with join_distributed("cpu") as context:
        assert context.size == 2
        network = train_layer(context, Path(sys.argv[1]))
        gathered = [torch.empty_like(network[1].weight) for _ in range(2)]
        torch.distributed.all_gather(gathered, network[1].weight.detach())
        assert torch.equal(*gathered), "both processes hold the same weights"
