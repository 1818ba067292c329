"""Is there a network, and may much go over it? NetworkManager is asked over D-Bus where it runs.

Its word only saves vain tries and the wearer's money. That the vault was reached is proven by the
vault's own signature alone (link.py), here as on machines that have no NetworkManager.
"""

import contextlib
from dataclasses import dataclass
from typing import Any, Protocol

ASK_S = 3.0
_NAME = "org.freedesktop.NetworkManager"
_CONNECTED = 50  # NM_STATE_CONNECTED_LOCAL: a vault at home needs no internet
_UNKNOWN_STATE = 0
_PORTAL = 2
_METERED, _NOT_METERED, _GUESS_METERED = 1, 2, 3
# Networks of these kinds cost by the byte unless somebody said that they don't.
_COSTLY = ("gsm", "cdma", "bluetooth", "wwan")
_KINDS = {"802-11-wireless": "Wi-Fi", "802-3-ethernet": "cable", "gsm": "mobile network"}


@dataclass(frozen=True)
class Network:
    """What is known of the way out; `up` is None where nobody can tell."""

    up: bool | None = None
    portal: bool = False  # wants a sign-in page opened first
    metered: bool = False
    kind: str = ""


class Watch(Protocol):
    """Says how the network is at this moment; costs little and never raises."""

    def look(self) -> Network: ...


class Unwatched:
    """Where nobody knows: only trying tells."""

    def look(self) -> Network:
        """Nothing is known."""
        return Network()


class NetworkManager:
    """Asks NetworkManager; while it does not answer, nothing is known."""

    def __init__(self) -> None:
        self._bus: Any = None

    def look(self) -> Network:
        """How NetworkManager sees the network now."""
        try:
            return read_properties(self._properties())
        # A bus that went away, a NetworkManager that restarts, an answer of another shape.
        except Exception:
            self.close()
            return Network()

    def close(self) -> None:
        """Leave the bus."""
        if self._bus is not None:
            with contextlib.suppress(OSError):
                self._bus.close()
            self._bus = None

    def _properties(self) -> dict[str, Any]:
        from jeepney import DBusAddress, MessageType, Properties

        if self._bus is None:
            self._bus = _open_bus()
        manager = DBusAddress("/org/freedesktop/NetworkManager", _NAME, _NAME)
        reply = self._bus.send_and_get_reply(Properties(manager).get_all(), timeout=ASK_S)
        if reply.header.message_type is not MessageType.method_return:
            raise OSError("NetworkManager does not answer")
        return {name: value for name, (_, value) in reply.body[0].items()}


def _open_bus() -> Any:
    from jeepney.bus import get_bus
    from jeepney.io.blocking import DBusConnection, prep_socket

    class Bus(DBusConnection):
        # Its first message has no time limit: a bus that is stuck would stop the uploader for good.
        def send_and_get_reply(self, message: Any, *, timeout: float | None = None) -> Any:
            return super().send_and_get_reply(message, timeout=timeout or ASK_S)

    return Bus(prep_socket(get_bus("SYSTEM"), timeout=ASK_S))


def read_properties(found: dict[str, Any]) -> Network:
    """NetworkManager's own properties as a Network."""
    state, metered = found.get("State", _UNKNOWN_STATE), found.get("Metered", 0)
    kind = found.get("PrimaryConnectionType", "")
    costly = kind in _COSTLY and metered != _NOT_METERED
    return Network(
        up=None if state == _UNKNOWN_STATE else state >= _CONNECTED,
        portal=found.get("Connectivity") == _PORTAL,
        metered=metered in (_METERED, _GUESS_METERED) or costly,
        kind=_KINDS.get(kind, kind),
    )


def find_network() -> Watch:
    """NetworkManager where jeepney is installed (the extra "device"), else Unwatched."""
    try:
        import jeepney  # noqa: F401
    except ImportError:
        return Unwatched()
    return NetworkManager()
