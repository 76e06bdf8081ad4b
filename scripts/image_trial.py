#!/usr/bin/env python3
"""Start the built image as a container runtime would, and try what it promises.

    image_trial.py ROOT IMAGE.json

``ROOT`` is the mounted file system of the image and ``IMAGE.json`` its description as
``buildah inspect`` prints it. The image's own command runs as the image's own user, in
mount and network namespaces of its own: root file system read-only, ``/data`` a volume,
``/tmp`` in memory, no capabilities, no new privileges, and no network but loopback.
Everything that speaks to the service speaks from inside the same namespaces.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

KEY = "the-key-of-this-trial"
UNSHARE = ("unshare", "--mount", "--net", "--ipc", "--uts", "--")
DEVICES = ("null", "zero", "random", "urandom")

ANALYSE = """
import numpy as np
from service.client import Client
with Client("http://127.0.0.1:8000", api_key="{key}") as ccdm:
    rng = np.random.default_rng(1)
    states = rng.normal(size=(200, 3))
    simulated = states[:, :1] + 0.3 * rng.normal(size=(200, 1))
    result = ccdm.analyse(states, simulated, np.array([1.0]), seed=1)
    assert result.samples.shape == (200, 3) and np.isfinite(result.samples).all()
    shift = result.samples[:, 0].mean()
    assert 0.6 < shift < 1.2, shift   # the exact posterior mean is 0.92
    print("mean of the observed variable", round(float(shift), 3))
"""

SESSION = """
import hashlib, pathlib, numpy as np
from service.client import Client
rng = np.random.default_rng(2)
states = rng.normal(size=(50, 3))
simulated = states[:, :1] + 0.3 * rng.normal(size=(50, 1))
note = pathlib.Path("/data/trial-session")
with Client("http://127.0.0.1:8000", api_key="{key}") as ccdm:
    if note.exists():
        session = ccdm.session(note.read_text())
    else:
        session = ccdm.create_session(
            state_dim=3, measurement_dim=1, initial_ensemble=states, seed=5)
        note.write_text(session.id)
    before = session.analysis()
    digest = hashlib.sha256(before.tobytes()).hexdigest()[:16]
    print("found", session.info.cycle, digest)
    result = session.cycle(states, simulated, np.array([1.0]))
    digest = hashlib.sha256(result.samples.tobytes()).hexdigest()[:16]
    print("left", result.cycle, digest)
"""


class Container:
    """The image, running; leaving the block kills what is left of it."""

    def __init__(self, root: Path, config: dict[str, Any], data: Path) -> None:
        self.root, self.config, self.data = root, config, data

    def start(self, **environment: str) -> None:
        """Start the image's command and wait until its health check passes."""
        self.environment = [*self.config["Env"], *map("=".join, environment.items())]
        self.log = tempfile.TemporaryFile("a+")  # noqa: SIM115 (lives as the process)
        inside = [sys.executable, __file__, "--inside", str(self.root), str(self.data)]
        self.process = subprocess.Popen(
            [*UNSHARE, *inside, *self._as_user(self.config["Cmd"])],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        # Before the namespaces are made, "inside" would be this very machine.
        while not self.is_apart() or self.run(self.health_check).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the service did not start:\n{self.output()}")
            time.sleep(0.2)

    def is_apart(self) -> bool:
        """Whether the process has left this machine's network."""
        theirs = Path(f"/proc/{self.process.pid}/ns/net")
        try:
            return theirs.readlink() != Path("/proc/self/ns/net").readlink()
        except OSError:
            return False

    @property
    def health_check(self) -> list[str]:
        """The command of the image's HEALTHCHECK."""
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD", kind
        return list(command)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as the image's user."""
        enter = ["nsenter", f"--target={self.process.pid}", "--mount", "--net"]
        return subprocess.run(
            [*enter, "chroot", str(self.root), *self._as_user(command)],
            capture_output=True,
            text=True,
            timeout=120,
        )

    def python(self, code: str) -> str:
        """What a program prints that runs inside; it has to succeed."""
        done = self.run(["python", "-c", code.replace("{key}", KEY)])
        if done.returncode:
            raise SystemExit(f"failed inside:\n{done.stderr}\n{self.output()}")
        return done.stdout.strip()

    def stop(self, number: int) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(timeout=40)

    def output(self) -> str:
        """All that the service has printed."""
        self.log.seek(0)
        return self.log.read()

    def _as_user(self, command: list[str]) -> list[str]:
        user, group = self.config["User"].split(":")
        rights = ["--clear-groups", "--no-new-privs", "--bounding-set=-all"]
        drop = ["setpriv", f"--reuid={user}", f"--regid={group}", *rights]
        folder = ["-C", self.config["WorkingDir"]]
        return [*drop, "env", "-i", *folder, *self.environment, *command]


def enter(root: str, data: str, command: list[str]) -> None:
    """Become the container's first process (called in the new namespaces)."""
    mounts = [["--make-rprivate", "/"], ["--bind", root, root]]
    mounts += [["-o", "remount,bind,ro", root]]
    mounts += [["--bind", data, f"{root}/data"]]
    mounts += [["-t", "tmpfs", "-o", "size=256m,mode=1777", "tmp", f"{root}/tmp"]]
    mounts += [["-t", "proc", "-o", "ro", "proc", f"{root}/proc"]]
    mounts += [["-t", "tmpfs", "-o", "mode=755", "dev", f"{root}/dev"]]
    for mount in mounts:
        subprocess.run(["mount", *mount], check=True)
    for name in DEVICES:
        Path(f"{root}/dev/{name}").touch()
        device = ["--bind", f"/dev/{name}", f"{root}/dev/{name}"]
        subprocess.run(["mount", *device], check=True)
    _loopback_up()
    os.execvp("chroot", ["chroot", root, *command])


def _loopback_up() -> None:
    get_flags, set_flags, up = 0x8913, 0x8914, 0x1
    with socket.socket() as any_socket:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(any_socket, get_flags, request))[1]
        request = struct.pack("16sH14s", b"lo", flags | up, b"")
        fcntl.ioctl(any_socket, set_flags, request)


def passed(what: str, fact: object = "") -> None:
    """Report one thing that holds."""
    print(f"ok  {what:<58} {fact}", flush=True)


def check_description(config: dict[str, Any]) -> None:
    """The image says who runs it, how, and how its health is checked."""
    assert config["User"] not in ("", "0", "root", "0:0"), config["User"]
    assert config["Cmd"][0] == "ccdm" and isinstance(config["Cmd"], list)
    assert "/data" in config["Volumes"]
    assert "OPENBLAS_NUM_THREADS=1" in config["Env"]
    passed("user, command, volume, health check", config["User"])


def check_confinement(container: Container) -> None:
    """No root, no capabilities, nothing writable but /data and /tmp."""
    facts = Path(f"/proc/{container.process.pid}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in facts.splitlines() if ":\t" in line)
    assert lines["Uid"].split()[0] == container.config["User"].split(":")[0]
    assert int(lines["CapEff"], 16) == int(lines["CapBnd"], 16) == 0
    assert lines["NoNewPrivs"] == "1"
    assert container.run(["touch", "/opt/ccdm/x"]).returncode != 0
    assert "ro," in container.run(["grep", " / ", "/proc/self/mounts"]).stdout
    passed("not root, no capabilities, read-only root file system")


def check_first_key(container: Container) -> None:
    """Without a key in the settings one is made, printed once, and asked for."""
    container.start()
    assert container.output().count("ccdm_") == 1, container.output()
    refused = (
        "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v1/sessions')"
    )
    assert "401" in container.run(["python", "-c", refused]).stderr
    assert container.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
    container.start()
    assert "ccdm_" not in container.output(), container.output()
    container.stop(signal.SIGTERM)
    passed("no key set: one made, shown once, and asked for")


def check_session_survives(container: Container) -> None:
    """What was acknowledged before SIGKILL is there after the restart."""
    left = container.python(SESSION).splitlines()[-1]
    container.stop(signal.SIGKILL)
    container.start(CCDM_API_KEYS=KEY)
    found, further = container.python(SESSION).splitlines()
    assert left.split()[1:] == found.split()[1:], (left, found)
    assert further.split()[1] == "2", further
    passed("session survives SIGKILL with its volume", f"cycle and digest {left[5:]}")


def main(root: Path, description: Path) -> None:
    """Try everything, in order; the first failure ends it with its reason."""
    config = json.loads(description.read_text())["Docker"]["config"]
    check_description(config)
    with tempfile.TemporaryDirectory(prefix="ccdm-data-") as folder:
        data = Path(folder)
        os.chown(data, *map(int, config["User"].split(":")))
        container = Container(root, config, data)
        try:
            check_first_key(container)
            began = time.monotonic()
            container.start(CCDM_API_KEYS=KEY)
            passed(
                "health check passes", f"{time.monotonic() - began:.1f} s after start"
            )
            check_confinement(container)
            passed("one analysis", container.python(ANALYSE))
            check_session_survives(container)
            assert container.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
            passed("SIGTERM ends it")
        finally:
            container.process.kill()
    print("image: all of it holds")


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        enter(sys.argv[2], sys.argv[3], sys.argv[4:])
    main(Path(sys.argv[1]), Path(sys.argv[2]))
