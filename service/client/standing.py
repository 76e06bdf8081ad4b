"""Where a session stands, as its two clients keep it: what needs no request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from service.client.labels import Labels
from service.client.results import CycleResult, SessionInfo
from service.client.wire import Array

if TYPE_CHECKING:
    import xarray


class Standing:
    """A session's name, its cycle, and the names of its state variables.

    Attributes:
        info: the session as the service showed it last.
        current_cycle: the last finished cycle, 0 before the first.
    """

    def __init__(self, info: SessionInfo) -> None:
        self.info = info
        self.current_cycle = info.cycle

    def __repr__(self) -> str:
        """Show id and cycle."""
        return f"<{type(self).__name__} {self.id} at cycle {self.current_cycle}>"

    @property
    def id(self) -> str:
        """Id, with which any process can take the session up again."""
        return self.info.id

    def labelled(self, samples: Array, *, first: int | None = None) -> xarray.DataArray:
        """Samples of this session with its names and coordinates (needs xarray).

        Args:
            samples: ``(N, dx)``, as from ``analysis`` or ``wait_for_analysis``.
            first: number of the first of these members, to have them numbered.

        Raises:
            UsageError: without xarray.
        """
        return Labels.of_session(self.info.view).array(samples, first)

    def _next(self, number: int | None) -> int:
        return self.current_cycle + 1 if number is None else number

    def _labels(self, states: Any = None) -> Labels:
        """Those of the session; of the forecast where the session has none."""
        own = Labels.of_session(self.info.view)
        sent = None if own.states else Labels.of_array(states)
        return replace(sent, attrs=own.attrs) if sent else own

    def _took(self, result: CycleResult, states: Any = None) -> CycleResult:
        """A result of this session, which has come as far now."""
        self.current_cycle = max(self.current_cycle, result.cycle)
        return replace(result, labels=self._labels(states))
