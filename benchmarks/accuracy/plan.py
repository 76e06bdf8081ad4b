"""What a table of accuracy is made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

Score = Literal["rmse", "crps", "w2"]

# Nothing chosen by the engine, nothing learned: the paper's estimate of the score.
PAPERS_FORM = "ccdm:scaling=none:preconditioner=none:shrink=false:sampler=exact"


@dataclass(frozen=True, slots=True)
class Grid:
    """Bandwidths of the paper's form, of which the truth picks the best.

    The law of the samples does not depend on ``h_max`` nor on the sampler, so the
    exact one stands in for the paper's integration.

    Attributes:
        state: candidates for ``h_x``, in units of the states.
        measurement: candidates for ``h_y``, in units of the measurements.
        seeds: how many seeds the choice is made on; two let a lucky run in one of
            two lobes win.
    """

    state: tuple[float, ...]
    measurement: tuple[float, ...]
    seeds: int = 4

    @property
    def methods(self) -> tuple[str, ...]:
        """One method for each pair of bandwidths."""
        return tuple(
            f"{PAPERS_FORM}:state_bandwidth={h_x:g}:measurement_bandwidth={h_y:g}"
            for h_x, h_y in product(self.state, self.measurement)
        )


@dataclass(frozen=True, slots=True)
class Contender:
    """A column: one method, or several tunings of which the best one is shown.

    Attributes:
        label: head of the column.
        methods: as ``ccdm experiment --method`` spells them.
        grid: tuned on the truth instead; ``methods`` is empty then.
    """

    label: str
    methods: tuple[str, ...] = ()
    grid: Grid | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What a score should reach.

    Attributes:
        value: not more than this; ``None``: not more than the ``rivals``.
        rivals: labels of contenders to stay below.
        within: of this contender's score, at most so much above (0.1: ten per cent).
        of: that contender's label.
    """

    value: float | None = None
    rivals: tuple[str, ...] = ()
    within: float = 0.0
    of: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting at one ensemble size.

    Attributes:
        setting: name of the twin experiment.
        members: N.
        contenders: the columns filled in.
        cycles: how many are run.
        scores: each makes a line; with ``"w2"`` there is a reference posterior.
        targets: by score.
        note: beside the name of the setting.
    """

    setting: str
    members: int
    contenders: tuple[Contender, ...]
    cycles: int
    scores: tuple[Score, ...]
    targets: tuple[tuple[Score, Target], ...] = ()
    note: str = ""

    @property
    def tuned_on(self) -> Score:
        """The score that the truth picks on: W2 where it is measured.

        On CRPS an ensemble in one lobe of two wins while it is the right one.
        """
        return "w2" if "w2" in self.scores else self.scores[0]

    def target(self, score: Score) -> Target | None:
        """The target of a score, if it has one."""
        return dict(self.targets).get(score)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under common heads.

    Attributes:
        name: on the command line and in the marker of the page.
        title: above it.
        heads: labels of all columns, in their order.
        rows: its rows.
        claim: labels ``(ours, theirs)`` of which differences are taken seed by seed.
        seeds: how many by default.
        published: say what others report of each setting.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    claim: tuple[str, str]
    seeds: int
    published: bool = False
