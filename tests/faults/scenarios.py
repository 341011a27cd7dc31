"""All scenarios, in the order in which they run."""

from __future__ import annotations

from typing import Final

from faults import (
    away,
    bells,
    browser,
    clock,
    conformance,
    floods,
    full_disk,
    kills,
    locked,
    machine,
    network,
    read_only,
    restart_crowd,
    restarts,
    slow_reader,
    soak,
)
from faults.lab import Scenario

SCENARIOS: Final[tuple[Scenario, ...]] = (
    conformance.SCENARIO,
    machine.SCENARIO,
    network.SCENARIO,
    network.BY_REQUESTS,
    kills.SCENARIO,
    full_disk.SCENARIO,
    locked.SCENARIO,
    read_only.SCENARIO,
    clock.SCENARIO,
    slow_reader.SCENARIO,
    slow_reader.AMONG_MANY,
    floods.FRAMES,
    floods.HALVES,
    floods.LOG_INS,
    browser.SCENARIO,
    bells.CUT,
    bells.AWAY,
    restarts.KILLED,
    restarts.ROLLING,
    restart_crowd.SCENARIO,
    away.AWAY,
    away.SLOW,
    soak.SCENARIO,
)
