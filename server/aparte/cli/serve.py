"""`aparte serve` and `aparte demo`.

Knows their options. Must not know how the parts are joined.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from aparte.cli import parts


@click.command(short_help="Serve widget, chat and panel until stopped.")
@parts.config_option
def serve(config_file: Path | None) -> None:
    """Serve the widget, the chat and the panel until stopped.

    SIGTERM or Ctrl-C ends it in order: open pages are told when to come back, what is being written is finished.

    \b
    Example:
      aparte serve --config /etc/aparte.toml
    """
    chosen = parts.settings(config_file)
    from aparte import logs

    logs.configure(chosen.log_level, node=chosen.node_name())
    import structlog  # after logs, which spares it a heavy import

    def serving() -> None:
        chat, panel = chosen.addressed()
        structlog.get_logger("aparte.serve").info("serving", chat=chat, panel=f"{panel}/panel")

    parts.serve(chosen, serving)


@click.command(short_help="Show the airline's story, with everything in it.")
@click.option("--port", type=click.IntRange(0, 65_500), help="First of the ports to use; 0 takes free ones.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the data here. Default: nothing is kept.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON with all addresses when ready.")
@click.option("--story", is_flag=True, help="Play the whole story unattended; status 0 only if every step held.")
@click.option(
    "--nodes",
    type=click.IntRange(1, 9),
    default=1,
    metavar="NUMBER",
    help="Chat servers that share the work: 2 or more on a PostgreSQL and a Valkey of the demo's own (extra: cluster).",
)
def demo(port: int | None, data: Path | None, as_json: bool, story: bool, nodes: int) -> None:
    """Bring up an airline's page with the widget, the agents' panel and a mailbox, on this machine only.

    \b
    Examples:
      aparte demo
      aparte demo --port 0 --json
      aparte demo --story
      aparte demo --nodes 2
    """
    from aparte import logs

    logs.configure("warning", node="demo")  # on standard error: standard output is the one line, or the story
    sys.exit(parts.play(port=port, data=data, as_json=as_json, story=story, nodes=nodes))
