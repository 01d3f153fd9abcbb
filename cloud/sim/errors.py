"""What can go wrong while simulating.

SimulateError
├── ScenarioError     the file with tasks and actuators, or the tariff, breaks its contract
├── NothingToReplay   no such month, or the model has seen it
├── NetError          no SUMO net, no such traffic light, or one that no board can drive
├── ControllerError   no such controller, or it does not go with this map
└── PlantError        the traffic simulation is not installed, or it failed

Errors of cloud.train, cloud.evaluate and export pass through with their own words.
"""

from __future__ import annotations

from wayside.errors import WaysideError


class SimulateError(WaysideError):
    """A simulation failed; the message says what happened, whose fault it is, and what to do next."""


class ScenarioError(SimulateError, ValueError):
    """A file that a person wrote breaks its contract."""


class NothingToReplay(SimulateError, ValueError):  # noqa: N818  (what happened)
    """There is no such month in the data, or the model has seen it."""


class NetError(SimulateError, ValueError):
    """It is no SUMO net, has no such traffic light, or one that no board can drive."""


class ControllerError(SimulateError, ValueError):
    """There is no such controller, or the map has nothing that it could drive."""


class PlantError(SimulateError):
    """The traffic simulation is not installed here, or it failed."""
