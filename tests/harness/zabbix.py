"""A real Zabbix 6.0: Debian's packages on a private database, frontend by PHP's own web server, nothing shared with the machine.

Called by tests that select hosts. The loaded database comes from the cache, so that a start takes seconds; every start gets
its own copy, port, frontend folder and API token.
"""

import contextlib
import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.harness import faults, postgres, process, zabbix_server
from tests.harness.cache import cached
from tests.harness.need import need, need_program
from tests.harness.ports import LOOPBACK, free_port
from tests.harness.process import wait_until
from tests.harness.workdir import workdir
from tests.harness.zabbix_api import Api, ZabbixError

_FRONTEND = Path("/usr/share/zabbix")
_SCHEMA = Path("/usr/share/zabbix-server-pgsql")
_DATABASE = "zabbix"
_PHP_EXTENSIONS = {"pgsql", "bcmath", "gd", "mbstring", "xml", "curl"}


class Zabbix(Api):
    """A running Zabbix: `url` (frontend base), `token`, and `Api`'s calls; its server and agent are started when first needed."""

    def __init__(self, url: str, database: postgres.Cluster, folder: Path, stack: contextlib.ExitStack) -> None:
        """Made by `running`; `stack` stops what is started later."""
        super().__init__(url)
        self._database = database
        self._folder = folder
        self._stack = stack
        self._server = stack.enter_context(contextlib.ExitStack())
        self._trapper: zabbix_server.Trapper | None = None
        self._agent: tuple[str, int] | None = None

    def trapper(self) -> zabbix_server.Trapper:
        """The server, started if it does not run yet."""
        if self._trapper is None:
            part = zabbix_server.server(self._database, _DATABASE, self._folder)
            self._trapper = self._server.enter_context(part)
        return self._trapper

    def agent(self) -> tuple[str, int]:
        """Address and port of a real agent, started if it does not run yet."""
        if self._agent is None:
            self._agent = self._stack.enter_context(zabbix_server.agent(self._folder))
        return self._agent

    def send(self, host: str, key: str, value: str, *, within: float = 60.0) -> None:
        """Give a value to a trapper item, as soon as the server knows the item."""
        trapper = self.trapper()
        wait_until(lambda: trapper.send(host, key, value), within=within, what=f"value of {host}:{key} taken")

    def show(self, host: str, key: str, trigger_id: str, value: int) -> None:
        """Give 0 or 1 to a trapper item until its trigger shows it."""

        # Sent anew each time: what comes between the server's learning of the item and of its trigger is kept, but not judged.
        def shown() -> bool:
            self.send(host, key, str(value))
            return self.trigger_value(trigger_id) == value

        wait_until(shown, within=60, every=0.5, what=f"{trigger_id} of {host} at {value}")

    def raise_problem(self, host: str, description: str, *, key: str = "harness.problem") -> str:
        """A new trigger on the host, in problem state when this returns; its id. `key` names its trapper item."""
        trigger_id = self.create_trapper_trigger(host, key, description)
        self.show(host, key, trigger_id, 1)
        return trigger_id

    def resolve_problem(self, host: str, trigger_id: str, *, key: str = "harness.problem") -> None:
        """Back to no problem."""
        self.show(host, key, trigger_id, 0)

    def poll_agents(self, *hosts: str) -> dict[str, int]:
        """Let the server poll the main agent interface of each host until it knows; host → 1 available, 2 unavailable."""
        for host in hosts:
            found = self.call("hostinterface.get", {"hostids": self.host_id(host), "filter": {"main": 1}})
            item = {"name": "ping", "key_": "agent.ping", "type": 0, "value_type": 3, "delay": "1s"}
            self.call("item.create", {**item, "hostid": found[0]["hostid"], "interfaceid": found[0]["interfaceid"]})
        self.trapper()
        for host in hosts:
            wait_until(lambda host=host: any(self.availability(host)), within=60, what=f"availability of {host}")  # type: ignore[misc]
        return {host: max(self.availability(host)) for host in hosts}

    def put_into_maintenance(self, name: str, *hosts: str) -> str:
        """A maintenance over these hosts, in effect when this returns; its id."""
        maintenance_id = self.create_maintenance(name, hosts)
        # A running server looks for maintenance once a minute, a starting one at once.
        self._server.close()
        self._trapper = None
        self.trapper()
        for host in hosts:
            wait_until(lambda host=host: self.in_maintenance(host), within=90, what=f"{host} in maintenance")  # type: ignore[misc]
        return maintenance_id

    def behind_faults(self) -> contextlib.AbstractContextManager[faults.FaultProxy]:
        """A fault injector in front of the API; its `url` is used in place of ours."""
        return faults.fault_proxy(self.url)


@contextlib.contextmanager
def running() -> Iterator[Zabbix]:
    """A Zabbix with nothing in it but what its packages bring."""
    need((_FRONTEND / "api_jsonrpc.php").exists(), "Zabbix's frontend", "apt-get install zabbix-frontend-php")
    php = need_program("php", "php-cli")
    modules = set(process.run([php, "-m"]).lower().split())
    missing = sorted(_PHP_EXTENSIONS - modules)
    need(not missing, "a PHP extension", "apt-get install " + " ".join(f"php-{name}" for name in missing))
    loaded = load()
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgres.cluster(loaded / "data"))
        folder = stack.enter_context(workdir("zabbix"))
        url = stack.enter_context(_frontend(php, database, folder))
        zabbix = Zabbix(url, database, folder, stack)
        zabbix.token = _new_token(zabbix)
        yield zabbix


def load() -> Path:
    """The folder with the database of a fresh Zabbix, in `data`: loaded now, or found from an earlier run."""
    need((_SCHEMA / "schema.sql.gz").exists(), "Zabbix's schema", "apt-get install zabbix-server-pgsql")
    return cached("zabbix-database", _recipe(), _load_database)


def _recipe() -> dict[str, object]:
    return {
        "steps": "schema images data analyze",
        "packages": process.run(["dpkg-query", "--show", "zabbix-server-pgsql", "postgresql-*[0-9]"]),
        "account": postgres.unprivileged(),
    }


def _load_database(entry: Path) -> None:
    entry.chmod(0o711)
    postgres.make_data_folder(entry / "data")
    with workdir("zabbix-load") as folder, postgres.serving(entry / "data", folder) as database:
        database.create_database(_DATABASE)
        argv = ["psql", "--quiet", "--set=ON_ERROR_STOP=1", database.url(_DATABASE, "postgresql")]
        for part in ("schema", "images", "data"):
            process.run(argv, stdin=gzip.decompress((_SCHEMA / f"{part}.sql.gz").read_bytes()))
        # Without statistics linking a template takes minutes.
        process.run(argv, stdin=b"VACUUM ANALYZE")


@contextlib.contextmanager
def _frontend(php: str, database: postgres.Cluster, folder: Path) -> Iterator[str]:
    """Serve the frontend from a folder of our own; its base URL."""
    root = folder / "frontend"
    root.mkdir()
    # PHP finds a script's folder behind symlinks, so what looks for files beside itself must be a copy; the rest need not.
    for path in _FRONTEND.iterdir():
        if path.suffix == ".php":
            shutil.copy(path, root)
        elif path.name == "include":
            shutil.copytree(path, root / path.name)
        else:
            (root / path.name).symlink_to(path)
    settings = folder / "zabbix.conf.php"
    settings.write_text(_settings(database))
    # Debian's package knows one place for the settings, for the whole machine; ours knows this run's.
    reader = root / "include/classes/core/CConfigFile.php"
    reader.write_text(reader.read_text().replace("/etc/zabbix/zabbix.conf.php", str(settings)))
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    limits = {"memory_limit": "512M", "post_max_size": "64M", "max_execution_time": 300, "max_input_time": 300}
    options = {**limits, "date.timezone": "UTC", "opcache.enable_cli": 1, "display_errors": 0}
    with process.running(
        [php, *(f"-d{key}={value}" for key, value in options.items()), "-S", f"{LOOPBACK}:{port}", "-t", root],
        name="frontend",
        folder=folder,
        env={"PHP_CLI_SERVER_WORKERS": "4"},
        user=zabbix_server.account(),
        ready=lambda: _answers(url),
    ):
        yield url


def _settings(database: postgres.Cluster) -> str:
    values = {
        "TYPE": "POSTGRESQL",
        "SERVER": database.host,
        "PORT": str(database.port),
        "DATABASE": _DATABASE,
        "USER": postgres.SUPERUSER,
        "PASSWORD": postgres.PASSWORD,
        "SCHEMA": "",
    }
    lines = [f"$DB['{key}'] = '{value}';" for key, value in values.items()]
    return "\n".join(["<?php", *lines, "$DB['ENCRYPTION'] = false;", "$DB['DOUBLE_IEEE754'] = true;", ""])


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError, ZabbixError):
        return bool(Api(url).call("apiinfo.version", []))
    return False


def _new_token(api: Api) -> str:
    """An API token of the built-in administrator, made the way a person makes one."""
    session = Api(api.url)
    session.token = session.call("user.login", {"user": "Admin", "password": "zabbix"})
    user = session.call("user.get", {"filter": {"username": "Admin"}, "output": ["userid"]})[0]
    made = session.call("token.create", {"name": "harness", "userid": user["userid"]})
    return str(session.call("token.generate", made["tokenids"])[0]["token"])
