"""Faults of the lines: between the service and Redis, and to the clients."""

from __future__ import annotations

import time

from reliability.faults.scene import Scene
from reliability.ledger import Row


def redis_slow(scene: Scene) -> Row:
    """Redis 50 ms away in each direction."""
    line = scene.line(scene.redis().port)
    service = scene.service(line.proxy.url)

    def disturb() -> None:
        line.set(delay=0.05)
        time.sleep(2.0)
        line.set(delay=0.0)

    return scene.run(redis_slow, "redis", [service.url], disturb)


def redis_replies_cut(scene: Scene) -> Row:
    """Every seventh reply of Redis cut in the middle, its connection reset."""
    line = scene.line(scene.redis().port)
    service = scene.service(line.proxy.url)

    def disturb() -> None:
        line.set(cut_every=7)
        time.sleep(2.0)
        line.set(cut_every=0)

    row = scene.run(redis_replies_cut, "redis", [service.url], disturb)
    return row.noting(f"{line.proxy.cuts} cut")


def redis_black_hole(scene: Scene) -> Row:
    """Packets to Redis vanish for 5 s."""
    line = scene.line(scene.redis().port)
    service = scene.service(line.proxy.url)

    def disturb() -> None:
        line.hold()
        time.sleep(5.0)
        line.release()

    return scene.run(redis_black_hole, "redis", [service.url], disturb)


def redis_commit_reply_lost(scene: Scene) -> Row:
    """Redis commits a cycle and its reply is lost."""
    line = scene.line(scene.redis().port)
    service = scene.service(line.proxy.url)

    def disturb() -> None:
        for _ in range(5):
            line.set(lose_reply_to=b"EVALSHA")
            time.sleep(0.2)

    row = scene.run(redis_commit_reply_lost, "redis", [service.url], disturb)
    return row.noting(f"{line.proxy.lost} lost")


def answers_lost(scene: Scene) -> Row:
    """The service's answers to clients lost with their connections."""
    service = scene.service()
    line = scene.line(service.port)

    def disturb() -> None:
        for _ in range(10):
            line.set(lose_reply_to=b"PUT ")
            time.sleep(0.1)

    row = scene.run(answers_lost, "sqlite", [line.url], disturb, check_at=service.url)
    return row.noting(f"{line.proxy.lost} lost")


def answers_cut(scene: Scene) -> Row:
    """Every third piece of the service's answers cut in the middle and reset."""
    service = scene.service()
    line = scene.line(service.port)

    def disturb() -> None:
        line.set(cut_every=3)
        time.sleep(1.0)
        line.set(cut_every=0)

    row = scene.run(answers_cut, "sqlite", [line.url], disturb, check_at=service.url)
    return row.noting(f"{line.proxy.cuts} cut")


def service_black_hole(scene: Scene) -> Row:
    """Packets to the service vanish for 3 s; clients give up after 1 s."""
    service = scene.service()
    line = scene.line(service.port)

    def disturb() -> None:
        line.hold()
        time.sleep(3.0)
        line.release()

    return scene.run(
        *(service_black_hole, "sqlite", [line.url], disturb),
        check_at=service.url,
        timeout=1.0,
    )


FAULTS = (
    redis_slow,
    redis_replies_cut,
    redis_black_hole,
    redis_commit_reply_lost,
    answers_lost,
    answers_cut,
    service_black_hole,
)
