"""The Ray cluster: the one that $RAY_ADDRESS names, or one of this machine that lives as long as the model."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from xlingual.errors import EnvironmentFault

ADDRESS_VARIABLE = "RAY_ADDRESS"
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
"""No usage statistics, no variable hidden from workers, no working directory copied to them."""
CONNECT_SECONDS = 5.0
"""For a cluster to accept a connection; Ray itself waits long and then ends the whole process."""
FORWARDED_VARIABLES = ("XLINGUAL_PLUGINS", "XLINGUAL_CACHE", "HF_HOME", "HF_HUB_OFFLINE", "OPENAI_BASE_URL")
"""Environment variables for workers on other machines. No keys: a cluster shows the environment of its workers."""
OBJECT_STORE_BYTES = 80 * 2**20
"""Requests and answers are small; by default Ray takes a third of the memory."""


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A connection to Ray."""

    threads: int
    """Of each worker."""
    environment: Mapping[str, str]
    """Variables that workers are started with."""
    owned: bool
    """Whether it was started here, and ends with `close`."""

    def close(self) -> None:
        """End the cluster where it was started here."""
        import ray  # noqa: PLC0415 - optional and heavy

        if self.owned and ray.is_initialized():
            ray.shutdown()


def connect(workers: int) -> Cluster:
    """Connect to the cluster, or start one here where none is named; EnvironmentFault where it does not answer."""
    import ray  # noqa: PLC0415 - optional and heavy

    address = os.environ.get(ADDRESS_VARIABLE, "").strip()
    remote = bool(address) and address != "local"
    owned = not ray.is_initialized()
    if owned:
        _check_address(address)
        for name, value in RAY_SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            with _keep_signal_handlers():
                if remote:
                    ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
                else:
                    ray.init(
                        "local",
                        num_cpus=max(workers, os.cpu_count() or 1),
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        object_store_memory=OBJECT_STORE_BYTES,
                    )
        except (OSError, RuntimeError, ValueError) as error:  # RaySystemError is none of Ray's public bases
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            where = f"${ADDRESS_VARIABLE}={address}" if address else "ray"
            raise EnvironmentFault(f"Ray does not start ({first})", where=where, hint="ray status") from error
    return Cluster(
        threads=_threads(workers, os.cpu_count() or 1 if not remote else None),
        environment={name: os.environ[name] for name in FORWARDED_VARIABLES if name in os.environ} if remote else {},
        owned=owned,
    )


def _check_address(address: str) -> None:
    """Raise EnvironmentFault where nothing listens at HOST:PORT or ray://HOST:PORT; Ray checks other addresses."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        where = f"${ADDRESS_VARIABLE}={address}"
        hint = f"check the address, or unset {ADDRESS_VARIABLE} to use this machine alone"
        raise EnvironmentFault(f"no Ray cluster answers ({error})", where=where, hint=hint) from error


def _threads(workers: int, cores: int | None) -> int:
    """Return the threads of a worker: $OMP_NUM_THREADS, else its share of the cores."""
    import ray  # noqa: PLC0415 - optional and heavy

    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    if cores is not None:
        return max(1, cores // workers)
    nodes = ray.nodes()  # type: ignore[no-untyped-call]  # Ray does not say
    sizes = [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
    return max(1, min(sum(sizes) // workers, max(sizes, default=1)))


@contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Restore the signal handlers, which Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
