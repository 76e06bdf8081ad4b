"""The page that runs one analysis from files, and the small programs behind it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from scipy.stats import binom

from ccdm_engine import AnalysisOptions, assimilate
from tests.dashboard.browser import FAILED
from tests.dashboard.conftest import Watch
from tests.engine.ensembles import Triple, two_lobes

pytestmark = pytest.mark.slow

LABELS = ("Forecast states", "Simulated measurements", "Observation")
CALL = "async ([module, name, given]) => (await import(module))[name](...given)"


@pytest.fixture
def triple() -> Triple:
    """Three arrays with two answers."""
    return two_lobes(80)


def upload(page: Page, files: list[Path]) -> None:
    """Choose the three files."""
    for label, path in zip(LABELS, files, strict=True):
        page.get_by_label(label, exact=True).set_input_files(path)


def as_csv(folder: Path, triple: Triple) -> list[Path]:
    """The arrays as CSV, the states with names."""
    paths = [folder / f"{name}.csv" for name in Triple._fields]
    for path, array in zip(paths, triple, strict=True):
        header = ",".join("xyz"[: array.shape[-1]]) if path.stem == "states" else ""
        np.savetxt(
            path,
            np.atleast_2d(array),
            delimiter=",",
            header=header,
            comments="",
            fmt="%.17g",
        )
    return paths


def as_npy(folder: Path, triple: Triple) -> list[Path]:
    """The arrays as npy, of every order and type that should not matter."""
    paths = [folder / f"{name}.npy" for name in Triple._fields]
    np.save(paths[0], np.asfortranarray(triple.states))
    np.save(paths[1], triple.simulated.astype(">f8"))
    np.save(paths[2], triple.observation)
    return paths


@pytest.mark.parametrize("write", [as_csv, as_npy])
def test_files_become_the_analysis_that_the_engine_makes(
    watch: Watch, tmp_path: Path, triple: Triple, write: Any
) -> None:
    expected = assimilate(
        *triple, options=AnalysisOptions(inflation=1.1), seed=7
    ).samples
    with watch() as found:
        page = found.open("#/try")
        run = page.get_by_role("button", name="Run analysis")
        expect(run).to_be_disabled()
        upload(page, write(tmp_path, triple))
        expect(page.get_by_text("80 × 3 numbers")).to_be_visible()
        page.get_by_label("Seed").fill("7")
        page.get_by_text("More options").click()
        page.get_by_label("As JSON").fill('{"inflation": 1.1}')
        run.click()
        expect(page.get_by_role("figure", name="One state")).to_be_visible()
        expect(
            page.get_by_role("figure", name="Two states").locator(".dot.main").nth(1)
        ).to_be_visible()
        with page.expect_download() as taken:
            page.get_by_role("button", name="Download npy").click()
        assert np.array_equal(np.load(taken.value.path()), expected)
        with page.expect_download() as taken:
            page.get_by_role("button", name="Download CSV").click()
        text = taken.value.path().read_text()
        assert np.array_equal(
            np.loadtxt(io.StringIO(text), delimiter=",", skiprows=1), expected
        )
        assert text.splitlines()[0] == ("x,y,z" if write is as_csv else "x0,x1,x2")


def test_sample_data_show_two_answers_and_say_how_to_get_them_again(
    watch: Watch,
) -> None:
    with watch() as found:
        page = found.open("#/try")
        page.get_by_role("button", name="Use sample data").click()
        page.get_by_role("button", name="Run analysis").click()
        facts = page.get_by_role("region", name="Facts")
        expect(facts).to_contain_text("Modeljoint kernels")
        seed = facts.locator("dd").last.text_content() or ""
        with page.expect_download() as taken:
            page.get_by_role("button", name="Download npy").click()
        samples = np.load(taken.value.path())
        sides = np.mean(samples[:, 0] > 0)
        assert 0.3 < sides < 0.7 and np.mean(np.abs(samples[:, 0]) < 0.6) < 0.1
        page.get_by_label("Seed").fill(seed)
        page.get_by_role("button", name="Run analysis").click()
        expect(page.get_by_text("Done in")).to_be_visible()
        with page.expect_download() as taken:
            page.get_by_role("button", name="Download npy").click()
        assert np.array_equal(np.load(taken.value.path()), samples)


def test_warnings_come_with_advice(watch: Watch, tmp_path: Path) -> None:
    states = np.random.default_rng(1).standard_normal((40, 2))
    exact = Triple(states, states[:, :1], np.array([0.3]))
    with watch() as found:
        page = found.open("#/try")
        upload(page, as_csv(tmp_path, exact))
        page.get_by_role("button", name="Run analysis").click()
        warnings = page.get_by_role("region", name="Warnings")
        expect(warnings).to_contain_text("measurements-look-noise-free")
        expect(warnings).to_contain_text("Give measurement_error")
        page.get_by_label("Measurement error").fill("0.3")
        page.get_by_role("button", name="Run analysis").click()
        expect(warnings).to_have_count(0)


UNREADABLE = {
    "a,b\n1,2\n3,x\n": "Line 3: “x” is not a number.",
    "1,2\n3\n": "Line 2 has 1 values, the first one 2.",
    "": "This file is empty.",
    "a,b\n": "This file has names, but no numbers.",
    "\x93NUMPY": "This is not an npy file.",
}


def test_a_file_that_cannot_be_read_is_read_again_when_mended(
    watch: Watch, tmp_path: Path
) -> None:
    path = tmp_path / "states.csv"
    with watch() as found:
        page = found.open("#/try")
        field = page.get_by_label(LABELS[0], exact=True)
        for text, said in UNREADABLE.items():
            path.write_bytes(text.encode("latin1"))
            choose(page, field, path)
            expect(page.get_by_text(said)).to_be_visible()
            expect(field).to_have_attribute("aria-invalid", "true")
            expect(page.get_by_role("button", name="Run analysis")).to_be_disabled()
        path.write_text("1,2\n3,4\n5,6")
        choose(page, field, path)
        expect(page.get_by_text("3 × 2 numbers")).to_be_visible()
        assert field.get_attribute("aria-invalid") is None


def choose(page: Page, field: Locator, path: Path) -> None:
    """A file as a person chooses it, the same name again and again."""
    with page.expect_file_chooser() as chooser:
        field.click()
    chooser.value.set_files(path)


def test_arrays_that_do_not_fit_are_not_sent(
    watch: Watch, tmp_path: Path, triple: Triple
) -> None:
    short = triple._replace(simulated=triple.simulated[:70])
    with watch() as found:
        page = found.open("#/try")
        upload(page, as_npy(tmp_path, short))
        expect(page.get_by_text("There are 80 states and 70 simulated")).to_be_visible()
        expect(page.get_by_role("button", name="Run analysis")).to_be_disabled()


def test_what_the_service_refuses_is_told_in_its_words(watch: Watch) -> None:
    with watch() as found:
        found.allowed = (FAILED,)
        page = found.open("#/try")
        page.get_by_role("button", name="Use sample data").click()
        page.get_by_text("More options").click()
        page.get_by_label("As JSON").fill('{"inflaton": 1}')
        page.get_by_role("button", name="Run analysis").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("/options/inflaton")
        page.get_by_label("As JSON").fill("{")
        page.get_by_role("button", name="Run analysis").click()
        expect(alert).to_contain_text("this is not JSON")


def test_the_band_of_the_rank_histogram_is_binomial(watch: Watch) -> None:
    cases = [(n, p, q) for n in (1, 7, 60, 5000) for p in (0.01, 0.05, 0.25, 0.9)
             for q in (0.025, 0.5, 0.975)]  # fmt: skip
    with watch() as found:
        page = found.open("#/try")
        base = f"{found.origin}/dashboard/static/ranks.js"
        script = """async ([module, cases]) => {
          const { binomialQuantile } = await import(module);
          return cases.map((given) => binomialQuantile(...given));
        }"""
        found_quantiles = page.evaluate(script, [base, cases])
        assert found_quantiles == [int(binom.ppf(q, n, p)) for n, p, q in cases]
        ranks = [[rank, 10] for rank in range(11)] + [[3, 6]]
        made = page.evaluate(CALL, [base, "histogram", [ranks, 4]])
        # 11 ranks in 4 bins: 3, 3, 3, 2; and rank 3 of 0 to 6 is in the second.
        assert made["counts"] == [3, 4, 3, 2]
        assert made["expected"] == pytest.approx(
            [3 + 2 / 7, 3 + 2 / 7, 3 + 2 / 7, 2 + 1 / 7]
        )


def test_a_rank_histogram_is_called_what_its_shape_is(watch: Watch) -> None:
    shapes = {
        "Flat within chance": [10, 9, 11, 10, 12, 8, 10, 10],
        "U-shaped": [22, 8, 3, 5, 5, 3, 10, 24],
        "Domed": [0, 10, 15, 20, 20, 10, 5, 0],
        "Sloped": [1, 2, 5, 8, 10, 13, 18, 23],
        # Bins outside, and nothing of note at the edges.
        "Uneven": [10, 10, 2, 18, 10, 2, 18, 10],
    }
    with watch() as found:
        page = found.open("#/try")
        module = f"{found.origin}/dashboard/static/ranks.js"
        for name, counts in shapes.items():
            made = {"counts": counts, "expected": [10] * 8, "band": [[4, 17]] * 8}
            assert page.evaluate(CALL, [module, "reading", [made]]).startswith(name)


def test_files_are_read_and_written_as_numpy_does(watch: Watch) -> None:
    rng = np.random.default_rng(2)
    arrays = [
        rng.standard_normal((4, 3)),
        np.asfortranarray(rng.standard_normal((4, 3))),
        rng.standard_normal(5).astype(">f4"),
        np.arange(-3, 3, dtype="<i2"),
        np.array([[np.nan, 1e300], [-0.0, 5e-324]]),
    ]
    script = """async ([module, bytes]) => {
      const { readNpy, writeNpy } = await import(module);
      const { shape, numbers } = readNpy(Uint8Array.from(bytes));
      return [...writeNpy(numbers, shape)];
    }"""
    with watch() as found:
        page = found.open("#/try")
        module = f"{found.origin}/dashboard/static/npy.js"
        for array in arrays:
            file = io.BytesIO()
            np.save(file, array)
            again = page.evaluate(script, [module, list(file.getvalue())])
            read = np.load(io.BytesIO(bytes(again)))
            assert np.array_equal(read, array.astype(float), equal_nan=True)
        read_csv = """async ([module, text]) => {
          const { readCsv } = await import(module);
          const { shape, numbers, names } = readCsv(text);
          return [shape, [...numbers].map((n) => (Number.isNaN(n) ? null : n)), names];
        }"""
        for text, expected in {
            "1;2\n3;\n": [[2, 2], [1, 2, 3, None], None],
            "# note\na\tb\n1\tNaN\r\n": [[1, 2], [1, None], ["a", "b"]],
            " 1 2\n 3 -4e-3 ": [[2, 2], [1, 2, 3, -0.004], None],
            '\ufeff"x","z"\n1,2': [[1, 2], [1, 2], ["x", "z"]],
        }.items():
            assert page.evaluate(read_csv, [module, text]) == expected
