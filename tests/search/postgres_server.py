"""A PostgreSQL server on loopback, in a folder of its own, as a user that is not root."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

#: Exit code of ``pg_ctl status`` where there is no server.
NOT_RUNNING = 3


def binary(name: str) -> str | None:
    """Where Debian keeps it, or on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = "postgres" if os.getuid() == 0 else None
        if self.user:
            folder.chmod(0o755)
            for parent in folder.parents:
                if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self.data = folder / "data"
        self.data.mkdir()
        if self.user:
            shutil.chown(folder, self.user)
            shutil.chown(self.data, self.user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._call("initdb", "-A", "trust", "-U", "chattn", "--no-sync", "-E", "UTF8", "--locale=C")

    @property
    def url(self) -> str:
        return f"postgresql://chattn@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder}"
        self._call("pg_ctl", "-o", options, "-l", str(self.folder / "log"), "-w", "start")

    def stop(self) -> None:
        """Until it is gone: on a busy machine the signal may find it between two states."""
        for _ in range(5):
            self._run("pg_ctl", "-m", "immediate", "-w", "stop")
            if self._run("pg_ctl", "status").returncode == NOT_RUNNING:
                return
            time.sleep(1.0)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def _call(self, name: str, *arguments: str) -> None:
        done = self._run(name, *arguments)
        assert done.returncode == 0, (name, done.stdout)

    def _run(self, name: str, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [binary(name), "-D", str(self.data), *arguments], user=self.user, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if name != "pg_ctl" else subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=90,
        )  # fmt: skip
