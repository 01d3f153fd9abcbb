"""A :class:`TufRepository` that was initialized with fresh keys, and a way to publish bundles into it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.simulators.exported_bundle import exported
from tests.simulators.tuf_repository import TufRepository
from wayside.contracts.node_config import ModelConfig
from wayside.contracts.passport import Passport
from wayside.contracts.sync import Desired
from wayside.contracts.task_config import Datastream, Offer, SiteConfig, TaskOffer
from wayside.edge.update.trial import runtimes_of
from wayside.edge.update.updater import Updater
from wayside.export import release
from wayside.export.bundle import GOLDEN_OUTPUTS, files_of, npy, pack
from wayside.export.keys import make_keys


class SignedHub:
    def __init__(self, folder: Path, repository: TufRepository) -> None:
        self.keys, self.repository = folder / "keys", repository
        self.hub = release.Hub(repository.url, repository.token)
        make_keys(self.keys)
        self.root_file = release.initialize(self.keys, self.hub)
        self.root = self.root_file.read_bytes()

    def publish(self, content: bytes, version: str = "1.0.0") -> Desired:
        path = self.keys.parent / "next.bundle"
        path.write_bytes(content)
        published = release.publish(path, self.keys, self.hub)
        return Desired(bundle=published.bundle, version=published.version, target=published.target)


@contextlib.contextmanager
def signed_hub(folder: Path, repository: TufRepository | None = None) -> Iterator[SignedHub]:
    with repository or TufRepository() as serving:
        yield SignedHub(folder, serving)


def offer_of(*bundles: str, agent: str = "0.1.0", runtime: str = "onnxruntime", precision: str = "int8") -> Offer:
    """Of a traffic node with one task, on one detector, for each of ``bundles``."""
    return Offer(
        agent=agent,
        runtime=runtime,
        precision=precision,
        datastreams=(Datastream(name="det/1", unit="{veh}", aggregate="sum"),),
        tasks=tuple(
            TaskOffer(name=f"task-{i}", bundle=b, sites=(SiteConfig(output="det/1"),)) for i, b in enumerate(bundles)
        ),
    )


def node_updater(
    state_dir: Path,
    root: Path,
    url: str,
    bundles: tuple[str, ...] = ("traffic-flow",),
    agent: str = "0.1.0",
    **config: Any,
) -> Updater:
    """The updater of a traffic node; called again, that of the node after a restart."""
    model = ModelConfig(**config)
    offer = offer_of(*bundles, agent=agent, runtime=runtimes_of(model)[0], precision=model.precision)
    return Updater(state_dir, model, offer, root, url)


def bundle(
    version: str = "1.0.0", *, golden_shift: float = 0.0, files: dict[str, bytes] | None = None, **news: Any
) -> bytes:
    """The exported bundle under another version, perhaps with wrong golden outputs, other files or passport fields."""
    work = exported()
    contents = files_of(work.trained, work.parity)
    passport: Passport = msgspec.structs.replace(work.passport, version=version, **news)
    if golden_shift:
        outputs = work.parity.golden_outputs.copy()
        outputs[3] += np.float32(golden_shift)
        contents[GOLDEN_OUTPUTS] = npy(outputs)
        golden = msgspec.structs.replace(
            passport.golden, outputs_sha256=hashlib.sha256(contents[GOLDEN_OUTPUTS]).hexdigest()
        )
        passport = msgspec.structs.replace(passport, golden=golden)
    if files:
        contents |= files
        variants = tuple(
            msgspec.structs.replace(v, sha256=hashlib.sha256(contents[v.file]).hexdigest(), bytes=len(contents[v.file]))
            for v in passport.variants
        )
        passport = msgspec.structs.replace(passport, variants=variants)
    return pack(passport, contents)
