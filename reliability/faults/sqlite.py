"""Faults of the file that holds the sessions, and of the disk under it."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reliability.faults.scene import Scene, Unable, title
from reliability.faults.seen import refused
from reliability.ledger import Row, audit
from reliability.storm import Storm
from service.client import Client, ServiceError

MB = 1 << 20


def disk_full(scene: Scene) -> Row:
    """Disk full for 2 s (a small file system, filled and emptied)."""
    disk = scene.folder / "disk"
    scene.stack.enter_context(_small_disk(disk))
    service = scene.service(f"sqlite:///{disk}/sessions.sqlite")
    filler = disk / "filler"

    def disturb() -> int:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        with refused(service.url) as watch:
            time.sleep(2.0)
            filler.unlink()
        return watch.count

    return scene.run(disk_full, "sqlite", [service.url], disturb)


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        raise Unable("a file system can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def file_cannot_grow(scene: Scene) -> Row:
    """No file of the service may grow for 2 s (file size limit)."""
    service = scene.service()

    def disturb() -> int:
        with refused(service.url) as watch:
            service.limit(resource.RLIMIT_FSIZE, 64 << 10)
            time.sleep(2.0)
            _, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
            service.limit(resource.RLIMIT_FSIZE, hard)
        return watch.count

    return scene.run(file_cannot_grow, "sqlite", [service.url], disturb)


def file_locked(scene: Scene) -> Row:
    """File locked by another program for 7 s."""
    service = scene.service()

    def disturb() -> int:
        db = sqlite3.connect(_file(scene), isolation_level=None, timeout=10)
        try:
            db.execute("BEGIN EXCLUSIVE")
            with refused(service.url, slow=3.0) as watch:
                time.sleep(7.0)
                db.execute("ROLLBACK")
        finally:
            db.close()
        return watch.count

    return scene.run(file_locked, "sqlite", [service.url], disturb)


def file_moved(scene: Scene) -> Row:
    """File moved away under load, and back after 2 s."""
    service = scene.service()
    file, away = _file(scene), scene.folder / "away"

    def disturb() -> int:
        with refused(service.url) as watch:
            file.rename(away)
            time.sleep(2.0)
            away.rename(file)
        return watch.count

    return scene.run(file_moved, "sqlite", [service.url], disturb)


def file_replaced(scene: Scene) -> Row:
    """File replaced by an empty one under load; put back after 2 s."""
    service = scene.service()
    file, away = _file(scene), scene.folder / "away"

    def disturb() -> int:
        with refused(service.url) as watch:
            file.rename(away)
            file.touch()
            time.sleep(2.0)
            away.replace(file)
        return watch.count

    return scene.run(file_replaced, "sqlite", [service.url], disturb)


def log_ends_in_garbage(scene: Scene) -> Row:
    """Service killed, and garbage behind the end of the write-ahead log."""
    service = scene.service()
    log = scene.folder / "sessions.sqlite-wal"

    def disturb() -> int:
        gone = service.kill()
        behind = log.stat().st_size
        with log.open("ab") as file:
            file.write(os.urandom(5000))
        service.start()
        return int(gone and behind > 0)

    return scene.run(log_ends_in_garbage, "sqlite", [service.url], disturb)


def byte_flipped(scene: Scene) -> Row:
    """One byte of each session's stored samples flipped: refused, never handed out."""
    began = time.monotonic()
    service = scene.service()
    clients = Storm([service.url], scene.scale)
    clients.begin()
    clients.end()
    row = Row(title(byte_flipped), "sqlite")
    service.terminate()
    _flip(_file(scene))
    service.start()
    caught = given = 0
    with Client(service.url) as client:
        for account in clients.accounts:
            session = client.session(account.session_id)
            for cycle, acknowledged in account.acknowledged.items():
                try:
                    found = session.analysis(cycle).tobytes()
                except ServiceError as error:
                    caught += error.slug == "store-corrupt"
                else:
                    given += 1
                    row.wrong += found != acknowledged
    service.terminate()
    _flip(_file(scene))
    service.start()
    row.note = f"{caught} damaged were refused, {given} others read; then mended"
    row.struck = caught
    if caught != len(clients.accounts):
        row.wrong += 1
    row.seconds = round(time.monotonic() - began, 2)
    return audit(row, clients.accounts, service.url)


def _flip(file: Path) -> None:
    """Turn one bit in the first stored samples of each session, or turn it back."""
    db = sqlite3.connect(file)
    try:
        query = "SELECT min(rowid) FROM blobs GROUP BY session"
        for (row,) in db.execute(query).fetchall():
            with db.blobopen("blobs", "frame", row) as blob:
                place = len(blob) // 2
                blob[place] ^= 1
        db.commit()
    finally:
        db.close()


def _file(scene: Scene) -> Path:
    return scene.folder / "sessions.sqlite"


FAULTS = (
    disk_full,
    file_cannot_grow,
    file_locked,
    file_moved,
    file_replaced,
    log_ends_in_garbage,
    byte_flipped,
)
