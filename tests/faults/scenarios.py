"""All scenarios, in the order in which they run."""

from __future__ import annotations

from typing import Final

from faults import (
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
    slow_reader,
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
)
