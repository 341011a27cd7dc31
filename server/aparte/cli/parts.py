"""Where the commands meet the product: every function of the lower floors that a command calls, once.

Knows names. Must not print, nor know an option.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aparte import config, errors
from aparte.config import Settings

if TYPE_CHECKING:
    from aparte.config import Database
    from aparte.model import Agent, Role, Site
    from aparte.store import Store
    from aparte.store.copying import Compared, Watch

T = TypeVar("T")

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings file (TOML). Default: $APARTE_CONFIG, else ./aparte.toml. APARTE_<SETTING> in the environment wins.",
)


def settings(config_file: Path | None) -> Settings:
    """The settings. Raises errors.BadSetting naming every wrong one."""
    return config.load(config_file, os.environ)


def serve(chosen: Settings, on_ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT; `on_ready` is called once requests are answered. Raises errors.AparteError saying
    why it could not start: the port, the keys, the database, the bell's driver, or another server that has the data."""
    import asyncio

    import uvloop

    from aparte import app

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.run(chosen, on_ready=on_ready))


async def _nothing(_store: object) -> None:
    """Opening the store makes or migrates it, and there is nothing more to do."""


def make_store(chosen: Settings) -> None:
    """Makes the database, or migrates it."""
    in_store(chosen, _nothing)


def play(*, port: int | None, data: Path | None, as_json: bool, story: bool, nodes: int) -> int:
    """Runs the demo; its exit status."""
    from aparte import demo

    return int(demo.run(port=port, data=data, as_json=as_json, story=story, nodes=nodes))


def measure(**asked: Any) -> int:
    """Runs the measurements; their exit status."""
    from aparte import bench

    return int(bench.run(**asked) or 0)


def in_store(chosen: Settings, act: Callable[[Store], Awaitable[T]]) -> T:
    """What `act` gives, on the opened store of this installation. Raises errors.AparteError where there is none."""
    import asyncio

    from aparte.store import opened
    from aparte.vault import Vault

    async def run() -> T:
        async with opened(chosen, Vault.open(keyring=chosen.ring(), root_key=chosen.root_key)) as store:
            return await act(store)

    return asyncio.run(run())


def store_to_copy(chosen: Settings) -> tuple[tuple[Path, Database], ...]:
    """Which file `copy_store` copies into which database. Raises errors.BadSetting when the settings do not name both."""
    from aparte.store import copying

    return copying.places(chosen)


def copy_store(chosen: Settings, watch: Watch) -> list[Compared]:
    """Copies the installation from SQLite into PostgreSQL. Raises errors.AparteError saying why it could not."""
    from aparte.store import copying

    return copying.copy(chosen, watch)


def add_agent(chosen: Settings, name: str, email: str, role: Role, password: str) -> Agent:
    """Adds a person who answers. Raises errors.BadInput when there is one of this address."""
    from aparte.actions import people

    return in_store(chosen, lambda store: people.add_agent(store, name, email, role, password))


def require_agent(chosen: Settings, email: str) -> None:
    """Raises errors.NotFound, before anything is asked about somebody who is not there."""
    from aparte.actions import people

    in_store(chosen, lambda store: people.by_email(store, email))


def require_new_agent(chosen: Settings, email: str) -> None:
    """Raises errors.BadInput, before a password is asked for, when there is one of this address."""
    from aparte.actions import people

    in_store(chosen, lambda store: people.require_new(store, email))


def list_agents(chosen: Settings) -> list[Agent]:
    """Everybody who answers, or has."""
    from aparte.actions import people

    return in_store(chosen, people.list_agents)


def set_disabled(chosen: Settings, email: str, disabled: bool) -> None:
    """Ends somebody's access, or gives it back. Raises errors.NotFound."""
    from aparte.actions import people

    in_store(chosen, lambda store: people.set_disabled(store, email, disabled))


def set_password(chosen: Settings, email: str, password: str) -> None:
    """Sets a password and ends the sessions that stand on the old one. Raises errors.NotFound."""
    from aparte.actions import people

    in_store(chosen, lambda store: people.set_password(store, email, password))


def add_site(chosen: Settings, one: Site, *, may_replace: bool) -> Site | None:
    """Adds a website; gives the one in whose place it came, if any. Raises errors.BadInput when there is one and it may
    not be replaced."""
    from aparte.actions import sites

    async def add(store: Store) -> Site | None:
        before = store.directory.sites.get(one.id)
        if not may_replace and before is not None:
            raise errors.BadInput(
                f"There is a site {one.id} already. To give it these settings instead, add --replace."
            )
        await sites.add_site(store, one)
        return before

    return in_store(chosen, add)


def list_sites(chosen: Settings) -> list[Site]:
    """The websites that may embed the widget."""
    from aparte.actions import sites

    return in_store(chosen, sites.list_sites)
