"""Judge whether a history of a store of registers is linearizable.

A history is a list of Op. Each key is a register of its own, so each is
judged by itself. The search is that of Wing and Gong with Lowe's memory of
configurations: take one operation after the other that no remaining one
precedes, as long as the register allows it. Values are unique (each is
written by one operation at most), which makes the search short:

 - a read, or a refused compare-and-set, that the register allows now can be
   taken now: it changes nothing, and waiting gains nothing;
 - a value never comes back: while somebody is still to see it, nothing may
   replace it;
 - a value that nobody saw is as good as any other that nobody saw;
 - an operation of unknown outcome has no end and may be left out; it is
   tried only when it allows something that is not allowed without it.
"""
import math
from collections import Counter, defaultdict

OK = "ok"            # it happened, and this is its result
REFUSED = "refused"  # a condition was judged and did not hold
FAILED = "failed"    # it did not happen, and says nothing
UNKNOWN = "unknown"  # it may have happened at any time after its start

ABSENT = None


class Op:
    """One operation. put, cas: @value is written; get: @value was read;
    delete has none. cas: @expect is the value that must stand, ABSENT for
    If-None-Match: *. A refused cas may know what stood there: @seen."""
    __slots__ = ("client", "kind", "key", "value", "expect", "seen", "start",
                 "end", "outcome", "note")

    def __init__(self, client, kind, key, value=ABSENT, start=0.0, end=None,
                 outcome=OK, expect=ABSENT, seen=(), note=""):
        self.client = client
        self.kind = kind
        self.key = key
        self.value = value
        self.expect = expect
        self.seen = seen  # () when nothing is known of it
        self.start = start
        self.end = math.inf if end is None else end
        self.outcome = outcome
        self.note = note

    def copy(self, **changes):
        out = Op(*(getattr(self, name) for name in (
            "client", "kind", "key", "value", "start", "end", "outcome",
            "expect", "seen", "note")))
        for name, value in changes.items():
            setattr(out, name, value)
        return out

    def __repr__(self):
        what = {"put": f"put {self.value!r}",
                "get": f"get -> {self.value!r}",
                "delete": "delete",
                "cas": f"cas {self.expect!r} -> {self.value!r}",
                }[self.kind]
        end = "..." if math.isinf(self.end) else f"{self.end:.6f}"
        note = f" ({self.note})" if self.note else ""
        return (f"[{self.start:.6f} {end}] client {self.client} "
                f"{self.key}: {what}: {self.outcome}{note}")


class Violation:
    """Why one key's history has no order: @ops is what stands around."""

    def __init__(self, key, why, ops=()):
        self.key = key
        self.why = why
        self.ops = list(ops)

    def __str__(self):
        return "\n  ".join([f"{self.key}: {self.why}"]
                           + [repr(op) for op in self.ops])


class Undecided(Exception):
    """The search went on for longer than it may."""


def check(history, limit=2_000_000):
    """The violations of @history, one for each key that has any. Raises
    Undecided after @limit configurations of one key."""
    keys = defaultdict(list)
    for op in history:
        keys[op.key].append(op)
    out = []
    for key in sorted(keys):
        violation = check_key(keys[key], limit)
        if violation:
            out.append(violation)
    return out


def check_key(ops, limit=2_000_000):
    """The Violation of one key's operations, or None."""
    plain = _plain_violation(ops)
    return plain or _Search(ops).run(limit)


def _plain_violation(ops):
    """What needs no search, for the sake of a clear message."""
    writes = {}
    for op in ops:
        if op.kind not in ("put", "cas"):
            continue
        assert op.value is not ABSENT, f"a write of nothing: {op}"
        assert op.value not in writes, f"values must be unique: {op}"
        writes[op.value] = op
    for op in ops:
        for value in _observed(op):
            if value is ABSENT:
                continue
            write = writes.get(value)
            if write is None:
                return Violation(op.key, "saw a value that nobody wrote",
                                 [op])
            if write.outcome in (FAILED, REFUSED):
                return Violation(
                    op.key, "saw the value of a write that did not happen",
                    [write, op])
            if write.start > op.end:
                return Violation(
                    op.key, "saw a value before its write began", [write, op])
    return None


def _observed(op):
    """Values that @op tells to have stood there."""
    if op.kind == "get" and op.outcome == OK:
        return (op.value,)
    if op.kind == "cas" and op.outcome == OK:
        return (op.expect,)
    if op.kind == "cas" and op.outcome == REFUSED and op.seen != ():
        return (op.seen,)
    return ()


# What an operation asks of the register and does to it, as numbers: it wants
# @need there, or anything but @avoid, and leaves @leave. 0 is no value, JUNK
# any value that nobody saw.
ANY = -1
JUNK = -2


class _Search:
    def __init__(self, ops):
        ops = [op for op in ops if op.outcome != FAILED and not (
            op.outcome == UNKNOWN and op.kind == "get")]
        self.key = ops[0].key if ops else None
        self.known = sorted((op for op in ops if op.outcome != UNKNOWN),
                            key=lambda op: (op.start, op.end))
        self.maybe = sorted((op for op in ops if op.outcome == UNKNOWN),
                            key=lambda op: op.start)
        self.start = [op.start for op in self.known]
        self.end = [op.end for op in self.known]
        self._number()
        self._index()

    def _number(self):
        """Give each value that matters a number."""
        mentioned = {ABSENT}
        for op in self.known + self.maybe:
            if op.kind == "get":
                mentioned.add(op.value)
            elif op.kind == "cas":
                mentioned.add(op.expect)
                if op.seen != ():
                    mentioned.add(op.seen)
        self.names = [ABSENT] + sorted((v for v in mentioned
                                        if v is not ABSENT), key=repr)
        number = {v: i for i, v in enumerate(self.names)}

        def meaning(op):
            if op.kind == "get":
                return number[op.value], ANY, ANY
            if op.kind == "delete":
                return ANY, ANY, 0
            leave = number.get(op.value, JUNK)
            if op.kind == "put":
                return ANY, ANY, leave
            if op.outcome != REFUSED:
                return number[op.expect], ANY, leave
            if op.seen != ():
                return number[op.seen], ANY, ANY
            return ANY, number[op.expect], ANY

        self.means = [meaning(op) for op in self.known]
        self.maybe_means = [meaning(op) for op in self.maybe]

    def _index(self):
        """Who is to see each value, and which unknown ones are alike."""
        self.watchers = defaultdict(list)
        for i, (need, _, _) in enumerate(self.means):
            if need > 0:
                self.watchers[need].append(i)
        # Values that lose no meaning once their watchers are served.
        self.lasting = {avoid for _, avoid, _ in self.means if avoid != ANY}
        self.maybe_needs = {need for need, _, _ in self.maybe_means
                            if need != ANY}
        self.lasting |= self.maybe_needs
        # Of unknown ones that are alike the first goes first.
        last = {}
        self.maybe_before = []
        for j, (need, _, leave) in enumerate(self.maybe_means):
            alike = (need, leave)
            self.maybe_before.append(
                last.get(alike) if leave in (JUNK, 0) else None)
            last[alike] = j

    def run(self, limit):
        total = len(self.known)
        seen = set()
        stack = [(0, 0, 0, 0)]  # base, taken after it, unknown taken, value
        best, best_at = -1, None
        while stack:
            base, mask, used, value = stack.pop()
            base, mask, value, options = self._settle(base, mask, value)
            if base == total:
                return None
            config = (base, mask, used, value)
            if config in seen:
                continue
            seen.add(config)
            if len(seen) > limit:
                raise Undecided(f"{self.key}: no end after {limit} "
                                f"configurations of {total} operations")
            done = base + mask.bit_count()
            if done > best:
                best, best_at = done, (base, mask, value, options)
            stack.extend(reversed(
                self._moves(base, mask, used, value, options)))
        return self._explain(*best_at)

    def _candidates(self, base, mask):
        """Operations that no remaining one precedes."""
        out = []
        first_end = math.inf
        start, end = self.start, self.end
        rest = mask
        for i in range(base, len(start)):
            if start[i] > first_end:
                break
            if not rest & 1:
                out.append(i)
                if end[i] < first_end:
                    first_end = end[i]
            rest >>= 1
        return out

    def _settle(self, base, mask, value):
        """Take all that changes nothing and is allowed."""
        while True:
            options = self._candidates(base, mask)
            moved = False
            for i in options:
                need, avoid, leave = self.means[i]
                if leave == ANY and need in (ANY, value) and (
                        avoid == ANY or avoid != value):
                    mask |= 1 << (i - base)
                    moved = True
            if not moved:
                break
            while mask & 1:
                mask >>= 1
                base += 1
        if value > 0 and value not in self.lasting and not self._watched(
                base, mask, value):
            value = JUNK
        return base, mask, value, options

    def _watched(self, base, mask, value, but=None):
        """Somebody other than @but is still to see @value."""
        for i in self.watchers.get(value, ()):
            if i >= base and not mask >> (i - base) & 1 and i != but:
                return True
        return False

    def _moves(self, base, mask, used, value, options):
        """The configurations that one more write leads to, best first."""
        out = []
        for i in sorted(options, key=lambda i: self.end[i]):
            need, _, leave = self.means[i]
            if leave == ANY or need not in (ANY, value):
                continue
            if value > 0 and self._watched(base, mask, value, but=i):
                continue
            b, m = base, mask | 1 << (i - base)
            while m & 1:
                m >>= 1
                b += 1
            out.append((b, m, used, leave))
        if self.maybe and not (value > 0 and self._watched(base, mask,
                                                           value)):
            out += self._maybe_moves(base, mask, used, value, options)
        return out

    def _maybe_moves(self, base, mask, used, value, options):
        if not options:
            return []
        latest = min(self.end[i] for i in options)
        wanted = {self.means[i][0] for i in options} - {ANY, value}
        in_the_way = any(self.means[i][1] == value != ANY for i in options)
        out = []
        for j, (need, _, leave) in enumerate(self.maybe_means):
            if self.maybe[j].start > latest:
                break
            if used >> j & 1 or need not in (ANY, value):
                continue
            before = self.maybe_before[j]
            if before is not None and not used >> before & 1:
                continue
            if leave != value and (leave in wanted or in_the_way
                                   or leave in self.maybe_needs):
                out.append((base, mask, used | 1 << j, leave))
        return out

    def _explain(self, base, mask, value, options):
        """Where the search came furthest, told for a reader."""
        stuck = min(options, key=lambda i: self.end[i])
        low = self.known[stuck]
        name = ("some value nobody saw" if value == JUNK
                else repr(self.names[value]))
        near = sorted(
            [self.known[i] for i in options]
            + [op for op in self.known[:base] if op.end >= low.start]
            + [op for op in self.known[max(0, base - 3):base]
               if op.end < low.start]
            + [op for op in self.maybe if op.start <= low.end],
            key=lambda op: op.start)
        return Violation(
            self.key, f"no order of {len(self.known)} operations fits: after "
            f"{base + mask.bit_count()} of them the key holds {name}, and "
            f"this one cannot follow: {low}; around it", near[-40:])


def shrink(ops, limit=200_000):
    """A smaller history of one key that is refused too, and only if this one
    should be: first no more time than needed, then what a history may lose
    without becoming wrong: reads, refused operations, and, when no refused
    one is left, a value with all who saw it."""
    def bad(some):
        try:
            return check_key(some, limit) is not None
        except Undecided:
            return False

    plain = _plain_violation(ops)
    if plain:
        return plain.ops
    ops = list(ops)
    assert bad(ops)
    moments = sorted({op.end for op in ops if op.outcome != UNKNOWN})
    low, high = 0, len(moments) - 1
    while low < high:
        middle = (low + high) // 2
        if bad(window(ops, -math.inf, moments[middle])):
            high = middle
        else:
            low = middle + 1
    until = moments[low]
    moments = [-math.inf] + sorted({op.start for op in ops
                                    if op.start <= until})
    low, high = 0, len(moments) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if bad(window(ops, moments[middle], until)):
            low = middle
        else:
            high = middle - 1
    ops = window(ops, moments[low], until)
    step = max(1, len(ops) // 2)
    while step:
        at = 0
        while at < len(ops):
            gone = set(map(id, ops[at:at + step]))
            smaller = _without(ops, gone)
            if len(smaller) < len(ops) and bad(smaller):
                ops = smaller
            else:
                at += step
        step //= 2
    return ops


def window(ops, since, until):
    """What is sure of a key's history between two moments. It is good if the
    whole is: what the key may hold at the first moment, and what goes on at
    either, is there as an operation of unknown outcome."""
    out = []
    early = []
    for op in ops:
        writes = op.kind != "get" and op.outcome in (OK, UNKNOWN)
        if op.start > until or op.outcome == FAILED:
            continue
        if op.outcome == UNKNOWN:
            out += [op] if writes else []
        elif op.end < since:
            if writes and op.kind != "delete":
                early.append(op)
        elif op.start < since:
            if writes:
                out.append(_perhaps(op))
        elif op.end <= until:
            out.append(op)
        elif writes:
            out.append(op.copy(outcome=UNKNOWN, end=math.inf))
    asked = {op.value for op in out if op.kind == "get"}
    asked |= {op.expect for op in out if op.kind == "cas"}
    asked |= {op.seen for op in out if op.seen != ()}
    early = [_perhaps(op) for op in early if op.value in asked]
    if since > -math.inf:
        early.append(Op("-", "put", ops[0].key, "(something older)",
                        -math.inf, None, UNKNOWN))
    return early + out


def _perhaps(op):
    kind = "delete" if op.kind == "delete" else "put"
    return op.copy(kind=kind, outcome=UNKNOWN, end=math.inf, expect=ABSENT)


def _without(ops, gone):
    refused = any(op.kind == "cas" and op.outcome == REFUSED
                  and id(op) not in gone for op in ops)
    lost = set()
    keep = []
    for op in ops:
        if id(op) in gone and not refused and op.kind == "put":
            lost.add(op.value)
    changed = True
    while changed:  # a compare-and-set that saw a lost value is lost too
        changed = False
        for op in ops:
            if op.kind == "cas" and op.expect in lost and (
                    op.value not in lost and op.outcome != REFUSED):
                lost.add(op.value)
                changed = True
    for op in ops:
        passive = op.kind == "get" or op.outcome in (REFUSED, FAILED)
        if passive and id(op) in gone:
            continue
        if op.kind in ("put", "cas") and op.value in lost:
            continue
        if any(v in lost for v in _observed(op)):
            continue
        keep.append(op)
    return keep


def summary(history):
    """Counts for a reader: "put ok 120, put unknown 3, ..."."""
    counts = Counter((op.kind, op.outcome) for op in history)
    return ", ".join(f"{kind} {outcome} {n}"
                     for (kind, outcome), n in sorted(counts.items()))
