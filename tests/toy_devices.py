"""What stands in for gamepads and SpaceMice: fakes with the packages' own signatures, and the packages themselves on
virtual hardware, worked by the same hands."""

from __future__ import annotations

import ctypes
import glob
import struct
import sys
from collections import deque
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from robot.teleop.gamepad import SETTINGS

AXES, BUTTONS = 6, 15


class FakePad:
    """pygame._sdl2.controller as it answers without a pad, with one, and after it was pulled out."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.axes, self.buttons, self.plugged, self.plugs = [0] * AXES, [0] * BUTTONS, False, 0
        self.events: list[SimpleNamespace] = []
        module: Any = ModuleType("pygame._sdl2.controller")
        hands = self

        class Controller:
            def __init__(self, index: int) -> None:
                if index or not hands.plugged:
                    raise RuntimeError("Invalid index")
                self.plug, self.open = hands.plugs, True

            def attached(self) -> bool:
                return self.open and hands.plugged and self.plug == hands.plugs

            def get_axis(self, axis: int) -> int:
                assert self.attached()
                value = hands.axes[axis]
                return value if axis < 4 else (value + 32768) // 2  # triggers: 0 released

            def get_button(self, button: int) -> bool:
                assert self.attached()
                return bool(hands.buttons[button])

            def quit(self) -> None:
                self.open = False

        module.Controller = Controller
        module.init = module.quit = lambda: None
        module.get_count = lambda: int(hands.plugged)
        module.is_controller = lambda index: index < int(hands.plugged)
        pygame: Any = ModuleType("pygame")
        pygame.CONTROLLERBUTTONDOWN = 1617
        pygame.display = SimpleNamespace(init=lambda: None, quit=lambda: None)
        pygame.event = SimpleNamespace(get=self._events, clear=lambda pump: None)
        patch.setitem(sys.modules, "pygame", pygame)
        patch.setitem(sys.modules, "pygame._sdl2", ModuleType("pygame._sdl2"))
        patch.setitem(sys.modules, "pygame._sdl2.controller", module)

    def plug(self) -> None:
        self.plugged, self.plugs = True, self.plugs + 1
        self.axes, self.buttons = [0, 0, 0, 0, -32768, -32768], [0] * BUTTONS

    def unplug(self) -> None:
        self.plugged = False

    def axis(self, axis: int, value: int) -> None:
        """Raw, -32768..32767; triggers rest at -32768."""
        self.axes[axis] = value

    def button(self, button: int, down: bool) -> None:
        if down and not self.buttons[button]:
            self.tap(button)
        self.buttons[button] = down

    def tap(self, button: int) -> None:
        """Down and up again between two readings."""
        self.events.append(SimpleNamespace(type=1617, button=button, instance_id=0))

    def _events(self, kind: int | None = None) -> list[SimpleNamespace]:
        if kind != 1617:
            raise SystemError("returned a result with an exception set")  # as pygame may
        events, self.events = self.events, []
        return events


class VirtualPad:
    """SDL's own virtual joystick, in the library that pygame brings."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        pygame = pytest.importorskip("pygame", reason="pygame is not installed")
        for name in SETTINGS:
            patch.setenv(name, "1")
        self.pygame, self.sdl = pygame, pytest.importorskip("pygame._sdl2.controller")
        found = glob.glob(str(Path(pygame.__file__).parents[1] / "pygame.libs" / "libSDL2-2*"))
        if not found:
            pytest.skip("this pygame brings no SDL of its own, so there is no virtual pad")
        self.lib = ctypes.CDLL(found[0])
        self.lib.SDL_JoystickOpen.restype = ctypes.c_void_p
        self.lib.SDL_JoystickSetVirtualAxis.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int16]
        self.lib.SDL_JoystickSetVirtualButton.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint8]
        patch.setenv("SDL_VIDEODRIVER", "dummy")
        pygame.display.init()
        self.sdl.init()
        if self.sdl.get_count():
            pytest.skip("a real joystick is plugged in")

    def plug(self) -> None:
        assert self.lib.SDL_JoystickAttachVirtual(1, AXES, BUTTONS, 0) == 0
        self.stick = self.lib.SDL_JoystickOpen(0)
        for axis in (4, 5):
            self.axis(axis, -32768)

    def unplug(self) -> None:
        assert self.lib.SDL_JoystickDetachVirtual(0) == 0

    def axis(self, axis: int, value: int) -> None:
        self.lib.SDL_JoystickSetVirtualAxis(self.stick, axis, value)

    def button(self, button: int, down: bool) -> None:
        self.lib.SDL_JoystickSetVirtualButton(self.stick, button, int(down))
        self.pygame.event.pump()  # SDL's virtual pad tells its state, not what happened

    def tap(self, button: int) -> None:
        """Down and up again between two readings."""
        self.button(button, True)
        self.button(button, False)


class Cap:
    """A SpaceNavigator's hidraw device as easyhid shows it: a kernel's queue of 64 reports that drops what is late."""

    def __init__(self, patch: pytest.MonkeyPatch, real: bool) -> None:
        if real:
            pytest.importorskip("pyspacemouse", reason="pyspacemouse (and libhidapi) is not installed")
        self.reports: deque[bytes] = deque()
        self.plugged, self.opens = True, 0
        easyhid: Any = ModuleType("easyhid")
        easyhid.HIDException = type("HIDException", (Exception,), {})
        easyhid.Enumeration = lambda: SimpleNamespace(find=lambda: [self._device(easyhid)] if self.plugged else [])
        patch.setitem(sys.modules, "easyhid", easyhid)
        if not real:
            patch.setitem(sys.modules, "pyspacemouse", self._package(easyhid))
            return
        patch.setattr("pyspacemouse.api.Enumeration", easyhid.Enumeration)
        patch.setattr("pyspacemouse.device.HIDException", easyhid.HIDException)

    def report(self, kind: int, *values: int) -> None:
        """1: x right, y towards the user, z down; 2: about them; 3: buttons. Full deflection 350."""
        if len(self.reports) < 64:
            self.reports.append(struct.pack("<B3h", kind, *values) if kind < 3 else bytes([3, *values, 0]))

    def _device(self, easyhid: Any) -> Any:
        def read(size: int = 64, timeout: int | None = None) -> bytearray:
            if not self.plugged:
                raise easyhid.HIDException("Failed to read from HID device: -1")
            return bytearray(self.reports.popleft().ljust(size, b"\0")) if self.reports else bytearray()

        def opened() -> None:
            self.opens += 1
            self.reports.clear()

        return SimpleNamespace(
            vendor_id=0x46D,
            product_id=0xC626,
            product_string="SpaceNavigator",
            manufacturer_string="3Dconnexion",
            release_number=1,
            serial_number="",
            path="/dev/hidraw9",
            open=opened,
            close=lambda: None,
            set_nonblocking=lambda on: None,
            read=read,
        )

    def _package(self, easyhid: Any) -> Any:
        """pyspacemouse 2.1 as far as it is used: one report a reading, one state that is written again and again."""
        module: Any = ModuleType("pyspacemouse")
        module.AxisConvention = SimpleNamespace(ROS="ros")

        def open(*, nonblocking: bool = True, axis_convention: str | None = None) -> Any:
            assert axis_convention == "ros" and nonblocking
            found = easyhid.Enumeration().find()
            if not found:
                raise RuntimeError("No connected or supported devices found.")
            found[0].open()
            state = SimpleNamespace(t=-1.0, x=0.0, y=0.0, z=0.0, roll=0.0, pitch=0.0, yaw=0.0, buttons=[0, 0])

            def read() -> Any:
                data = found[0].read(7)
                if data:
                    state.t += 1.0
                    if data[0] == 3:
                        state.buttons[:] = [data[1] & 1, data[1] >> 1 & 1]
                    else:
                        right, near, down = (value / 350 for value in struct.unpack("<3h", data[1:7]))
                        names = ("x", "y", "z") if data[0] == 1 else ("roll", "pitch", "yaw")
                        vars(state).update(zip(names, (-near, -right, -down), strict=True))
                return state

            return SimpleNamespace(read=read, close=lambda: None)

        module.open = open
        return module
