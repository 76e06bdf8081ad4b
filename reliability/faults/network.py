"""Faults of the lines: between the service and Redis, and to the clients."""

from __future__ import annotations

import time

from reliability.faults.scene import Scene
from reliability.faults.seen import refused, silent
from reliability.ledger import Row
from tests.support.redis import RedisServer


def redis_slow(scene: Scene) -> Row:
    """Redis 50 ms away in each direction."""
    line = scene.line(scene.redis().port)
    service = scene.service(line.proxy.url)

    def disturb() -> int:
        before = line.proxy.round_trips
        line.set(delay=0.05)
        with RedisServer.client_of(line.proxy.url) as client:
            asked = time.monotonic()
            client.ping()
            slow = time.monotonic() - asked >= 0.1
        time.sleep(2.0)
        line.set(delay=0.0)
        return slow * (line.proxy.round_trips - before)

    return scene.run(redis_slow, "redis", [service.url], disturb)


def redis_replies_cut(scene: Scene) -> Row:
    """Every seventh reply of Redis cut in the middle, its connection reset."""
    line = scene.line(scene.redis().port)
    service = scene.service(line.proxy.url)

    def disturb() -> int:
        before = line.proxy.cuts
        line.set(cut_every=7)
        time.sleep(2.0)
        line.set(cut_every=0)
        return line.proxy.cuts - before

    return scene.run(redis_replies_cut, "redis", [service.url], disturb)


def redis_black_hole(scene: Scene) -> Row:
    """Packets to Redis vanish for 5 s."""
    line = scene.line(scene.redis().port)
    service = scene.service(line.proxy.url)

    def disturb() -> int:
        with refused(service.url) as watch:
            line.hold()
            time.sleep(5.0)
            line.release()
        return watch.count

    return scene.run(redis_black_hole, "redis", [service.url], disturb)


def redis_commit_reply_lost(scene: Scene) -> Row:
    """Redis commits a cycle and its reply is lost."""
    line = scene.line(scene.redis().port)
    service = scene.service(line.proxy.url)

    def disturb() -> int:
        before = line.proxy.lost
        for _ in range(5):
            line.set(lose_reply_to=b"EVALSHA")
            time.sleep(0.2)
        return line.proxy.lost - before

    return scene.run(redis_commit_reply_lost, "redis", [service.url], disturb)


def answers_lost(scene: Scene) -> Row:
    """The service's answers to clients lost with their connections."""
    service = scene.service()
    line = scene.line(service.port)

    def disturb() -> int:
        before = line.proxy.lost
        for _ in range(10):
            line.set(lose_reply_to=b"PUT ")
            time.sleep(0.1)
        return line.proxy.lost - before

    return scene.run(answers_lost, "sqlite", [line.url], disturb, check_at=service.url)


def answers_cut(scene: Scene) -> Row:
    """Every third piece of the service's answers cut in the middle and reset."""
    service = scene.service()
    line = scene.line(service.port)

    def disturb() -> int:
        before = line.proxy.cuts
        line.set(cut_every=3)
        time.sleep(1.0)
        line.set(cut_every=0)
        return line.proxy.cuts - before

    return scene.run(answers_cut, "sqlite", [line.url], disturb, check_at=service.url)


def service_black_hole(scene: Scene) -> Row:
    """Packets to the service vanish for 3 s; clients give up after 1 s."""
    service = scene.service()
    line = scene.line(service.port)

    def disturb() -> int:
        with silent(line.url) as watch:
            line.hold()
            time.sleep(3.0)
            line.release()
        return watch.count

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
