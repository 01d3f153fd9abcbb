"""What can go wrong while simulating.

SimulateError
├── ScenarioError     the file with tasks and actuators, or the tariff, breaks its contract
├── NothingToReplay   no such month, or the model has seen it
├── MapError          no such road network, it cannot be read, or it has no traffic light
├── ControllerError   no such controller, or it does not go with this map
└── PlantError        the traffic simulation is not installed, or it failed

Errors of cloud.train, cloud.evaluate and export pass through with their own words.
"""

from __future__ import annotations


class SimulateError(Exception):
    """A simulation failed; the message says what happened, whose fault it is, and what to do next."""


class ScenarioError(SimulateError, ValueError):
    """A file that a person wrote breaks its contract."""


class NothingToReplay(SimulateError, ValueError):  # noqa: N818  (what happened)
    """There is no such month in the data, or the model has seen it."""


class MapError(SimulateError, ValueError):
    """A road network is not there, cannot be read, or has no traffic light."""


class ControllerError(SimulateError, ValueError):
    """There is no such controller, or the map has nothing that it could drive."""


class PlantError(SimulateError):
    """The traffic simulation is not installed here, or it failed."""
