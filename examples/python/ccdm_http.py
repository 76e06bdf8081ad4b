"""CCDM from Python with NumPy and nothing else. Copy this file into your simulator.

Where more packages are welcome, ``service.client`` does the same and more: keys, two
kinds of retries, an asynchronous twin, errors with a class each.
"""

import io
import json
import os
import time
import urllib.error
import urllib.request

import numpy as np

BOUNDARY = "ccdm-9f1c2ab47d5e"


class Session:
    """A session; it numbers its cycles itself.

    Args:
        url: root of the service.
        settings: the body of ``POST /v1/sessions``.
    """

    def __init__(self, url, settings):
        self.root, self.number = url.rstrip("/"), 0
        headers = {"Content-Type": "application/json"}
        reply, _ = self._send("POST", "/v1/sessions", json.dumps(settings), headers)
        if not (path := reply["Location"]):
            raise RuntimeError("no session in the answer: no header Location")
        self.path = path

    def analysis(self, cycle):
        """Samples ``(N, dx)`` of a finished cycle; 0 is the initial ensemble."""
        headers = {"Accept": "application/x-npy"}
        path = f"{self.path}/cycles/{cycle}/analysis"
        return np.load(io.BytesIO(self._send("GET", path, None, headers)[1]))

    def cycle(self, forecast_states, simulated_measurements, observation):
        """Assimilate the next cycle: ``(N, dx)``, ``(N, dy)``, ``(dy,)`` with NaN
        where nothing came in. A lost reply is asked for again and comes back the same.
        """
        arrays = {
            "forecast_states": forecast_states,
            "simulated_measurements": simulated_measurements,
            "observation": observation,
        }
        body = b"".join(_part(name, array) for name, array in arrays.items())
        headers = {
            "Accept": "application/x-npy",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        }
        path = f"{self.path}/cycles/{self.number + 1}"
        _, samples = self._send("PUT", path, body + f"--{BOUNDARY}--".encode(), headers)
        self.number += 1
        return np.load(io.BytesIO(samples))

    def delete(self):
        """Have the service forget the session, which it keeps otherwise."""
        self._send("DELETE", self.path, None, {})

    def _send(self, method, path, body, headers):
        """Headers and body of the answer; asked for again while the service is away."""
        body = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(self.root + path, body, headers, method=method)
        if key := os.environ.get("CCDM_API_KEY"):
            request.add_header("X-API-Key", key)
        for wait in (1, 1, 2, 4, 8, None):
            try:
                with urllib.request.urlopen(request) as reply:
                    return reply.headers, reply.read()
            except urllib.error.HTTPError as error:
                with error:
                    problem = error.read().decode()
                if error.code != 503 or wait is None:
                    raise RuntimeError(f"{method} {path}: {problem}") from error
            except OSError:
                if wait is None:
                    raise
            time.sleep(wait)


def _part(name, array):
    npy = io.BytesIO()
    np.save(npy, np.asarray(array, dtype=np.float64))
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + npy.getvalue() + b"\r\n"
