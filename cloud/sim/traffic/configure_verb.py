"""``wayside sim configure``: what an intersection is told, as files, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from wayside.cloud.sim.traffic import files
from wayside.cloud.sim.traffic.configure import configure
from wayside.cloud.sim.traffic.lint import Finding, lint
from wayside.cloud.sim.traffic.nets import Net, read_net


def chosen(net: Net, tls: str | None) -> str:
    """The light ``tls``, or the only one. Raises: NetError: there is none such, or it is not clear which."""
    if tls is None and len(net.lights) == 1:
        return next(iter(net.lights))
    return net.light(tls or "").id


def configure_files(path: Path, tls: str | None, out: Path) -> tuple[list[Path], list[Finding]]:
    """Writes the files, whatever the lint finds. Raises: NetError: see :func:`.configure.configure`."""
    net = read_net(path)
    light = chosen(net, tls)
    intersection = configure(net, light)
    return [*files.write(intersection, out)], [*lint(net, intersection)]
