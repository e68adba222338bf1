"""ATK-102: a whole life of the service; then every secret of it is searched for wherever none belongs."""

import asyncio
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import asyncpg
import httpx2
import pytest
import redis

from tests.house_of import MASTER_KEY, PASSWORD
from tests.journeys.service import Service, children_of, run_cli, serving
from tests.soak import acts
from tests.soak.acts import World

EMAIL = "ada@example.com"
SECRET_NAMES = {
    "access_token",
    "refresh_token",
    "client_secret",
    "password",
    "token",
    "current_password",
    "new_password",
}
PEPPER = "x0Yt3mXrZk2b7u1dQJ4nVw8sLh6cFgA5pEoRiKjTqMU"
ACTS = [act for act in acts.ACTS if act is not acts.hang_up]


class Ear:
    """Hears every secret that goes over the wire, and every body of an error."""

    def __init__(self) -> None:
        self.secrets = {PASSWORD, MASTER_KEY, PEPPER}
        self.errors: list[str] = []

    async def answer(self, answer: httpx2.Response) -> None:
        self._hear(answer.request.content.decode("utf-8", "replace"))
        for name, value in answer.request.headers.items():
            if name == "authorization":
                self.secrets.add(value.partition(" ")[2])
        text = (await answer.aread()).decode()
        if answer.status_code >= 400:
            self.errors += [text, str(answer.headers)]
        else:
            self._hear(text)

    def _hear(self, text: str) -> None:
        try:
            pairs: Iterable[tuple[str, Any]] = json.loads(text).items()
        except (ValueError, AttributeError):
            pairs = [(name, unquote_plus(value)) for name, _, value in (p.partition("=") for p in text.split("&"))]
        self.secrets |= {value for name, value in pairs if name in SECRET_NAMES and isinstance(value, str)}


def forms_of(secret: str) -> set[str]:
    """How it might stand somewhere: as it is, and as PostgreSQL shows bytes; of a JWT the part that opens doors."""
    core = secret.rpartition(".")[2] if secret.count(".") == 2 else secret
    return {core, core.encode().hex()} if len(core) >= 12 else set()


async def everything_kept(database_url: str) -> str:
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        rows = [await connection.fetch(f"SELECT t::text AS row FROM {table['name']} t") for table in tables]
    finally:
        await connection.close()
    assert len(rows) > 8 and any(rows)
    return "\n".join(row["row"] for table in rows for row in table)


def everything_cached(url: str) -> str:
    with redis.Redis.from_url(url) as client:
        return "\n".join(f"{key!r} {client.dump(key)!r}" for key in client.scan_iter())


def told_by_the_kernel(pids: Iterable[int]) -> str:
    """Command lines and environments, but for the two settings that this operator has put into the environment."""
    told = []
    for pid in pids:
        told += Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        told += Path(f"/proc/{pid}/environ").read_text().split("\0")
    given = (f"AUTHSVC_MASTER_KEY={MASTER_KEY}", f"AUTHSVC_PASSWORD_PEPPER={PEPPER}")
    return "\n".join(line for line in told if line not in given)


@pytest.mark.timeout(240)
def test_no_secret_is_anywhere_it_does_not_belong(database_url: str, redis_url: str, tmp_path: Path) -> None:
    ear = Ear()
    settings = {"AUTHSVC_REDIS_URL": redis_url, "AUTHSVC_LOG_LEVEL": "debug", "AUTHSVC_PASSWORD_PEPPER": PEPPER}
    with serving(database_url, tmp_path / "log", "--migrate", "--workers", "2", **settings) as service:
        said = operate(service, ear)
        asyncio.run(live(service, ear))
        processes = {service.process.pid} | children_of(service.process.pid)
        places = {
            "metrics": service.ask_management("/metrics").text,
            "error bodies": "\n".join(ear.errors),
            "what commands say": said,
            "command lines and environments": told_by_the_kernel(processes),
            "PostgreSQL": asyncio.run(everything_kept(database_url)),
            "Redis": everything_cached(redis_url),
        }
    places["logs"] = (tmp_path / "log").read_text()
    places["audit log"] = run_cli(service.environ, "audit", "export").stdout
    assert len(ear.secrets) > 100
    found = {
        (place, secret[:6])
        for place, text in places.items()
        for secret in ear.secrets
        for form in forms_of(secret)
        if form in text
    }
    assert found == set()
    # What does belong there is found: the search looks at something.
    assert EMAIL in places["PostgreSQL"] and "authsvc:lim:" in places["Redis"] and len(ear.errors) > 20
    assert "session opened" in places["logs"] and "authn_login_fail" in places["audit log"]


def operate(service: Service, ear: Ear) -> str:
    """What operators do; what the commands print, but for the one answer that shows a secret."""
    made = service.cli("user", "create", "--email", EMAIL, "--generate-password")
    ear.secrets.add(made["password"])
    client = service.cli("client", "create", "--name", "c", "--grant", "client_credentials")
    ear.secrets.add(client["client_secret"])
    ear.secrets.add(service.cli("client", "rotate-secret", client["client_id"])["client_secret"])
    commands = ("user list", "client list", "key list", "key rotate", "doctor", "config check", "audit tail")
    return "\n".join(run_cli(service.environ, *command.split(), check=False).stdout for command in commands)


async def live(service: Service, ear: Ear) -> None:
    """What users, clients and strangers do."""
    async with httpx2.AsyncClient(base_url=service.base, timeout=30, event_hooks={"response": [ear.answer]}) as http:
        owner = service.client()
        ear.secrets.add(owner[1])
        world = World(http, 0, owner, owner, random.Random(7), users=[EMAIL])
        for number in range(3):
            world.users.append(f"user{number}@example.com")
            await http.post("/api/v1/users", json={"email": world.users[-1], "password": PASSWORD})
        for _ in range(60):
            await acts.mint(world)
        for _ in range(12):
            for act in ACTS:
                await act(world)
