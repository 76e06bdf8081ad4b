"""The tables there are, and what is compared in each.

Of two inflations of the EnKF that sees pairs the one with the lower score *on the runs
shown* is taken, which flatters it; filters that know R have one, that of published
tunings. CCDM has one setting, its defaults.
"""

from __future__ import annotations

from benchmarks.accuracy.plan import Contender, Grid, Row, Score, Table, Target

OURS, TUNED = "CCDM, defaults", "paper's form, tuned on the truth"
PAIRS, KNOWS = "EnKF, pairs only", "EnKF, knows R"
TRANSFORM, PARTICLES = "(L)ETKF, knows R", "SIR, knows R"
GIVEN = "CCDM, given R"
HEADS = (OURS, PAIRS, KNOWS, TRANSFORM, PARTICLES)

# One radius for all ensemble sizes and all Lorenz-96 settings, CCDM and EnKF alike;
# the LETKF has DAPPER's own.
RADIUS = 6

# Within the ranges that the paper searches, coarser.
L63_GRID = Grid((0.3, 1.0, 3.0), (0.5, 1.5, 5.0))
L96_GRID = Grid((0.3, 1.0, 3.0), (0.7, 2.0, 6.0))
TOY_GRID = Grid((0.1, 0.25, 0.6), (0.1, 0.25, 0.6))

BOTH: tuple[Score, ...] = ("w2", "crps")


def _inflated(method: str, *inflations: float) -> tuple[str, ...]:
    return tuple(
        method if inflation == 1.0 else f"{method}:inflation={inflation:g}"
        for inflation in inflations
    )


def _global(*inflations: float) -> tuple[Contender, ...]:
    """Baselines without coordinates; the last inflation for those that know R."""
    return (
        Contender(PAIRS, _inflated("enkf", *inflations)),
        Contender(KNOWS, _inflated("enkf_r", inflations[-1])),
        Contender(TRANSFORM, _inflated("etkf", inflations[-1])),
    )


def _local(*inflations: float) -> tuple[Contender, ...]:
    """Baselines with coordinates; the last inflation for those that know R."""
    tapered = f":radius={RADIUS}"
    return (
        Contender(PAIRS, _inflated("enkf" + tapered, *inflations)),
        Contender(KNOWS, _inflated("enkf_r" + tapered, inflations[-1])),
        Contender(TRANSFORM, _inflated("letkf", inflations[-1])),
    )


DEFAULTS = Contender(OURS, ("ccdm",))
LOCAL = Contender(OURS, (f"ccdm:radius={RADIUS}",))
SIR = Contender(PARTICLES, ("sir",))
EITHER_SIR = Contender(PARTICLES, ("sir", "sir_plain"))


def _tuned(grid: Grid) -> Contender:
    return Contender(TUNED, grid=grid)


def _bimodal(setting: str, members: int, cycles: int, grid: Grid) -> Row:
    target = Target(rivals=(PAIRS, TRANSFORM, PARTICLES), within=0.1, of=TUNED)
    return Row(
        setting,
        members,
        (DEFAULTS, *_global(1.05, 1.0), EITHER_SIR, _tuned(grid)),
        cycles,
        BOTH,
        (("w2", target), ("crps", target)),
    )


def _plain(setting: str, members: int, cycles: int, value: float) -> Row:
    compared = (DEFAULTS, *_global(1.05, 1.02), SIR)
    target = Target(value)
    return Row(setting, members, compared, cycles, ("rmse",), (("rmse", target),))


def _ring(
    setting: str,
    members: int,
    cycles: int,
    value: float,
    *inflations: float,
    coordinates: bool = True,
) -> Row:
    compared = (
        (LOCAL, *_local(*inflations), SIR)
        if coordinates
        else (DEFAULTS, *_global(*inflations), SIR)
    )
    note = "with coordinates" if coordinates else "without coordinates"
    return Row(
        setting,
        members,
        compared,
        cycles,
        ("rmse",),
        (("rmse", Target(value)),),
        note,
    )


TARGETS = Table(
    "targets",
    "What CCDM should reach with its defaults",
    (*HEADS, TUNED),
    (
        _plain("ramgraber2022", 100, 1000, 0.427),
        _plain("ramgraber2022", 200, 1000, 0.390),
        _plain("sakov2012", 100, 1000, 0.50),
        _plain("L63_arctan", 100, 1000, 0.36),
        _ring("L96_01", 20, 100, 0.45, 1.1, 1.05),
        _ring("L96_01", 50, 100, 0.42, 1.05, 1.02),
        _ring("L96_01", 100, 100, 0.40, 1.05, 1.02),
        _ring("L96_01", 50, 100, 0.70, 1.05, 1.1, coordinates=False),
        _ring("L96_01", 100, 100, 0.50, 1.05, 1.1, coordinates=False),
        _ring("L96_abs", 100, 100, 0.44, 1.05, 1.02),
        _ring("spantini2019", 60, 1000, 0.89, 1.1, 1.02),
        _ring("spantini2019", 100, 1000, 0.84, 1.1, 1.02),
        *(_bimodal("L63_03", n, 100, L63_GRID) for n in (50, 100, 250)),
        *(_bimodal("TOY_01", n, 100, TOY_GRID) for n in (50, 100, 250)),
        *(_bimodal("L63_abs", n, 260, L63_GRID) for n in (50, 100, 250)),
        _plain("ramgraber2022", 600, 1000, 0.365),
    ),
    (OURS, PAIRS),
    seeds=10,
)


def _given(row: Row) -> Row:
    """The same row with CCDM told R, besides."""
    ours = row.contenders[0].methods[0]
    told = Contender(GIVEN, (ours.replace("ccdm", "ccdm_r", 1),))
    compared = tuple(c for c in row.contenders if c.label not in (PAIRS, TUNED))
    return Row(
        row.setting,
        row.members,
        (told, *compared),
        row.cycles,
        row.scores,
        note=row.note,
    )


KNOWN = Table(
    "known",
    "All know the measurement error",
    (GIVEN, OURS, KNOWS, TRANSFORM, PARTICLES),
    tuple(_given(row) for row in TARGETS.rows if row.members in (20, 100)),
    (GIVEN, KNOWS),
    seeds=10,
)

# The paper's EnKF has no inflation, its SIR no regularisation.
PAPERS_HEADS = (TUNED, "CCDM, automatic", "EnKF, pairs only", "SIR, plain")
SIZES = (50, 100, 250, 500, 1000)


def _papers(
    setting: str,
    cycles: int,
    grid: Grid,
    scores: tuple[Score, ...],
    sizes: tuple[int, ...] = SIZES,
) -> tuple[Row, ...]:
    compared = (
        _tuned(grid),
        Contender(PAPERS_HEADS[1], ("ccdm",)),
        Contender(PAPERS_HEADS[2], ("enkf",)),
        Contender(PAPERS_HEADS[3], ("sir_plain",)),
    )
    return tuple(Row(setting, n, compared, cycles, scores) for n in sizes)


PAPER = Table(
    "paper",
    "The paper's five settings",
    PAPERS_HEADS,
    (
        *_papers("L63_03", 100, L63_GRID, BOTH),
        *_papers("TOY_01", 100, TOY_GRID, BOTH),
        *_papers("L63_02", 100, L63_GRID, ("w2", "crps", "rmse")),
        *_papers("L96_01", 100, L96_GRID, ("crps", "rmse")),
        *_papers("L63_01", 300, L63_GRID, BOTH, (50, 100, 250)),
    ),
    (PAPERS_HEADS[1], PAPERS_HEADS[2]),
    seeds=10,
)

SHORT = Table(
    "short",
    "A look in seconds",
    HEADS,
    (
        Row("L63_02", 30, (DEFAULTS, Contender(PAIRS, ("enkf",))), 60, ("rmse",)),
        Row("L63_03", 50, (DEFAULTS, Contender(PAIRS, ("enkf",))), 60, ("crps",)),
        Row(
            "L96_01",
            100,
            (DEFAULTS, Contender(PAIRS, _inflated("enkf", 1.05, 1.1))),
            60,
            ("rmse",),
        ),
    ),
    (OURS, PAIRS),
    seeds=4,
)

TABLES = {table.name: table for table in (TARGETS, KNOWN, PAPER, SHORT)}
