"""The way home: what waits on the card goes to the vault, and is cleared by its signed receipt.

Nothing else is a success: no status, no page of a captive portal, no receipt by another key. No
state is kept but the card itself; a broken upload goes on at the part where it broke. Here is
decided what goes when, and why it waits; handin.py hands one segment in.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from firsthand.errors import Damaged, Error, Locked
from firsthand.record.card.card import Card, Waiting, card_error
from firsthand.record.card.replace import set_damaged_aside
from firsthand.record.card.salvage import salvage
from firsthand.record.clock import Clock
from firsthand.record.device import Device
from firsthand.record.home import queue
from firsthand.record.home.carried import Carried, tell
from firsthand.record.home.handin import HandIn, not_holding
from firsthand.record.home.health import Pulse
from firsthand.record.home.limits import Limits, Pace
from firsthand.record.home.link import Denied, Enough, Link, Rejected, Unreached
from firsthand.record.home.network import Network, Unwatched, Watch
from firsthand.record.wearer import asked, forget
from firsthand.record.wearer.policy import take
from firsthand.segment import Receipt

WAIT_FIRST_S, WAIT_MAX_S = 0.25, 60.0
NAP_S = 0.5  # a wait is slept in pieces, so that a request to stop is heard
LOOK_S = 2.0  # how often the network is looked at while there is none, and an empty card
# How often, while it sends, the card is looked at for records that go first.
ROUND_NS = 10 * 10**9
# How long the vault's word holds on what it wants first.
STATE_NS = 600 * 10**9
# What the vault rejected is offered again: its next version may take it.
REJECTED_NS = 6 * 3600 * 10**9
TELL_NS = 5 * 10**9


def carry_home(
    card: Card,
    device: Device,
    *,
    clock: Clock | None = None,
    chance: random.Random | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Carried], None] | None = None,
    patience_s: float | None = None,
    limits: Limits | None = None,
    network: Watch | None = None,
    link: Link | None = None,
    pulse: Pulse | None = None,
    forever: bool = False,
) -> Carried:
    """Carry until nothing is left, `stop` says so, or nothing went on for patience_s (None: ever).

    With `forever` it waits for more instead of ending. What the vault rejects is left on the card
    and named; what it refused for good, by a signed receipt, is cleared. Raises Locked if another
    carrier uses the card.
    """
    clock, limits = clock or Clock(), limits or Limits()
    with card.lock("carrier"):
        if not forever:  # beside a recorder that starts, it would take the card's lock from it
            _salvage_if_idle(card, device)
        link = link or Link(device, clock, pace=Pace(clock, limits.bytes_per_s, _raising(stop)))
        carrier = _Carrier(card, device, link, clock, limits, network or Unwatched())
        carrier.heed(stop, progress, chance or random.Random(), patience_s)
        carrier.pulse = pulse
        try:
            return carrier.run(forever)
        finally:
            link.close()


class _Stopped(Exception):
    pass


class _NotNow(Exception):
    """What is left is bulk, and may not go at this moment."""


class _Carrier:
    def __init__(
        self,
        card: Card,
        device: Device,
        link: Link,
        clock: Clock,
        limits: Limits,
        network: Watch,
    ) -> None:
        self._card, self._device, self._link = card, device, link
        self._clock, self._limits, self._network = clock, limits, network
        self._hand_in = HandIn(link, device, clock, self._went_on, self._before_part)
        self._done = Carried()
        self._failures = 0
        self._waited_s = 0.0
        self._state_ns: int | None = None  # boot clock: when the vault proved itself
        self._wanted: list[queue.Interval] = []
        self._announced: set[str] = set()
        self._enough = False  # until the vault's next word, it wants no more announcements
        self._rejected_ns: dict[str, int] = {}
        self._told: tuple[str, int] = ("?", 0)
        self._item: Waiting | None = None
        self.pulse: Pulse | None = None

    def heed(
        self,
        stop: Callable[[], bool],
        progress: Callable[[Carried], None] | None,
        chance: random.Random,
        patience_s: float | None,
    ) -> None:
        """Whom to obey and to tell, and how long to be patient."""
        self._stop, self._progress = stop, progress
        self._chance, self._patience_s = chance, patience_s

    def run(self, forever: bool) -> Carried:
        """Round after round, until a look at the card finds nothing that could be carried."""
        with contextlib.suppress(_Stopped):
            while True:
                waiting = self._look(forever)
                if waiting or self._unsettled():
                    if self._reach() and self._settle():
                        self._round(waiting)
                    continue
                if self.pulse and self.pulse.is_due() and self._reach():
                    self._beat()
                if not forever:
                    break
                self._rest(LOOK_S)
        self._look(forever)
        tell(self._device.folder, self._done)
        return self._done

    def _look(self, forever: bool) -> list[Waiting]:
        try:
            waiting = self._card.waiting()
        except OSError as error:
            failure = card_error(self._card.path, error)
            if not forever:
                raise failure from error
            self._note(waiting_for=failure.message)
            return []
        left_bytes = sum(item.listed.size_bytes for item in waiting)
        now_ns = self._clock.boot_ns()
        for name, since_ns in list(self._rejected_ns.items()):
            if now_ns - since_ns > REJECTED_NS:
                del self._rejected_ns[name]
        kept = {name: why for name, why in self._done.rejected.items() if name in self._rejected_ns}
        changes = {} if waiting else {"waiting_for": "", "wait_s": 0.0, "until_ns": 0}
        self._note(left=len(waiting), left_bytes=left_bytes, rejected=kept, **changes)
        return [item for item in waiting if item.folder.name not in kept]

    def _reach(self) -> bool:
        """Whether the vault was reached and proved to be it; else waits a little."""
        network = self._network.look()
        if network.up is False:
            self._state_ns, self._failures = None, 0  # the next network deserves a try at once
            self._wait("there is no network", LOOK_S)
            return False
        now_ns = self._clock.boot_ns()
        if self._state_ns is not None and now_ns - self._state_ns < STATE_NS:
            return True
        try:
            state = self._link.state()
        except (Denied, Rejected) as error:
            self._failed(error, WAIT_MAX_S)  # asking at once again won't change that
            return False
        except Unreached as error:
            self._failed(_portal(error) if network.portal else error)
            return False
        self._state_ns, self._wanted = now_ns, queue.wanted_of(state.get("wanted"))
        self._enough = False
        self._hand_in.sends_md5 = state.get("md5") is True
        self._heed_policy(state.get("policy"))
        self._heed_ask(state.get("ask"))
        self._beat()
        return True

    def _beat(self) -> None:
        if self.pulse:
            self.pulse.beat(self._link)

    def _unsettled(self) -> bool:
        return "forget" not in self._rejected_ns and forget.unsettled(self._card)

    def _settle(self) -> bool:
        """What the wearer wants forgotten goes before anything else; False if it has to wait."""
        if not self._unsettled():
            return True
        try:
            if forget.settle(self._card, self._device, self._link):
                self._went_on()
            return True
        except Damaged as error:
            self._failed(not_holding(error))
        except Unreached as error:
            self._failed(error)
        except Denied as error:
            self._failed(error, WAIT_MAX_S)
        except Rejected as error:
            self._rejected_ns["forget"] = self._clock.boot_ns()
            self._note(rejected=self._done.rejected | {"forget": error.message})
            return True
        return False

    def _heed_policy(self, signed: Any) -> None:
        if signed:
            try:
                take(self._device, signed)  # the recorder follows it from its next start
            except (Error, OSError) as error:
                self._note(rejected=self._done.rejected | {"policy": str(error)})

    def _heed_ask(self, signed: Any) -> None:
        if signed:
            try:
                asked.take(self._device, signed, self._clock, self._link.now_ns())
            except (Error, OSError) as error:
                self._note(rejected=self._done.rejected | {"ask": str(error)})

    def _round(self, waiting: list[Waiting]) -> None:
        """Records first, then word of what is to come, then bulk, until one of them has to wait."""
        began_ns = self._clock.boot_ns()
        bulk = queue.bulk(waiting, self._wanted)
        announced = bulk if self._not_now() else bulk[1:]
        steps = [(self._carry, item) for item in queue.records(waiting)]
        steps += [(self._announce, item) for item in announced]
        for step, item in steps:
            if not step(item):
                return
        for item in bulk:
            if not self._carry(item) or self._clock.boot_ns() - began_ns > ROUND_NS:
                return

    def _announce(self, item: Waiting) -> bool:
        """Show the vault a signed record before its bytes; it then knows that they exist."""
        if self._enough or item.folder.name in self._announced:
            return True
        with self._failing(item) as went:
            self._check_stop()
            forget.check(self._card, item)
            try:
                answer = self._hand_in.announce(item)
            except Enough:  # of announcements: bytes still go
                self._enough = True
                return True
            self._announced.add(item.folder.name)
            went.append(True)
            if answer:  # stored before: the receipt was lost on its way
                went[:] = [self._carry(item)]
        return bool(went and went[0])

    def _carry(self, item: Waiting) -> bool:
        """Hand one item in; False if the round should end."""
        if item.listed.size_bytes and (why := self._not_now()):
            self._wait(*why)
            return False
        with self._failing(item) as went:
            self._check_stop()
            if not self._holds(item):
                return True
            self._item = item
            if not self._settle():
                return False
            forget.check(self._card, item)
            answer, receipt = self._hand_in.hand_in(item)
            self._clear(item, answer, receipt)
            self._beat()
            went.append(True)
        return bool(went)

    def _holds(self, item: Waiting) -> bool:
        """Whether its bytes are still those of its record; else the vault gets a gap instead."""
        try:
            item.verify(self._device.key.public)
            return True
        except Damaged as damage:
            message = damage.message
        if self._is_forgotten(item):
            return False
        try:
            set_damaged_aside(self._card, self._device, item)
        except OSError as error:
            message += f"; {card_error(self._card.path, error).message}"
        self._note(rejected=self._done.rejected | {item.folder.name: message})
        self._rejected_ns[item.folder.name] = self._clock.boot_ns()
        return False

    @contextlib.contextmanager
    def _failing(self, item: Waiting) -> Iterator[list[bool]]:
        """What each failure means for item and round; the list given is filled if it goes on."""
        went: list[bool] = []
        try:
            yield went
        except _NotNow:
            return
        except forget.Gone:
            self._give_up()
            forget.carry_out(self._card, self._device)
            went.append(True)
        except Unreached as error:
            self._failed(error)
        except Denied as error:
            try:
                self._link.state()
            except (Denied, Rejected, Unreached):
                self._failed(error, WAIT_MAX_S)  # it is the device that is not welcome
            else:
                self._reject(item, error)
                went.append(True)
        except (Rejected, Damaged, OSError) as error:
            if self._is_forgotten(item):
                self._give_up()
            elif isinstance(error, OSError):
                self._reject(item, card_error(self._card.path, error))
            else:
                self._reject(item, error)
            went.append(True)

    def _is_forgotten(self, item: Waiting) -> bool:
        """Whether its wearer has just had it forgotten."""
        try:
            forget.check(self._card, item)
        except forget.Gone:
            return True
        except Damaged:  # its record can't be read any more
            pass
        return not self._card.holds(item)

    def _not_now(self) -> tuple[str, float, float] | None:
        """Why bulk may not go now, how long to wait, and until when; None if it may."""
        network = self._network.look()
        if network.metered and not self._limits.metered:
            return f"the network is metered{_of_kind(network)}", LOOK_S, 0.0
        now_s = self._link.now_ns() / 1e9
        opens_s = self._limits.opens_s(now_s)
        if opens_s > now_s:
            delay_s = min(opens_s - now_s, WAIT_MAX_S)
            return f"footage goes home at {self._limits.text}", delay_s, opens_s
        return None

    def _before_part(self) -> None:
        self._check_stop()
        if self._item:
            forget.check(self._card, self._item)
        if self._not_now():
            raise _NotNow

    def _check_stop(self) -> None:
        if self._stop():
            raise _Stopped

    def _clear(self, item: Waiting, answer: dict[str, Any], receipt: Receipt) -> None:
        self._card.clear(item, answer, receipt.time_ns)
        self._announced.discard(item.folder.name)
        self._went_on()
        done, size = self._done, item.record.object_size
        self._note(left=done.left - 1, left_bytes=done.left_bytes - size)
        if receipt.kind == "stored":
            self._note(stored=done.stored + 1, bytes_stored=done.bytes_stored + size)
        else:
            self._note(refused=done.refused + 1)

    def _reject(self, item: Waiting, error: Error) -> None:
        """Leave it on the card for later, and go on with the others."""
        self._give_up()
        self._rejected_ns[item.folder.name] = self._clock.boot_ns()
        self._note(rejected=self._done.rejected | {item.folder.name: error.message})

    def _give_up(self) -> None:
        with contextlib.suppress(Unreached, Denied, Rejected):
            self._hand_in.give_up()

    def _went_on(self) -> None:
        self._failures, self._waited_s = 0, 0.0
        self._note(waiting_for="", wait_s=0.0, until_ns=0)

    def _failed(self, error: Error, delay_s: float | None = None) -> None:
        """Wait longer each time, by a random share, so that devices don't come back as one."""
        self._state_ns = None
        if delay_s is None:
            delay_s = min(WAIT_MAX_S, WAIT_FIRST_S * 2 ** min(self._failures, 20))
        self._failures += 1
        self._note(retries=self._done.retries + 1)
        self._wait(error.message, delay_s * (0.5 + self._chance.random() / 2))

    def _wait(self, why: str, delay_s: float, until_s: float = 0.0) -> None:
        until_ns = int(until_s * 1e9) or self._link.now_ns() + int(delay_s * 1e9)
        self._note(waiting_for=why, wait_s=delay_s, until_ns=until_ns)
        if self._patience_s is not None and self._waited_s + delay_s > self._patience_s:
            raise _Stopped
        self._waited_s += delay_s
        self._rest(delay_s)

    def _rest(self, delay_s: float) -> None:
        while delay_s > 0:
            self._check_stop()
            self._clock.sleep(min(delay_s, NAP_S))
            delay_s -= NAP_S

    def _note(self, **changes: Any) -> None:
        changes["bytes_sent"] = self._link.sent_bytes
        changes["bytes_per_s"] = self._hand_in.bytes_per_s
        self._done = replace(self._done, told_ns=self._link.now_ns(), **changes)
        self._done = replace(self._done, estimate_s=self._estimate())
        now_ns, (why, told_ns) = self._clock.boot_ns(), self._told
        if self._done.waiting_for != why or now_ns - told_ns > TELL_NS:
            self._told = self._done.waiting_for, now_ns
            tell(self._device.folder, self._done)
        if self._progress:
            self._progress(self._done)

    def _estimate(self) -> float | None:
        """Seconds until everything is home, by the speed of late and the hours allowed."""
        done = self._done
        if not done.left:
            return 0.0
        if not done.bytes_per_s:
            return None
        now_s = self._link.now_ns() / 1e9
        begin_s = max(now_s, done.until_ns / 1e9)
        return self._limits.done_s(begin_s, done.left_bytes / done.bytes_per_s) - now_s


def _portal(error: Error) -> Unreached:
    return Unreached("the network wants a sign-in page opened first", error.hint)


def _of_kind(network: Network) -> str:
    return f" ({network.kind})" if network.kind else ""


def _raising(stop: Callable[[], bool]) -> Callable[[], None]:
    def check() -> None:
        if stop():
            raise _Stopped

    return check


def _salvage_if_idle(card: Card, device: Device) -> None:
    with contextlib.suppress(Locked):  # a recorder at work has seen to it itself
        salvage(card, device)
