"""What bytes that are no npy file are instead, so that a person sees the mix-up."""

from __future__ import annotations

HEAD = 64
SAVE = (
    "Write it with numpy.save(file, array), or as docs/howto/other-languages.md does "
    "in any language."
)
NPY, NPZ = "an npy file", "a zip archive, as numpy.savez writes it (npz)"
HDF5 = "an HDF5 or NetCDF-4 file"
EMPTY, JSON_TEXT = "empty", "JSON text"
TEXT = "plain text, such as CSV"
CLASSIC_NETCDF = "a NetCDF-3 (classic) file"
# What files of arrays begin with, see their formats; the longest of a kind first.
_BEGINNINGS = (
    (b"\x93NUMPY", NPY),
    (b"PK\x03\x04", NPZ),
    (b"\x89HDF\r\n\x1a\n", HDF5),
    (b"CDF", CLASSIC_NETCDF),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"\x80", "a Python pickle"),
    (b"\x1f\x8b", "compressed by gzip"),
)
_TEXT = frozenset(range(32, 127)) | frozenset(b"\t\r\n")


def looks_like(head: bytes) -> str:
    """What a file that begins so is, in words; nothing of it is repeated.

    Args:
        head: its first bytes, :data:`HEAD` of them or all.
    """
    if not head:
        return EMPTY
    for beginning, name in _BEGINNINGS:
        if head.startswith(beginning):
            return name
    if set(head.removeprefix(b"\xef\xbb\xbf")) <= _TEXT:
        start = head.lstrip()[:1]
        return JSON_TEXT if start in (b"[", b"{") else TEXT
    return "bytes of no format that is known here"


def is_classic_netcdf(head: bytes) -> bool:
    """Whether a file that begins so is NetCDF-3: versions 1, 2 and 5 of the format."""
    return head[:3] == b"CDF" and head[3:4] in (b"\x01", b"\x02", b"\x05")
