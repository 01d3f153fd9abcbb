"""The root of every error that ``edge`` raises; each class stands in the module that raises it.

EdgeError
├── StateDirTaken          another agent runs on this state directory
├── StorageError           the outbox cannot be opened, read or written
│   └── StorageFull        no room on the disk
├── EventLogError          the log of high-resolution events cannot be read
├── ExportError            its events cannot be written as asked
├── IdentityError          the node's key cannot be read or made
├── ClockError             the clock that the configuration names cannot be had
├── TlsError               the hub's certificate authority cannot be used
├── HubError               an exchange with the hub failed
│   ├── HubUnreachable     no answer, or not in time
│   └── HubRefused         the hub answered no
├── BundleRefused          a bundle that this node may not or cannot use
│   └── RefusedBefore      the same bytes, under the same software and configuration
├── FetchCancelled         a download that nobody wants any more
├── GoldenMismatch         a model does not give its golden outputs on this node
├── PolicyError            the table of a task or actuator does not fit its policy
├── MigrationError         a node's old file cannot be written anew
├── TaskMismatch           a model and the task that should run it do not fit
├── RuntimeLoadError       no runtime here can load the model
├── RuntimeRunError        the model failed while it ran
├── RuntimeInputError      the window has another shape or type than the model takes
├── GpioError              pins cannot be had
├── CameraError            a camera gives no pictures
│   └── CameraMissing      it cannot give any on this node
├── ModbusError            the Modbus port cannot be opened, or a register read or written
│   ├── LineSilent         a device does not answer
│   └── Refused            a device answers that it has no such register
├── SunspecError           there is no such SunSpec model or point
├── UartError              the port of a sensor cannot be had
├── EntryRefused           what a feeding system told cannot be taken
├── LineUnreadable         a line of its CSV file says nothing
├── CommandFailed          a verb cannot do what it was asked for
└── CommissionError        a walk through the sensors cannot begin or go on
    └── Stopped            the technician stopped; what was walked is kept
"""

from __future__ import annotations

from wayside.errors import WaysideError


class EdgeError(WaysideError):
    """A node-side operation failed; the message says what happened, whose fault it is, and what to do next."""
