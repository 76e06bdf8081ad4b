"""The simulator: EPANET's hydraulics of the network Net3, through its C toolkit.

Net3 is the example network that comes with EPANET: 92 junctions, 59 of them with
demand, 117 pipes, two reservoirs, three tanks, two pumps. One call of the toolkit
solves the hydraulics of one hour in a third of a millisecond, so a hundred members cost
less than the analysis does. Tank levels are taken as known, as telemetry has them.
"""

import tempfile
from pathlib import Path

import numpy as np
import wntr
from wntr.epanet import toolkit
from wntr.epanet.util import EN

FILE = Path(wntr.__file__).parent / "library" / "networks" / "Net3.inp"
METRES = 0.70307  # of water column, per psi
# Demand of each hour over its mean: a night, a morning peak, an evening peak.
DAY = np.interp(np.arange(24), [0, 4, 8, 13, 19, 24], [0.6, 0.5, 1.4, 1.0, 1.5, 0.6])
# Pipes by diameter in inches: each class aged alike.
CLASSES = ((0, 10), (10, 12), (12, 18), (18, 99))


class Network:
    """Pressures from demands and roughness."""

    def __init__(self):
        folder = tempfile.mkdtemp()
        self._epanet = toolkit.ENepanet(version=2.2)
        self._epanet.ENopen(str(FILE), f"{folder}/report", f"{folder}/output")
        model = wntr.network.WaterNetworkModel(str(FILE))
        self.junctions = [n for n, j in model.junctions() if j.base_demand > 0]
        self.places = np.array([model.get_node(n).coordinates for n in self.junctions])
        self.pipes = [
            (model.get_node(p.start_node_name).coordinates,
             model.get_node(p.end_node_name).coordinates)
            for _, p in model.pipes()
        ]  # fmt: skip
        # What is usual in the mean of a day, gallons per minute; DAY replaces the
        # patterns of the file.
        self._nodes = [self._epanet.ENgetnodeindex(n) for n in self.junctions]
        self.usual = self._node_values(EN.BASEDEMAND)
        for node in self._nodes:
            self._epanet.ENsetnodevalue(node, EN.PATTERN, 0)
        links = [self._epanet.ENgetlinkindex(n) for n in model.pipe_name_list]
        inches = [self._epanet.ENgetlinkvalue(i, EN.DIAMETER) for i in links]
        self._classes = [
            [i for i, d in zip(links, inches, strict=True) if low <= d < high]
            for low, high in CLASSES
        ]
        self._new = {i: self._epanet.ENgetlinkvalue(i, EN.ROUGHNESS) for i in links}

    def pressures(self, log_demands, hour, log_roughness=None):
        """Metres of water at every junction with demand.

        Args:
            log_demands: ``(59,)`` log of demand over what is usual at this hour.
            hour: from 0.
            log_roughness: ``(4,)`` log of the Hazen-Williams coefficient of each class
                of pipes over that of the file; ``None``: as in the file.
        """
        demands = self.usual * DAY[hour % 24] * np.exp(log_demands)
        for node, demand in zip(self._nodes, demands, strict=True):
            self._epanet.ENsetnodevalue(node, EN.BASEDEMAND, float(demand))
        if log_roughness is not None:
            for links, change in zip(self._classes, log_roughness, strict=True):
                for i in links:
                    value = float(self._new[i] * np.exp(change))
                    self._epanet.ENsetlinkvalue(i, EN.ROUGHNESS, value)
        self._epanet.ENopenH()
        self._epanet.ENinitH(0)
        self._epanet.ENrunH()
        found = self._node_values(EN.PRESSURE) * METRES
        self._epanet.ENcloseH()
        return found

    def _node_values(self, kind):
        return np.array([self._epanet.ENgetnodevalue(i, kind) for i in self._nodes])
