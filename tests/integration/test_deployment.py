"""The example of a deployment: its roles and its configuration on a real server; its other files say nothing that is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docpages import ROOT

if os.environ.get("CI") != "true":
    pytest.importorskip("psycopg")

from postgres_server import PASSWORD, Server, hosted, or_skip

import fpa_core
from fpa_core.exceptions import DatabaseError
from fpa_core.models import Quote
from fpa_core.numbers import Instant

FOLDER = ROOT / "examples" / "deployment"
PASSWORDS = {f"{name}_password": f"a word for the {name}" for name in ("writer", "reader", "replication")}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start a server, and run the script of the roles there with psql, as the image would."""
    with or_skip(), hosted() as host:
        server = host.primary()
        try:
            admin = server.dsn().replace(f" password='{PASSWORD}'", "")
            given = [part for name, value in PASSWORDS.items() for part in ("--set", f"{name}={value}")]
            host.run("psql", "--dbname", admin, "--command", f"CREATE ROLE fpa_owner SUPERUSER LOGIN PASSWORD '{PASSWORD}'", PGPASSWORD=PASSWORD)  # fmt: skip
            script = host.folder / "roles.sql"
            script.write_text((FOLDER / "roles.sql").read_text())
            script.chmod(0o644)
            host.run("psql", "--dbname", admin.replace("user=fpa", "user=fpa_owner"), "--set", "ON_ERROR_STOP=1", *given, "--file", script, PGPASSWORD=PASSWORD)  # fmt: skip
            yield server
        finally:
            server.stop()


@pytest.fixture
def configured(server: Server, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Write the configuration with the place of this server; return the variables of an environment."""
    text = (FOLDER / "fpa.toml").read_text()
    assert 4 == text.count("host=db1,db2 port=5432,5432 dbname=market") + text.count("/var/lib/fpa/")
    text = text.replace(
        "host=db1,db2 port=5432,5432 dbname=market", f"host=127.0.0.1 port={server.port} dbname=postgres"
    )
    (tmp_path / "fpa.toml").write_text(text.replace("/var/lib/fpa", str(tmp_path)))
    quoted = {name.upper(): f"'{value}'" for name, value in PASSWORDS.items()}

    def variables(env: str) -> dict[str, str]:
        return quoted | {
            "OWNER_PASSWORD": f"'{PASSWORD}'",
            "REDIS_PASSWORD": "word",
            "FPA_ENV": env,
            "FPA_CACHE__BACKEND": "memory",
        }

    return variables


def test_each_process_can_do_what_it_has_to(configured: Callable[[str], dict[str, str]], tmp_path: Path) -> None:
    """The owner makes the schema, the writer writes, and the reader reads, and writes nothing."""
    command = [sys.executable, "-m", "fpa_core", "--config", str(tmp_path / "fpa.toml"), "store"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environ = os.environ | configured("owner") | {"PYTHONPATH": path}
    for action, code in (("check", 5), ("migrate", 0), ("migrate", 0), ("check", 0)):
        done = subprocess.run([*command, action], env=environ, capture_output=True, text=True, check=False)
        assert code == done.returncode, done.stderr
    quotes = [Quote("SPY", Instant(number), number + 1, number + 2) for number in range(10)]
    with fpa_core.open(tmp_path / "fpa.toml", environ=configured("writer")) as data:
        assert 10 == data.ingest(quotes).inserted
        assert quotes == data.select(Quote, "SPY").to_list()
    with fpa_core.open(tmp_path / "fpa.toml", environ=configured("reader")) as data:
        assert quotes == data.select(Quote, "SPY").to_list()
        with pytest.raises(DatabaseError, match="reading only"):
            data.store.save(quotes[0])
    writing = configured("reader") | {"FPA_STORE__READ_ONLY": "false", "FPA_STORE__READ_FROM": "primary"}
    with (
        fpa_core.open(tmp_path / "fpa.toml", environ=writing) as data,
        pytest.raises(DatabaseError, match="permission denied"),
    ):
        data.store.save(Quote("SPY", Instant(99), 1, 2))


def test_the_services_are_complete() -> None:
    """Every file that a service takes is there, every variable has a service that gives it, and no image names a host."""
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    assert {"db1", "db2", "redis", "migrate", "collect", "read"} == set(services)
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith("./") or (FOLDER / source).is_file()
        assert "." not in service["image"].partition("/")[0]
        assert set(service.get("depends_on", ())) <= set(services)
    config = (FOLDER / "fpa.toml").read_text()
    for name, given in (
        ("migrate", "OWNER_PASSWORD"),
        ("collect", "WRITER_PASSWORD"),
        ("collect", "REDIS_PASSWORD"),
        ("read", "READER_PASSWORD"),
    ):
        assert given in services[name]["environment"]
        assert f"${{{given}}}" in config
    for script in ("primary.sh", "standby.sh") if shutil.which("bash") else ():
        assert 0 == subprocess.run(["bash", "-n", FOLDER / script], check=False).returncode
