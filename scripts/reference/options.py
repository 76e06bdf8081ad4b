"""The page of options: what the engine says of each, and what values it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ccdm_engine import AnalysisOptions, Localization
from scripts.reference.markdown import MADE, Doc, join, read, table
from scripts.reference.schemas import Schema, default, kind
from service.schemas.options import LocalizationOptions, Options

GROUPS = {
    "Input": ("measurement_error", "failed_members"),
    "What comes out": ("n_samples",),
    "Density model": (
        *("scaling", "preconditioner", "unbiased", "localization"),
        *("state_bandwidth", "measurement_bandwidth", "shrink"),
    ),
    "From cycle to cycle": (
        *("inflation", "learned_inflation", "rescue"),
        *("relaxation_to_spread", "relaxation_to_perturbations"),
    ),
    "Sampler": (
        *("sampler", "schedule", "steps", "max_bandwidth", "moment_matched"),
        *("center", "rtol", "atol"),
    ),
}
_HEAD = f"""\
# Options

{MADE}

All options of an analysis. Which of them to use when is told under [choose
options](../howto/choose-options.md), what they do under [theory](../theory.md). In
HTTP they are members of `"options"`, in Python a mapping or `AnalysisOptions`, on the
command line `--option NAME=VALUE`. The `null` of JSON is `None` in Python, and `"inf"`
may be `math.inf` there.

Bandwidths are in units of the coordinates the kernels live in: multiples of the
ensemble's own spread when `scaling` is on, and the caller's units with
`"scaling": "none"`.
"""
_COLUMNS = ("Option", "Values", "Default", "Meaning")


def page() -> str:
    """The page, in Markdown."""
    doc = read(AnalysisOptions.__doc__)
    places = read(Localization.__doc__)
    fields = Options.model_json_schema()["properties"]
    local = LocalizationOptions.model_json_schema()["properties"]
    return join(
        [
            _HEAD,
            # After the first paragraph, which says only what the page is about.
            doc.text.partition("\n\n")[2],
            *_groups(doc, fields),
            "## Localization",
            f"{places.first} The members of `localization`; [how to](../howto/"
            "localize.md).",
            table(_COLUMNS, _rows(local, local, places)),
            "## The paper's configuration",
            *_paper(),
        ]
    )


def _groups(doc: Doc, fields: Schema) -> Iterator[str]:
    for title, names in GROUPS.items():
        yield f"## {title}"
        yield table(_COLUMNS, _rows(names, fields, doc))


def _rows(names: Iterable[str], fields: Schema, doc: Doc) -> Iterator[tuple[str, ...]]:
    meanings = {
        name: told
        for listed, told in doc.items["Attributes"]
        for name in listed.split(", ")
    }
    for name in names:
        schema = fields[name]
        values = "the members below" if name == "localization" else kind(schema)
        yield f"`{name}`", values, default(schema), meanings[name]


def _paper() -> Iterator[str]:
    doc = read(AnalysisOptions.paper.__doc__)
    yield f"`AnalysisOptions.paper(...)`: {doc.text}"
    yield "In HTTP, what its `to_dict()` gives."
    rows = [(f"`{name}`", told) for name, told in doc.items["Args"]]
    yield table(("Argument", "Meaning"), rows)
