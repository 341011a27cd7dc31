"""Acts out a Dockerfile in a folder: its COPY, RUN and ENV lines, with every absolute path moved into a tree.

Knows the few forms that ours uses and stops at any other. It cannot show that the image's own system has what the
lines need, nor its isolation; only that the lines fit together and that what they make runs.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

# Folders that our image makes or fills; every other absolute path is the system's own.
OWN = ("/opt", "/src", "/var/lib/aparte")
ABSOLUTE = re.compile(r"(?<![\w./$-])(" + "|".join(map(re.escape, OWN)) + r")(?=[/:\s\"']|$)")


@dataclass
class Image:
    """What the last stage made: where its root stands, and how a container would be started."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = ""
    volumes: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def inside(self, text: str) -> str:
        """The text with the image's absolute paths moved into the tree."""
        return ABSOLUTE.sub(lambda match: f"{self.root}{match[1]}", text)


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions in order: the word, and the rest on one line."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", kept)
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def ignored(context: Path) -> set[str]:
    """The top-level names that .dockerignore lets through (ours lists what is wanted, after `*`)."""
    lines = (context / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def build(dockerfile: Path, root: Path, environment: dict[str, str]) -> Image:
    """Acts out the file's stages one after another in `root`; an earlier stage is kept beside it.

    Args: environment is what RUN lines get; a `python` on its PATH stands for the one of the image's system.
    """
    context = dockerfile.parent
    wanted = ignored(context)
    stages: dict[str, Path] = {}
    image, name = Image(root), ""
    folder = "/"
    for word, rest in instructions(dockerfile.read_text()):
        if word == "FROM":
            if root.exists():
                stages[name] = root.rename(root.with_name(f"{root.name}.{name}"))
            root.mkdir()
            image, folder = Image(root), "/"
            name = rest.partition(" AS ")[2] or "last"
        elif word == "WORKDIR":
            folder = rest
            Path(image.inside(folder)).mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            *sources, target = shlex.split(rest)
            place = Path(image.inside(target)) if target.startswith("/") else Path(image.inside(folder), target)
            if sources[0].startswith("--from="):
                origin = stages[sources.pop(0).removeprefix("--from=")]
                sources = [str(origin / source.lstrip("/")) for source in sources]
            else:
                assert wanted.issuperset(source.removeprefix("./").partition("/")[0] for source in sources), rest
                sources = [str(context / source) for source in sources]
            for source in map(Path, sources):
                if source.is_dir():
                    leave = shutil.ignore_patterns("__pycache__") if context in source.parents else None
                    shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True, ignore=leave)
                else:
                    shutil.copy(source, place / source.name if len(sources) > 1 or target.endswith("/") else place)
        elif word == "RUN":
            command = ["/bin/sh", "-euc", image.inside(rest)]
            done = subprocess.run(
                command,
                cwd=image.inside(folder),
                env={**environment, **image.environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"RUN {rest}\n{done.stdout}"
        elif word == "ENV":
            pairs = dict(pair.split("=", 1) for pair in shlex.split(rest))
            image.environment |= {key: image.inside(value) for key, value in pairs.items()}
        elif word == "USER":
            image.user = rest
        elif word == "VOLUME":
            image.volumes = [image.inside(path) for path in json.loads(rest)]
        elif word == "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest.partition(" CMD ")[2])
        else:
            assert word in {"EXPOSE", "STOPSIGNAL"}, f"tests/dockerfile.py does not know {word}"
    return image
