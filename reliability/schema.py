"""schemathesis against the description that the service gives of itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
# What is drawn at random would otherwise compute for minutes, or wait for them.
SETTINGS = {
    "MAX_SAMPLES": "500",
    "MAX_STEPS": "200",
    "MAX_STATE_DIM": "1000",
    "MAX_WAIT_SECONDS": "0.2",
    "SESSION_TTL_SECONDS": "600",
}
# A stream of events does not end, and an answer that does not is none to the tool.
ENDLESS = "/events$"
_CASES = re.compile(r"(?m)^\s*(\d+) generated, (?:(\d+) found )?")
_STATUS = re.compile(r"\[(\d{3})\] ")
_ERRORS = re.compile(r"(?m)^ *\S+ Runtime Error: (\d+)$")
# Of Python 3.11 before 3.11.9 (gh-106905), when a strategy is put into words.
_STUMBLE = "SystemError: AST constructor recursion depth mismatch"


@dataclass
class SchemaRun:
    """Figures of one or more runs.

    Attributes:
        cases: generated and sent; ``runs``: with another seed each.
        failures: unique failures of a check, by the tool's own count.
        errors: failures that were answers 5xx.
        stumbled: times that the tool met a defect of Python's own and left one
            operation in one phase of a run; what it had sent until then is counted.
        operations: how many the description has.
        checks: all of them, by name.
        seconds: how long all of it took.
        told: the tool's words about each failure.
    """

    cases: int = 0
    runs: int = 0
    failures: int = 0
    errors: int = 0
    stumbled: int = 0
    operations: int = 0
    seconds: float = 0.0
    told: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """For JSON, without the long story."""
        return {name: value for name, value in asdict(self).items() if name != "told"}


def run_schema(
    url: str,
    folder: Path,
    *,
    cases: int,
    examples: int,
    phases: str = "examples,coverage,fuzzing,stateful",
    api_key: str | None = None,
    most_runs: int = 20,
) -> SchemaRun:
    """Run until enough cases have been sent, with a new seed each time.

    Args:
        url: of a running service.
        folder: for the tool's reports.
        cases: how many at least.
        examples: of each operation in each phase that draws at random.
        phases: of schemathesis.
        api_key: with which every request comes.
        most_runs: after which to stop in any case.
    """
    total = SchemaRun()
    began = time.monotonic()
    while total.cases < cases and total.runs < most_runs:
        _one_run(total, url, folder, examples, phases, api_key)
    total.seconds = round(time.monotonic() - began, 1)
    return total


def _one_run(
    total: SchemaRun,
    url: str,
    folder: Path,
    examples: int,
    phases: str,
    api_key: str | None,
) -> None:
    tool = Path(sys.executable).with_name("schemathesis")
    command = [str(tool), "--config-file", str(HERE / "schemathesis.toml"), "run"]
    command += [f"{url}/openapi.json", "--checks", "all", "--phases", phases]
    command += ["--max-examples", str(examples), "--seed", str(1 + total.runs)]
    command += ["--exclude-path-regex", ENDLESS]
    command += ["--no-color", "--generation-database", "none", "--workers", "2"]
    command += ["--continue-on-failure", "--request-timeout", "60", "--no-shrink"]
    # A machine that is busy with the service draws slowly.
    command += ["--suppress-health-check", "all"]
    if api_key:
        command += ["--header", f"X-API-Key:{api_key}"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "reliability.schema_hooks"}
    environment["PYTHONPATH"] = str(HERE.parent)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )
    text = done.stdout + done.stderr
    found = _CASES.search(text)
    if found is None:
        raise RuntimeError(f"schemathesis did not run:\n{text[-4000:]}")
    total.runs += 1
    total.cases += int(found[1])
    print(f"run {total.runs}: {found[0].strip()} cases", flush=True)
    total.failures += int(found[2] or 0)
    operations = re.search(r"Operations:\s+(\d+) selected", text)
    total.operations = int(operations[1]) if operations else 0
    if done.returncode:
        # Errors of the tool come before failures of the service.
        report = text[text.find("= ERRORS =") :] if "= ERRORS =" in text else text
        report = report if report != text else text.partition("= FAILURES =")[2] or text
        total.told.append(report[-20_000:])
        total.errors += sum(code >= "500" for code in _STATUS.findall(report))
        stumbled = text.count(_STUMBLE)
        total.stumbled += stumbled
        # Whatever else ended the tool so is held against the service.
        told = int(found[2] or 0) + sum(map(int, _ERRORS.findall(text)))
        if told != stumbled or not stumbled:
            total.failures = max(total.failures, 1)
