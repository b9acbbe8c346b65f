"""Writes what a running Stentor is made of, as a CycloneDX document, to standard output.

It tells of what is installed beside it, so run it where `requirements.lock` was installed. Tools for development are left out.
"""

import sys
from collections.abc import Iterator
from importlib import metadata

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = "stentor"


def bill_of_materials() -> Bom:
    """Stentor, every package that it needs here, and who needs whom."""
    components = {ROOT: _component(ROOT, ComponentType.APPLICATION)}
    bom = Bom()
    bom.metadata.component = components[ROOT]
    looked_at: set[tuple[str, str]] = set()
    to_look_at = [(ROOT, "")]
    while to_look_at:
        name, extra = to_look_at.pop()
        if (name, extra) in looked_at:
            continue
        looked_at.add((name, extra))
        for needed in _requirements(name, extra):
            other = canonicalize_name(needed.name)
            if other not in components:
                components[other] = _component(other, ComponentType.LIBRARY)
                bom.components.add(components[other])
            bom.register_dependency(components[name], [components[other]])
            to_look_at += [(other, wanted) for wanted in ("", *needed.extras)]
    return bom


def _requirements(name: str, extra: str) -> Iterator[Requirement]:
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def _component(name: str, kind: ComponentType) -> Component:
    version = metadata.version(name)
    return Component(
        name=name,
        version=version,
        type=kind,
        bom_ref=name,
        licenses=[LicenseFactory().make_from_string(licence) for licence in _licences(name)],
        purl=PackageURL("pypi", name=name, version=version) if kind is ComponentType.LIBRARY else None,
    )


def _licences(name: str) -> list[str]:
    about = metadata.metadata(name)
    for field in ("License-Expression", "License"):
        # Older packages put a whole text where a name belongs; its first line is the licence's name.
        if lines := "".join(about.get_all(field) or ()).splitlines():
            return lines[:1]
    classifiers = about.get_all("Classifier") or []
    return [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]


if __name__ == "__main__":
    sys.stdout.write(JsonV1Dot6(bill_of_materials()).output_as_string(indent=2) + "\n")
