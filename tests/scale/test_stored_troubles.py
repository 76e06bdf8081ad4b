"""What is the operator's to mend is not told as the client's."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from service.errors import FilesFullError, FilesUnavailableError
from service.media.errors import InvalidArrayError
from service.problems import described
from service.stored.beneath import Beneath
from service.stored.sources import open_source
from service.stored.troubles import reading, writing


def test_a_full_disk_is_not_a_wrong_name() -> None:
    with (
        pytest.raises(FilesFullError) as found,
        writing(),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert described(found.value)["slug"] == "files-full"


def test_a_disk_that_fails_is_not_a_wrong_file() -> None:
    # Nothing is there, which the system calls an error of the device.
    handle = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        with (
            pytest.raises(FilesUnavailableError, match="output error") as found,
            reading("/forecast_states", "states.npy"),
        ):
            os.pread(handle, 1, 0)
    finally:
        os.close(handle)
    assert described(found.value)["slug"] == "files-unavailable"


def test_a_folder_that_is_not_there_is_the_operators(tmp_path: Path) -> None:
    gone = Beneath(tmp_path / "away", ("states.npy",))
    with pytest.raises(FilesUnavailableError) as found:
        open_source(gone, None, "/forecast_states")
    assert str(tmp_path) not in found.value.detail
    # A file that is not is the client's.
    (tmp_path / "away").mkdir()
    with pytest.raises(InvalidArrayError):
        open_source(gone, None, "/forecast_states")


def test_what_may_be_a_defect_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(InvalidArrayError),
        reading("/forecast_states", "states.npy"),
    ):
        len(3)  # type: ignore[arg-type]
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[0] is TypeError
