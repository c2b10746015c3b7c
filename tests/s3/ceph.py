"""Ceph's S3 gateway on loopback, out of Debian's packages: a monitor, a store in memory and a gateway.

    apt-get install -y --no-install-recommends ceph-mon ceph-osd radosgw ceph-common

About 20 s to start and 150 MB of memory. Nothing outlives the block, and no system service is touched. Without
tcp_nodelay every other GET takes 40 ms.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.log.objects.s3_server import make_bucket

_PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool")
_PACKAGES = "ceph-mon ceph-osd radosgw ceph-common"
_OSD_STARTS = 6
_CONFIG = """
[global]
fsid = {fsid}
mon host = 127.0.0.1:{mon}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file = {folder}/$name.pid
mon cluster log file = {folder}/cluster.log
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{rgw} tcp_nodelay=1
rgw dns name = localhost
setuser match path =
"""


class CephMissingError(Exception):
    """The daemons are not installed, or do not start here."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def missing() -> str | None:
    """Why there can be no gateway here; None when there can."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"no {', '.join(absent)}: apt-get install --no-install-recommends {_PACKAGES}" if absent else None


@contextlib.contextmanager
def ceph_running(folder: Path, key: str, secret: str) -> Iterator[str]:
    """Endpoint of a gateway with the bucket "bucket" for these credentials. Raises CephMissingError."""
    if reason := missing():
        raise CephMissingError(reason)
    cluster = _Cluster(folder)
    try:
        yield cluster.start(key, secret)
    finally:
        cluster.stop()


class _Cluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "ceph.conf"
        self.rgw = _free_port()
        self.mon = _free_port()
        self.fsid = str(uuid.uuid4())
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self, key: str, secret: str) -> str:
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        self.config.write_text(_CONFIG.format(folder=self.folder, fsid=self.fsid, mon=self.mon, rgw=self.rgw))
        keyring, monmap = str(self.folder / "keyring"), str(self.folder / "monmap")
        self.run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self.run("monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{self.mon}]", "--fsid", self.fsid, monmap)
        self.run("ceph-mon", "-c", str(self.config), "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        self.daemon("ceph-mon", "a")
        self.ceph("mon", "enable-msgr2", "--yes-i-really-mean-it", allowed=True)
        osd = str(uuid.uuid4())
        self.ceph("osd", "new", osd)
        self.run("ceph-osd", "-c", str(self.config), "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.osd()
        self.daemon("radosgw", "client.rgw", "-n")
        endpoint = f"http://127.0.0.1:{self.rgw}"
        self.wait(lambda: _answers(endpoint), "the gateway answers")
        user = ("user", "create", "--uid=wf", "--display-name=wf", f"--access-key={key}", f"--secret-key={secret}")
        self.run("radosgw-admin", "-c", str(self.config), *user)
        make_bucket(endpoint, key, secret)
        return endpoint

    def osd(self) -> None:
        """An OSD that asks the monitor for something before it was told of its map ("wrong fsid") ends."""
        for left in reversed(range(_OSD_STARTS)):
            self.daemon("ceph-osd", "0")
            try:
                self.wait(lambda: b"1 up" in self.ceph("osd", "stat"), "the OSD is up")
                break
            except CephMissingError:
                if not left or self.daemons[-1].poll() is None:
                    raise
                self.daemons.pop()

    def daemon(self, program: str, name: str, flag: str = "-i") -> None:
        log = (self.folder / f"{program}.out").open("wb")
        command = [program, "-c", str(self.config), flag, name, "-f"]
        self.daemons.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=self._env()))
        log.close()

    def run(self, *command: str, allowed: bool = False) -> bytes:
        done = subprocess.run(command, capture_output=True, env=self._env(), timeout=90, check=False)
        if done.returncode and not allowed:
            raise CephMissingError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')[-500:]}")
        return done.stdout + done.stderr

    def ceph(self, *command: str, allowed: bool = False) -> bytes:
        return self.run("ceph", "-c", str(self.config), "--connect-timeout", "30", *command, allowed=allowed)

    def wait(self, condition: object, what: str) -> None:
        deadline = time.monotonic() + 90
        while not condition():  # type: ignore[operator]
            ended = [daemon.args for daemon in self.daemons if daemon.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise CephMissingError(f"not to be had: {what}; ended: {ended}; see {self.folder}")
            time.sleep(0.3)

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.kill()
        for daemon in self.daemons:
            daemon.wait(30)

    def _env(self) -> dict[str, str]:
        return {**os.environ, "CEPH_CONF": str(self.config)}


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(endpoint, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
