"""The simulator: hydrogen burning in a stirred reactor, by Cantera.

A tenth of a litre, well stirred, at one atmosphere. Hydrogen and air flow in at 300 K
and stay ten milliseconds; heat is lost through the wall. Ten species and 29 reactions
(Cantera's ``h2o2.yaml``) are integrated in time; one call costs a few milliseconds.
"""

import cantera as ct
import numpy as np

VOLUME = 1e-4  # m3
STAY = 0.01  # s, residence time
COLD = 300.0  # K, of the inflow and of what is around the reactor
LOSS = 0.6  # W/K through the wall, as it was when new
# What a reactor's state is told by: its temperature and the mole fractions of what is
# not rare. The rest is nitrogen. Radicals live for microseconds and find their level.
SPECIES = ("H2", "O2", "H2O")


class Reactor:
    """One reactor, set to any state and taken on from there."""

    def __init__(self):
        self._inflow = ct.Solution("h2o2.yaml")
        self._gas = ct.Solution("h2o2.yaml")
        self._places = [self._gas.species_index(name) for name in SPECIES]
        self._nitrogen = self._gas.species_index("N2")
        around = ct.Solution("h2o2.yaml")
        around.TP = COLD, ct.one_atm
        surroundings = ct.Reservoir(around, clone=False)
        # Not cloned: what is set on our phases is what flows and burns.
        self._feed = ct.Reservoir(self._inflow, clone=False)
        self._reactor = ct.IdealGasReactor(self._gas, volume=VOLUME, clone=False)
        valve = ct.MassFlowController(
            self._feed, self._reactor, mdot=lambda t: self._reactor.mass / STAY
        )
        outlet = ct.PressureController(
            self._reactor, surroundings, primary=valve, K=1e-5
        )
        self._wall = ct.Wall(self._reactor, surroundings, A=1.0, U=LOSS)
        self._parts = (valve, outlet)
        self._network = ct.ReactorNet([self._reactor])
        self._network.rtol, self._network.atol = 1e-5, 1e-11

    def burning(self, strength):
        """The state ``(4,)`` of complete burning, from which reactors are lit."""
        self._mix(strength)
        self._gas.TPX = COLD, ct.one_atm, self._inflow.X
        self._gas.equilibrate("HP")
        return self._told()

    def advance(self, state, strength, loss, seconds):
        """The state after some time.

        Args:
            state: ``(4,)`` temperature in K, mole fractions of SPECIES.
            strength: of the mixture that flows in: fuel over what the air can burn.
            loss: through the wall, over LOSS.
            seconds: to go on for.
        """
        self._mix(strength)
        fractions = np.zeros(self._gas.n_species)
        fractions[self._places] = np.maximum(state[1:], 0.0)
        fractions[self._nitrogen] = max(1.0 - fractions.sum(), 0.0)
        self._gas.TPX = np.clip(state[0], COLD, 3500.0), ct.one_atm, fractions
        self._reactor.syncState()
        self._wall.heat_transfer_coeff = LOSS * loss
        self._network.initial_time = 0.0
        self._network.advance(seconds)
        return self._told()

    def _mix(self, strength):
        self._inflow.TP = COLD, ct.one_atm
        self._inflow.set_equivalence_ratio(strength, "H2", "O2:1, N2:3.76")
        self._feed.syncState()

    def _told(self):
        return np.array([self._gas.T, *self._gas.X[self._places]])
