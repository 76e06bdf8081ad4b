"""``ccdm check``: everything in a table, and an exit code that a script can use."""

from __future__ import annotations

import re
from pathlib import Path

from service.cli.demo.processes import free_port
from tests.cli.conftest import Ccdm
from tests.support.servers import serving


def test_a_sound_installation_passes(ccdm: Ccdm, tmp_path: Path) -> None:
    done = ccdm("check", "--store", f"sqlite:///{tmp_path}/s.sqlite")
    for line in ("numpy", "blas", "analysis", "store"):
        assert re.search(rf"^ok\s+{line}\s", done.stdout, re.MULTILINE), done.stdout
    assert "mean as it should be" in done.stdout
    assert "0 failed" in done.stdout


def test_a_store_out_of_reach_fails(ccdm: Ccdm) -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    done = ccdm("check", "--store", url, code=1)
    assert re.search(r"^failed\s+store\s", done.stdout, re.MULTILINE)
    assert "hunter2" not in done.stdout + done.stderr
    done = ccdm("check", "--store", "oracle://somewhere", code=1)
    assert re.search(r"^failed\s+store\s", done.stdout, re.MULTILINE)


def test_folders_of_stored_analyses_are_looked_at(ccdm: Ccdm, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/s.sqlite"
    (tmp_path / "file").touch()
    wrong = f"a={tmp_path},b+write={tmp_path}/missing,c={tmp_path}/file"
    done = ccdm("check", "--store", store, code=1, CCDM_LOCATIONS=wrong)
    for status, name in (("ok", "a"), ("failed", "b"), ("failed", "c")):
        found = re.search(rf"^{status}\s+location {name}\s", done.stdout, re.MULTILINE)
        assert found, done.stdout


def test_several_blas_threads_are_a_warning(ccdm: Ccdm, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/s.sqlite"
    done = ccdm("check", "--store", store, OPENBLAS_NUM_THREADS="2")
    assert re.search(r"^warning\s+blas\s.*one is faster", done.stdout, re.MULTILINE)


def test_a_running_service_is_compared_with_this_installation(
    ccdm: Ccdm, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/s.sqlite"
    with serving(tmp_path) as server:
        done = ccdm("check", "--store", store, "--url", server.url)
    assert re.search(r"^ok\s+service\s.*is ready", done.stdout, re.MULTILINE)
    assert re.search(r"^ok\s+service: store\s", done.stdout, re.MULTILINE)
    assert "bit for bit the same as here" in done.stdout
    done = ccdm("check", "--store", store, "--url", server.url, code=1)
    assert re.search(r"^failed\s+service\s.*no connection", done.stdout, re.MULTILINE)


def test_help_and_version_name_every_command(ccdm: Ccdm) -> None:
    text = ccdm("--help").stdout
    for command in ("serve", "demo", "assimilate", "check"):
        assert re.search(rf"\b{command}\b", text)
    assert "--store" in ccdm("serve", "--help").stdout
    assert re.fullmatch(r"ccdm \d+\.\d+\.\d+\S*\n", ccdm("--version").stdout)
    assert "No such command" in ccdm("conquer", code=2).stderr
