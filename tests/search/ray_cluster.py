"""A search on a cluster of two nodes on loopback, of which one is lost: python ray_cluster.py JOB FOLDER."""

import json
import os
import sys
import threading
import time
from pathlib import Path

from ray.cluster_utils import Cluster

from chattn_nas.search import search
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory

node = {"object_store_memory": 100 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **node})
second = cluster.add_node(num_cpus=2, **node)
cluster.wait_for_nodes()
os.environ["RAY_ADDRESS"] = cluster.address
spec, folder = Spec.from_dict(json.loads(sys.argv[1])), Path(sys.argv[2])
RunDirectory.create(spec, folder)
go_on = Path(os.environ["STUB_WAITS_FOR"])


def lose_a_node() -> None:
    """Once all three processors train; no training ends before."""
    while len(list(go_on.parent.glob(f"{go_on.stem}.*"))) < 3:
        time.sleep(0.1)
    cluster.remove_node(second, allow_graceful=False)
    print("one node is gone", flush=True)
    go_on.touch()


try:
    threading.Thread(target=lose_a_node, daemon=True).start()
    search(spec, run=folder, trainer="stub_trainer:StubTrainer")
finally:
    cluster.shutdown()
