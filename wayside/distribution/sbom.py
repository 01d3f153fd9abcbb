"""What lies in a thing that is shipped: a CycloneDX document, held against its schema."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import uuid
from collections.abc import Iterable
from email import message_from_string
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from wayside.distribution.archives import DistributionError


def python_parts(folder: Path) -> list[Component]:
    """The Python distributions that are unpacked in ``folder``."""
    return [_python_part(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.dist-info/METADATA"))]


def required_parts(metadata: str) -> list[Component]:
    """What a wheel's metadata ask for, without versions: an installer chooses them."""
    rows = message_from_string(metadata).get_all("Requires-Dist") or []
    names = {re.split(r"[^A-Za-z0-9._-]", row, maxsplit=1)[0].lower() for row in rows} - {"wayside"}
    return [
        Component(name=name, type=ComponentType.LIBRARY, purl=PackageURL("pypi", name=name), bom_ref=f"pypi:{name}")
        for name in sorted(names)
    ]


def debian_parts(status: str) -> list[Component]:
    """The packages that dpkg's ``status`` lists as installed."""
    parts = []
    for block in status.split("\n\n"):
        fields = message_from_string(block)
        if "installed" in (fields["Status"] or "").split():
            name, version, machine = fields["Package"], fields["Version"], fields["Architecture"]
            purl = PackageURL("deb", "debian", name, version, {"arch": machine})
            part = Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl))
            parts.append(part)
    return parts


def write_sbom(shipped: Path, version: str, epoch: int, parts: Iterable[Component]) -> Path:
    """Write ``shipped``.cdx.json beside it.

    Raises:
        DistributionError: what would be written is no valid CycloneDX 1.6.
    """
    digest = hashlib.sha256(shipped.read_bytes()).hexdigest()
    bom = Bom(serial_number=uuid.UUID(digest[:32]), components=parts)
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    bom.metadata.component = Component(
        name=shipped.name,
        version=version,
        type=ComponentType.CONTAINER if shipped.name.endswith(".oci.tar") else ComponentType.FILE,
        bom_ref="shipped",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    text = json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise DistributionError(f"the parts of {shipped.name} cannot be described: {wrong}")
    path = shipped.with_name(f"{shipped.name}.cdx.json")
    path.write_text(text, encoding="utf-8")
    return path


def _python_part(metadata: str) -> Component:
    fields = message_from_string(metadata)
    name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
    purl = PackageURL("pypi", name=name, version=fields["Version"])
    described = (fields["Summary"] or "").strip() or None
    return Component(
        name=name, version=fields["Version"], type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl),
        description=described,
    )  # fmt: skip
