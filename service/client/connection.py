"""What a client can do, said once for the waiting and the awaiting one.

As in :mod:`service.client.handles`, every method is a generator of requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from service.client import calls, jobs, stored
from service.client.calling import call
from service.client.jobs import JobStatus
from service.client.labels import Labels
from service.client.messages import Steps
from service.client.results import AnalysisResult, SessionInfo, StoredResult
from service.client.stored import StoredRequest
from service.client.wire import Observation

SessionT = TypeVar("SessionT")
JobT = TypeVar("JobT")
StoredT = TypeVar("StoredT")


class ClientCalls(ABC, Generic[SessionT, JobT, StoredT]):
    """What a client can do."""

    @call
    def analyse(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        seed: int | None = None,
    ) -> Steps[AnalysisResult]:
        """One analysis that the service does not keep.

        Args:
            forecast_states: ``x_i``, ``(N, dx)``.
            simulated_measurements: ``y_i``, ``(N, dy)``, noise included unless the
                option ``measurement_error`` is given.
            observation: ``y*``, ``(dy,)``; NaN or ``None`` where nothing was observed.
            options: a mapping, or an ``AnalysisOptions``.
            seed: for the same samples again.
        """
        return calls.analyse(
            forecast_states, simulated_measurements, observation, options, seed
        )

    @call
    def create_session(
        self, /, *, state_dim: int, measurement_dim: int, **fields: Any
    ) -> Steps[SessionT]:
        """Begin a session at cycle 0.

        Args:
            state_dim: ``dx``.
            measurement_dim: ``dy``.
            fields: ``options``, ``seed``, ``ttl_seconds``, ``keep_analyses``,
                ``initial_ensemble`` ``(N, dx)`` (or ``initial_mean``, ``initial_std``
                and ``members``), ``names``, ``coordinates``, ``metadata``.
        """
        dims = {"state_dim": state_dim, "measurement_dim": measurement_dim}
        return self._session((yield from calls.create_session(dims | fields)))

    @call
    def session(self, session_id: str) -> Steps[SessionT]:
        """An existing session, at the cycle it has come to."""
        return self._session((yield from calls.read_session(session_id)))

    @call
    def ready(self) -> Steps[dict[str, Any]]:
        """The service's own account of its dependencies."""
        return calls.ready()

    @call
    def submit(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        seed: int | None = None,
    ) -> Steps[JobT]:
        """One analysis as a job: it is done whether or not anybody waits."""
        status = yield from jobs.submit(
            forecast_states, simulated_measurements, observation, options, seed
        )
        return self._job(status, Labels.of_array(forecast_states))

    @call
    def analyse_stored(
        self,
        forecast_states: Mapping[str, str],
        simulated_measurements: Any,
        observation: Any,
        *,
        localization: Mapping[str, Any],
        result: Mapping[str, str],
        overwrite: bool = False,
        options: Any = None,
        seed: int | None = None,
    ) -> Steps[StoredResult]:
        """One analysis of files in folders of the service, waited for.

        What takes longer than the client's ``timeout`` is for ``submit_stored``.

        Args:
            forecast_states: reference to a file with ``(N, dx)``: a mapping of
                ``location``, ``path``, and ``variable`` in NetCDF and HDF5.
            simulated_measurements: ``(N, dy)``, such a reference or the numbers.
            observation: ``(dy,)``, likewise.
            localization: ``state_coordinates`` and ``measurement_coordinates``,
                likewise, ``radius`` and perhaps ``period``.
            result: reference to where the samples go.
            overwrite: whether a file that is there may be replaced. If not, the call
                is not repeated when its reply is lost.
            options: a mapping, or an ``AnalysisOptions``.
            seed: for the same samples again.
        """
        return stored.analyse(
            StoredRequest(
                *(forecast_states, simulated_measurements, observation, localization),
                *(result, overwrite, options, seed),
            )
        )

    @call
    def submit_stored(
        self,
        forecast_states: Mapping[str, str],
        simulated_measurements: Any,
        observation: Any,
        *,
        localization: Mapping[str, Any],
        result: Mapping[str, str],
        overwrite: bool = False,
        options: Any = None,
        seed: int | None = None,
    ) -> Steps[StoredT]:
        """The same as a job; see ``analyse_stored``."""
        status = yield from stored.submit(
            StoredRequest(
                *(forecast_states, simulated_measurements, observation, localization),
                *(result, overwrite, options, seed),
            )
        )
        return self._stored_job(status)

    @call
    def job(self, job_id: str) -> Steps[JobT | StoredT]:
        """An existing job, as it stands now."""
        return self._any_job((yield from jobs.status(job_id)))

    def _any_job(self, status: JobStatus) -> JobT | StoredT:
        if status.kind == jobs.STORED:
            return self._stored_job(status)
        return self._job(status)

    @abstractmethod
    def _session(self, info: SessionInfo) -> SessionT:
        """A session of this client."""

    @abstractmethod
    def _job(self, status: JobStatus, labels: Labels | None = None) -> JobT:
        """A job of this client."""

    @abstractmethod
    def _stored_job(self, status: JobStatus) -> StoredT:
        """A job of this client that is an analysis of files."""
