"""Arrays from files and into files: npy, npz, CSV and, as an extra, NetCDF."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from service.cli.netcdf import SUFFIX, read_netcdf, write_netcdf
from service.cli.output import USAGE, CommandError, unlike

Array = npt.NDArray[np.float64]

STATES = "forecast_states"
SIMULATED = "simulated_measurements"
OBSERVATION = "observation"
NAMES = (STATES, SIMULATED, OBSERVATION)
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": None}
WRITERS = "write it with numpy.save (.npy) or numpy.savez (.npz)"
_COLUMNS = {".csv": ("commas", ","), ".tsv": ("tabs", r"\t"), ".txt": ("blanks", " ")}
_POINTS = "decimal points, such as 1.5"
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+(e[-+]?\d+)?\s*", re.IGNORECASE)
_SAVE_ANEW = "save it anew from a spreadsheet whose language is English (US)"
MISSING = ("", "nan", "na", "null", "none")


def read_triple(files: list[Path]) -> dict[str, Array]:
    """The three arrays of an analysis, from three files, one npz or one NetCDF."""
    if len(files) == 1 and files[0].suffix == SUFFIX:
        arrays = {name: read_netcdf(files[0], name, alone=False) for name in NAMES}
    elif len(files) == 1 and files[0].suffix == ".npz":
        arrays = {name: _from_npz(files[0], name, alone=False) for name in NAMES}
    elif len(files) == 3:
        arrays = {
            name: _read(file, name) for name, file in zip(NAMES, files, strict=True)
        }
    else:
        raise CommandError(
            f"got {len(files)} file(s), wanted three (forecast states, simulated "
            "measurements, observation) or one .npz or .nc that holds all three",
            USAGE,
        )
    # A column or a row of a table is a vector of measurements all the same.
    if arrays[OBSERVATION].ndim == 2 and 1 in arrays[OBSERVATION].shape:
        arrays[OBSERVATION] = arrays[OBSERVATION].ravel()
    return arrays


def check_output(file: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse what cannot be written, or is read, before the work is done."""
    for given in inputs:
        if file.exists() and given.exists() and file.samefile(given):
            raise CommandError(
                f"{file}: is read too, and would be overwritten; give another name "
                "for what is written",
                USAGE,
            )
    if file.suffix not in (".npy", ".npz", ".csv", SUFFIX):
        raise CommandError(f"{file}: output is .npy, .npz, .csv or .nc", USAGE)
    if not file.absolute().parent.is_dir():
        raise CommandError(f"{file}: there is no folder {file.parent}", USAGE)


def write_samples(
    file: Path, samples: Array, diagnostics: Mapping[str, Any], like: Path
) -> None:
    """Write samples ``(n_samples, dx)``; npz and NetCDF hold the diagnostics too.

    ``like`` is the file of the states: names in its header stay with the variables,
    and NetCDF keeps dimensions and coordinates.
    """
    # A file that is there is whole: written beside, then put in its place.
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        if file.suffix == SUFFIX:
            write_netcdf(beside, samples, diagnostics, like, column_names(like))
        else:
            names = column_names(like) if file.suffix == ".csv" else None
            _write_plain(beside, file.suffix, samples, diagnostics, names)
        beside.replace(file)
    except CommandError:
        beside.unlink(missing_ok=True)
        raise
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CommandError(f"{file}: cannot be written ({error.strerror})") from error


def _write_plain(
    file: Path,
    kind: str,
    samples: Array,
    diagnostics: Mapping[str, Any],
    names: list[str] | None,
) -> None:
    with file.open("wb") as stream:
        if kind == ".npy":
            np.save(stream, samples)
        elif kind == ".npz":
            facts = json.dumps(dict(diagnostics))
            np.savez(stream, analysis_samples=samples, diagnostics=facts)
        else:
            header = io.StringIO()
            names = names or [f"x{i}" for i in range(samples.shape[1])]
            csv.writer(header, lineterminator="").writerow(names)
            rows = (",".join(map(repr, row)) for row in samples.tolist())
            stream.write("\n".join([header.getvalue(), *rows, ""]).encode())


def column_names(file: Path) -> list[str] | None:
    """The header of a table, if it has one."""
    lines = _lines(file) if file.suffix in SEPARATORS else []
    if not lines or not _is_header(lines[0]):
        return None
    return [cell.strip() for cell in lines[0]]


def read_json_object(file: Path) -> dict[str, Any]:
    """An object in a JSON file."""
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", USAGE) from error
    except ValueError as error:
        raise CommandError(f"{file}: not JSON ({error})", USAGE) from error
    if not isinstance(content, dict):
        raise CommandError(f"{file}: wanted a JSON object of options", USAGE)
    return content


def _read(file: Path, name: str) -> Array:
    if file.suffix == ".npz":
        return _from_npz(file, name, alone=True)
    if file.suffix == SUFFIX:
        return read_netcdf(file, name, alone=True)
    if file.suffix == ".npy":
        loaded = _load(file)
        if not isinstance(loaded, np.ndarray):
            raise CommandError(unlike(file, WRITERS), USAGE)
        return _numbers(loaded, file)
    if file.suffix in SEPARATORS:
        return _from_table(file)
    raise CommandError(
        f"{file}: the name should end in .npy, .npz, .nc, .csv, .tsv or .txt", USAGE
    )


def _load(file: Path) -> Any:
    try:
        return np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise CommandError(f"{file}: there is no such file", USAGE) from error
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror or error}", USAGE) from error
    except (ValueError, EOFError, BadZipFile) as error:
        raise CommandError(unlike(file, WRITERS), USAGE) from error


def _from_npz(file: Path, name: str, *, alone: bool) -> Array:
    archive = _load(file)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise CommandError(unlike(file, WRITERS), USAGE)
    with archive:
        held = archive.files
        wanted = held[0] if alone and len(held) == 1 else name
        if wanted not in held:
            listed = ", ".join(held) or "nothing"
            near = get_close_matches(name, held, 1)
            hint = f"; perhaps {near[0]} is meant: call it {name}" if near else ""
            raise CommandError(
                f"{file}: there is no {name} in it; it holds {listed}{hint}", USAGE
            )
        try:
            return _numbers(archive[wanted], file)
        except ValueError as error:
            raise CommandError(
                f"{file}: {wanted} cannot be read; {WRITERS}, of numbers", USAGE
            ) from error


def _numbers(array: npt.NDArray[Any], file: Path) -> Array:
    if array.dtype.kind not in "fiu":
        raise CommandError(
            f"{file}: holds {array.dtype}, wanted real numbers; write it with "
            "array.astype(float)",
            USAGE,
        )
    return array.astype(np.float64)


def _from_table(file: Path) -> Array:
    lines = _lines(file)
    # What looks like a line of names may be numbers as another country writes them.
    _check_marks(lines[0] if lines else [], file, 1)
    first = 2 if lines and _is_header(lines[0]) else 1
    rows = [
        _row(cells, file, line) for line, cells in enumerate(lines[first - 1 :], first)
    ]
    if not rows:
        raise CommandError(
            f"{file}: holds no numbers; wanted one line per member", USAGE
        )
    if first == 2 and len(rows[0]) == 2 * len(lines[0]):
        raise CommandError(
            f"{file}: got {len(lines[0])} name(s) in line 1, but {len(rows[0])} cells "
            "in line 2, wanted a name for each column; if these commas are decimal "
            f"marks, {_SAVE_ANEW}",
            USAGE,
        )
    for line, row in enumerate(rows, first):
        if len(row) != len(rows[0]):
            raise CommandError(
                f"{file}, line {line}: {len(row)} cells, but line {first} has "
                f"{len(rows[0])}; give every line the same columns, an empty cell or "
                "nan where a number is missing",
                USAGE,
            )
    return np.array(rows, dtype=np.float64)


def _lines(file: Path) -> list[list[str]]:
    """The cells of each line, empty lines at the end left out."""
    separator = SEPARATORS[file.suffix]
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            if separator is None:
                lines = [line.split() for line in stream]
            else:
                lines = list(csv.reader(stream, delimiter=separator))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", USAGE) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{file}: not a table of text ({error})", USAGE) from error
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _is_header(cells: list[str]) -> bool:
    return bool(cells) and not any(
        _is_number(cell) or cell.strip().lower() in MISSING for cell in cells
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_marks(cells: list[str], file: Path, line: int) -> None:
    """Refuse numbers as spreadsheets write them where the comma is the decimal mark."""
    text = (SEPARATORS[file.suffix] or " ").join(cells)
    parts = text.split(";")
    apart = len(parts) > 1 and any(_is_number(part.replace(",", ".")) for part in parts)
    decimal = any(map(_DECIMAL_COMMA.fullmatch, parts if apart else cells))
    if not (apart or decimal):
        return
    columns, column = _COLUMNS[file.suffix]
    got = ["semicolons between columns"] * apart + ["decimal commas"] * decimal
    wanted = [f"{columns} between columns"] * apart + [_POINTS] * decimal
    advice = _SAVE_ANEW
    # A comma that is quoted no such command changes.
    if apart or file.suffix != ".csv":
        old, new = ";" * apart + "," * decimal, column * apart + "." * decimal
        command = f"tr '{old}' '{new}' < {shlex.quote(str(file))} > new{file.suffix}"
        advice += f", or in a shell: {command}"
    raise CommandError(
        f"{file}, line {line}: got {' and '.join(got)}, wanted {' and '.join(wanted)}; "
        f"{advice}",
        USAGE,
    )


def _row(cells: list[str], file: Path, line: int) -> list[float]:
    values: list[float] = []
    for column, cell in enumerate(cells or [""], start=1):
        text = cell.strip()
        try:
            values.append(float("nan" if text.lower() in MISSING else text))
        except ValueError:
            _check_marks(cells, file, line)
            raise CommandError(
                f"{file}, line {line}, column {column}: {text[:40]!r} is no number; "
                "write numbers such as 1.5 or 2e-3, nan where one is missing",
                USAGE,
            ) from None
    return values
