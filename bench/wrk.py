"""A closed loop of `wrk` on an HTTP server: each connection asks again when its answer has come."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from bench.load import Figures, Target

NO_WRK = "wrk is not installed: apt-get install wrk (Debian, Ubuntu), or build github.com/wg/wrk"
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def closed_loop(target: Target, *, connections: int, seconds: int, seed: int, core: int, folder: Path) -> Figures:
    """Ask for drawn numbers with one thread on one core. Raises: RuntimeError where wrk fails."""
    script = folder / "wrk.lua"
    # As JSON writes them, these texts of ASCII are texts of Lua too.
    before, after = map(json.dumps, target.around())
    script.write_text(
        f"math.randomseed({seed})\n"
        f"local before, after = {before}, {after}\n"
        f"request = function() return before .. math.random({target.numbers}) .. after end\n",
        encoding="ascii",
    )
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    command = ["taskset", "-c", str(core), found_wrk(), *options, f"http://127.0.0.1:{target.port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - made above
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return parse(done.stdout)


def posted_loop(port: int, *, seconds: int, seed: int, core: int, folder: Path, connections: int = 64) -> Figures:
    """Upload drawn interactions, one a request and each an event of its own. Raises: RuntimeError where wrk fails."""
    script = folder / "post.lua"
    script.write_text(
        f"math.randomseed({seed})\n"
        'wrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        'local row = \'{"user_id":"user-%d","item_id":"item-%d","event_type":"click","value":1.0,\'\n'
        '  .. \'"event_id":"%d-%d"}\'\n'
        "request = function()\n"
        "  local body = string.format(row, math.random(20000), math.random(2000),"
        " math.random(2^31), math.random(2^31))\n"
        '  return wrk.format("POST", "/interactions", nil, body)\n'
        "end\n",
        encoding="ascii",
    )
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    command = ["taskset", "-c", str(core), found_wrk(), *options, f"http://127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - made above
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    figures = parse(done.stdout)
    if figures.errors:
        raise RuntimeError(f"{figures.errors} uploads were not taken")
    return figures


def found_wrk() -> str:
    """Where wrk is. Raises: SystemExit that says how to get it."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit(NO_WRK)
    return found


def parse(text: str) -> Figures:
    """What `wrk --latency` printed. Raises: ValueError for anything else."""
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.MULTILINE)
    shares = dict(re.findall(r"^\s+(\d+)%\s+(\S+) *$", text, re.MULTILINE))
    longest = re.search(r"^\s+Latency\s+\S+\s+\S+\s+(\S+)", text, re.MULTILINE)
    if rate is None or longest is None or not {"50", "90", "99"} <= shares.keys():
        raise ValueError(f"this is no output of wrk --latency: {text!r}")
    p50, p90, p99, worst = (_seconds(one) for one in (shares["50"], shares["90"], shares["99"], longest[1]))
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = sum(int(number) for found in (broken, refused) if found for number in found.groups())
    return Figures(float(rate[1]), p50, p90, p99, worst, errors)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    return float(found[1]) * _UNITS[found[2]]
