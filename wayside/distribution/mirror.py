"""Where Debian's packages come from: apt's own configuration."""

from __future__ import annotations

import shutil
import subprocess
from typing import NamedTuple


class Mirror(NamedTuple):
    uri: str
    release: str  # a codename

    @property
    def line(self) -> str:
        return f"deb {self.uri} {self.release} main"


def mirrors() -> list[Mirror]:
    """The distribution's own archives that apt here has with a component ``main``, in apt's order; none without apt."""
    if shutil.which("apt-get") is None:
        return []
    form = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)|$(CREATED_BY)"
    done = subprocess.run(["apt-get", "indextargets", "--format", form], capture_output=True, text=True, check=False)
    found = dict.fromkeys(
        Mirror(uri.rstrip("/"), release)
        for uri, release, component, origin, maker in (line.split("|") for line in done.stdout.splitlines())
        if component == "main" and maker == "Packages" and origin == "Debian"
    )
    return list(found)


def archives(release: str) -> list[Mirror]:
    """Where ``release`` and its updates can be had: as apt has it, or else where it has those of another release."""
    known = mirrors()
    own = [each for each in known if each.release.partition("-")[0] == release]
    others = (Mirror(uri, release + "".join(name.partition("-")[1:])) for uri, name in known)
    return own or list(dict.fromkeys(others))


def mirror(release: str) -> Mirror | None:
    """Where ``release`` itself can be had."""
    return next((each for each in archives(release) if each.release == release), None)
