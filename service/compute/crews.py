"""Who does the parts of an analysis, at the place that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ccdm_engine.parts import Crew, InTurn, Through
from service.compute.progress import Progress
from service.places import Place


def crew(place: Place, progress: Progress) -> AbstractContextManager[Crew]:
    """Who does the parts, for the length of one analysis.

    Args:
        place: as the settings name it.
        progress: told the stage, the parts done and the parts in all.
    """
    if place.kind == "dask":
        from service.compute.cluster import OnCluster

        return nullcontext(OnCluster(place, progress))
    return _here(place, progress)


@contextmanager
def _here(place: Place, progress: Progress) -> Iterator[Crew]:
    if place.at_once < 2:
        yield InTurn(progress)
        return
    with ThreadPoolExecutor(place.threads) as pool:
        yield Through(pool, place.at_once, progress=progress)
