"""The only door to Ray: clusters, their resources, and tasks on them.

``tests/search/test_ray_door.py`` shows what another version breaks. Ray is imported when it is needed.
"""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chattn_nas.errors import MissingExtraError, RunError, first_line

#: Bytes of a local cluster's object store: it holds weights on their way to the checkpoints.
OBJECT_STORE = 500 * 2**20
#: What a training needs, by Ray's word for asking and its word for having.
KINDS = {"num_cpus": "CPU", "num_gpus": "GPU"}


def require_ray() -> None:
    """Check that Ray is installed.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError('engine ray needs Ray: pip install "chattn-nas[ray]"', where=("search", "engine"))


def connect() -> bool:
    """Connect to the cluster of ``RAY_ADDRESS``, else to this machine's, else to a new one that only loopback reaches.

    Returns:
        Whether this process was not connected before.

    Raises:
        RunError: There is no cluster at the address.
    """
    import ray

    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS")
    quiet = {"log_to_driver": False, "logging_level": "warning"}
    if address:
        _knock(address)
    try:
        ray.init(address=address or "auto", **quiet)
    except ConnectionError as error:
        if address:
            raise RunError(f"there is no Ray cluster at {address}: {first_line(error)}") from error
        ray.init(
            address="local", include_dashboard=False, object_store_memory=OBJECT_STORE, _node_ip_address="127.0.0.1",
            **quiet,
        )  # fmt: skip
    return True


def _knock(address: str) -> None:
    """Check that something listens at ``HOST:PORT`` or ``ray://HOST:PORT``: Ray itself waits for minutes.

    Raises:
        RunError: Nothing listens there.
    """
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not port.isdigit():  # auto, local
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise RunError(f"there is no Ray cluster at {address}: {first_line(error)}") from None


def disconnect() -> None:
    """Leave the cluster; if this process started it, it ends."""
    import ray

    ray.shutdown()


def has_gpus() -> bool:
    """Whether some node of the cluster has a GPU."""
    import ray

    return bool(ray.cluster_resources().get("GPU", 0) > 0)


def room_for(needs: Mapping[str, float]) -> int:
    """Number of tasks with these needs that the cluster, as it is now, can run at a time."""
    import ray

    there = ray.cluster_resources()
    return int(min(there.get(kind, 0) // needs[need] for need, kind in KINDS.items() if needs.get(need)))


def task(function: Callable[..., Any], needs: Mapping[str, float], retries: int) -> Any:
    """Make a function that runs on a node; ``.remote(...)`` starts it. -1 retries without end if its node is lost."""
    import ray

    return ray.remote(function).options(**needs, max_retries=retries)


def actor_here(kind: type[Any]) -> Any:
    """Make an object that lives on the node of this process without taking a processor."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(kind).options(num_cpus=0, scheduling_strategy=here).remote()


def ready(waited_for: Sequence[Any], seconds: float) -> list[Any]:
    """Wait for the first reference that is done, or for a timeout; return all that are done."""
    import ray

    done: list[Any] = ray.wait(list(waited_for), timeout=seconds)[0]
    return done


def result_of(started: Any) -> Any:
    """Return the result of a task or a call; an exception on its node is raised here."""
    import ray
    from ray.exceptions import RayTaskError

    try:
        return ray.get(started)
    except RayTaskError as error:
        raise error.cause from None


def cancel(started: Any) -> None:
    """End a task with its process. Ray 2.60 aborts this process if the task has just ended by itself."""
    import ray

    ray.cancel(started, force=True)
