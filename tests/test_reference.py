"""The pages of reference say what the code says, and all of it."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

import service.client as client
from ccdm_engine import AnalysisOptions, Localization
from scripts.reference import COMMAND, DOCS, PAGES, choosing, http
from scripts.reference.markdown import anchor, read
from service.problem_types import TYPES

REFERENCE = sorted((DOCS / "reference").glob("*.md"))
_LINK = re.compile(r"\]\(((?:[\w-]+\.md)?)#([\w-]+)\)")


def told(page: str) -> str:
    """A page of reference as it is kept."""
    return (DOCS / "reference" / f"{page}.md").read_text("utf-8")


def anchors(text: str) -> set[str]:
    """What the headings of a page are called."""
    return {anchor(found) for found in re.findall(r"(?m)^#+ (.*)$", text)}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name: str) -> None:
    kept = (DOCS / name).read_text("utf-8")
    assert kept == PAGES[name](), f"run: {COMMAND}"


def test_nothing_else_lies_there() -> None:
    made = {name.removeprefix("reference/") for name in PAGES if "/" in name}
    assert {path.name for path in REFERENCE} == made


def test_every_link_finds_its_heading() -> None:
    for path in REFERENCE:
        text = path.read_text("utf-8")
        links = _LINK.findall(text)
        for page, heading in links:
            target = path.with_name(page).read_text("utf-8") if page else text
            assert heading in anchors(target), f"{path.name}: {page}#{heading}"


def test_every_heading_is_there_once() -> None:
    for path in REFERENCE:
        found = re.findall(r"(?m)^#+ (.*)$", path.read_text("utf-8"))
        names = [anchor(heading) for heading in found]
        assert len(names) == len(set(names)), path.name


def test_all_endpoints_and_schemas_are_told() -> None:
    page, document = told("http"), http.document()
    for request, operation in http.operations(document):
        assert f"`{request}`\n" in page, request
        for item in operation.get("parameters", ()):
            assert f"`{item['name']}`" in page, item["name"]
    names = set(document["components"]["schemas"])
    elsewhere = {"Options", "OptionsPatch", "LocalizationOptions"}
    assert {anchor(name) for name in names - elsewhere} <= anchors(page)


def test_all_options_are_told_once() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \|", told("options").split("## The paper")[0])
    names = [
        field.name
        for kind in (AnalysisOptions, Localization)
        for field in dataclasses.fields(kind)
    ]
    assert sorted(rows) == sorted(names)


def test_all_problems_are_told() -> None:
    page = told("problems")
    for item in TYPES.values():
        assert f"## {item.slug}\n" in page
        assert item.meaning in page and item.remedy in page


def test_all_that_the_client_gives_is_told() -> None:
    page = told("client")
    awaited = {name for name in client.__all__ if name.startswith("Async")}
    assert {anchor(name) for name in set(client.__all__) - awaited} <= anchors(page)
    for name in awaited:
        assert f"`{name}`" in page
    for handle in (client.Client, client.Session, client.Job, client.StoredJob):
        for method in dir(handle):
            if not method.startswith("_") and method != "run":
                heading = anchor(f"{handle.__name__}.{method}")
                assert heading in anchors(page), f"{handle.__name__}.{method}"


def test_docstrings_are_taken_apart() -> None:
    doc = read(
        inspect.cleandoc(
            """Say :class:`~a.b.Word`.

            Like this::

                ``x``

            Args:
                one, two: first line
                    and second.
                three: another.

            Returns:
                A thing: this one.

            Raises:
                ValueError: never.
            """
        )
    )
    assert doc.text == "Say `Word`.\n\nLike this:\n\n    `x`"
    assert doc.items["Args"] == [
        ("one, two", "first line and second."),
        ("three", "another."),
    ]
    assert doc.prose["Returns"] == "A thing: this one."
    assert doc.items["Raises"] == [("ValueError", "never.")]


def test_the_words_of_the_choosing_guide_are_true_of_its_table() -> None:
    """They were written when these figures held; when they change, write them anew."""
    found = {(line.setting, line.members): line for line in choosing.lines()}
    enkf, transform, particles = choosing.KNOWING
    near = found["L96_01 with coordinates", 50]
    far = found["L96_01 without coordinates", 50]
    for line in found.values():
        assert line.mean(choosing.OURS) < line.mean(choosing.PAIRS), line.setting
    ours = near.mean(choosing.OURS)
    assert 0.8 * ours < near.mean(transform) < ours, "a little better"
    assert abs(near.mean(enkf) - ours) < 0.05 * ours, "about as well"
    assert max(far.mean(enkf), far.mean(transform)) < 0.9 * far.mean(choosing.OURS)
    observed = found["ramgraber2022", 100]
    assert observed.mean(particles) < 0.95 * observed.mean(choosing.OURS)
    saturated = found["L63_arctan", 100]
    theirs = saturated.mean(choosing.PAIRS)
    assert theirs < 1.05 * saturated.mean(choosing.OURS), "level with it"
    for key in (("L63_03", 50), ("L63_03", 100), ("TOY_01", 50)):
        others = [found[key].mean(name) for name in (choosing.PAIRS, *choosing.KNOWING)]
        assert found[key].mean(choosing.OURS) < min(others), key
    gaps = found["spantini2019 with coordinates", 60]
    assert gaps.mean(choosing.OURS) < min(map(gaps.mean, choosing.KNOWING))


def test_what_the_choosing_guide_says_of_the_water_network_is_in_its_tutorial() -> None:
    guide = (DOCS / "choosing.md").read_text("utf-8")
    tutorial = (DOCS / "tutorials" / "water-network.md").read_text("utf-8")
    well, _, stuck = (
        part for part in re.split(r"one reading in ten|and one", tutorial)
    )
    for title, part, column in (
        ("error of the pressures", well, -1),
        ("the same, one sensor stuck", stuck, -2),
    ):
        (row,) = re.findall(rf"(?m)^\| {title}[^|]*\|(.*)\|$", guide)
        for method, figure in zip(
            ("EnKF", "CCDM, defaults", "CCDM, localized"), row.split("|"), strict=True
        ):
            (line,) = re.findall(rf"(?m)\| {method} \|(.*)\|$", part)
            measured = line.split("|")[column]
            assert figure.strip(" *") == measured.strip(" *"), (title, method)
