"""What a node asks for and its card would not have: asked of base and wheels before the first card is made."""

from __future__ import annotations

from collections.abc import Iterator

from wayside.contracts.node_config import runtimes_for
from wayside.firmware_bridge.image.base import Base
from wayside.firmware_bridge.image.files import Personality
from wayside.firmware_bridge.image.network import Network
from wayside.firmware_bridge.image.wheels import WheelSet


def unfit(who: Personality, wheels: WheelSet, base: Base) -> Iterator[str]:
    """Everything that this node asks for and its card would not have, a sentence each."""
    runtime = who.config.model.runtime
    there = [name for name in runtimes_for() if wheels.has(name)]
    if not (wheels.has(runtime) if runtime != "auto" else there):
        named = f"model.runtime is {runtime}, and" if runtime != "auto" else "no model could run:"
        mend = ", ".join(f'"{name}"' for name in there) or "one that they have"
        yield (
            f"{named} the wheels for Python {wheels.manifest.python} have none of it: "
            f'write "auto" or {mend}, or take a base with another Python'
        )
    if who.config.gpio.contacts and who.config.gpio.factory == "lgpio" and not wheels.has("lgpio") and not base.lgpio:
        yield (
            f"[gpio] needs lgpio, of which there is no wheel for Python {base.python}: take a base with Debian's "
            "python3-lgpio, or with another Python"
        )
    if not wheels.has("av") and any(camera.url is not None for camera in who.config.cameras):
        again = f"`wayside image wheels NEW --python {wheels.manifest.python} --camera` fetches it into another folder"
        yield f"a camera with a url needs PyAV, and the wheels have none: {again}"
    if who.ssh_key is not None and base.ssh_unit is None:
        yield "--ssh-key: the base image has no OpenSSH server"
    if who.network is not None and not base.cloud_init:
        yield "--network-config: the base has no cloud-init, which would read it: leave it out, or take another base"


def doubts(network: Network | None, base: Base) -> Iterator[str]:
    """What of the network's file this base may not be able to do: said, for it may have other means."""
    if network is None:
        return
    if network.wifi and not base.wpa_supplicant:
        yield "--network-config: it sets up Wi-Fi, and the base has no wpa_supplicant: the node may stay off line"
    if network.wifi and not (base.netplan or base.network_manager):
        yield "--network-config: it sets up Wi-Fi, and the base has neither netplan nor NetworkManager for that"
    if network.renderer == "NetworkManager" and not base.network_manager:
        yield "--network-config: the renderer is NetworkManager, and the base has none: leave `renderer` out"
