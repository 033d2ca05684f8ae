"""A TCP relay that behaves like a bad network.

    relay = Relay(("127.0.0.1", 9000))
    clients connect to relay.address
    relay.there.delay = 0.05        # seconds, towards the target
    relay.back.rate = 100_000       # bytes a second, from the target
    relay.cut()                     # both ways: bytes stand still
    relay.cut(there=True, back=False)
    relay.heal()
    relay.reset()                   # RST to both ends of every connection
    relay.refuse(True)              # new connections meet a RST
    relay.close()

A cut is that of a network: nobody learns of it, bytes wait, and go on after
heal(). The relay runs in a thread of its own.
"""
import asyncio
import random
import socket
import struct
import threading

PIECE = 65536
QUEUE = 16  # pieces that wait in one direction: then the sender does


class Direction:
    """How bytes of one direction fare; may be changed at any time."""

    def __init__(self):
        self.delay = 0.0
        self.jitter = 0.0
        self.rate = 0  # bytes a second; 0: no bound
        self.bytes = 0
        self.closed = False  # cut


class Relay:
    def __init__(self, target, host="127.0.0.1", seed=0):
        self.target = target
        self.there = Direction()
        self.back = Direction()
        self.rng = random.Random(seed)
        self.refusing = False
        self.accepted = 0
        self._open = set()  # stream writers
        self._loop = asyncio.new_event_loop()
        self._healed = asyncio.Event()
        self._listener = socket.create_server((host, 0), backlog=256)
        self.address = self._listener.getsockname()[:2]
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    # What tests call.
    def cut(self, there=True, back=True):
        self.there.closed = self.there.closed or there
        self.back.closed = self.back.closed or back

    def heal(self):
        self.there.closed = self.back.closed = False
        self._call(self._wake)

    def reset(self):
        """Break every connection now, as a machine that lost its memory."""
        self._call(self._break_all)

    def refuse(self, value=True):
        self.refusing = value

    def close(self):
        if self._thread.is_alive():
            self._call(self._break_all)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # The relay's own thread.
    def _call(self, function):
        done = threading.Event()

        def run():
            function()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10), "the relay hangs"

    def _wake(self):
        self._healed.set()
        self._healed = asyncio.Event()

    def _break_all(self):
        for writer in list(self._open):
            sever(writer)

    def _main(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(
            self._serve, sock=self._listener, limit=PIECE))
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(
            asyncio.gather(*tasks, return_exceptions=True))
        self._listener.close()
        self._loop.close()

    async def _serve(self, reader, writer):
        self.accepted += 1
        if self.refusing:
            return sever(writer)
        self._open.add(writer)
        up = None
        try:
            await self._passable(self.there)
            up_reader, up = await asyncio.open_connection(
                *self.target, limit=PIECE)
            self._open.add(up)
            await asyncio.gather(self._pump(reader, up, self.there),
                                 self._pump(up_reader, writer, self.back))
        except (OSError, asyncio.IncompleteReadError):
            sever(writer)
            if up:
                sever(up)
        finally:
            for end in (writer, up):
                if end:
                    self._open.discard(end)
                    end.close()

    async def _passable(self, way):
        while way.closed:
            await self._healed.wait()

    async def _pump(self, reader, writer, way):
        """Bytes of one direction, each piece not before its time."""
        queue = asyncio.Queue(QUEUE)
        feeder = asyncio.ensure_future(self._feed(reader, queue, way))
        try:
            while True:
                due, piece = await queue.get()
                wait = due - self._loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                await self._passable(way)
                if isinstance(piece, OSError):
                    raise piece
                if not piece:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                if way.rate:
                    await asyncio.sleep(len(piece) / way.rate)
                way.bytes += len(piece)
                writer.write(piece)
                await writer.drain()
        finally:
            feeder.cancel()

    async def _feed(self, reader, queue, way):
        piece = b"x"
        while piece and not isinstance(piece, OSError):
            try:
                piece = await reader.read(PIECE)
            except OSError as error:
                piece = error
            due = self._loop.time() + way.delay
            if way.jitter:
                due += self.rng.random() * way.jitter
            await queue.put((due, piece))


def sever(writer):
    """Close with a RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
    writer.transport.abort()
