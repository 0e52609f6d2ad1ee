# SPDX-License-Identifier: Apache-2.0
"""A client of Nearcall over pipes, written from runtime/PROTOCOL.md and nothing else: the proof that the page suffices.

One thread: whoever waits for something takes what comes meanwhile. Requests and replies are bytes here; the caller
brings the class of the envelope (idl/nearcall/envelope.proto).
"""
import array
import collections
import os
import select
import socket
import stat
import struct
import time

PIPE_BIT = 2  # of the set of transports
MAX_FRAME = 16380
WINDOW = 65536  # of elements that the server sends
ELEMENT_COST = 32  # of credit, beside an element's size

CLIENT_HELLO = struct.Struct('<4sHHIIQIII28x')
SERVER_HELLO = struct.Struct('<4sHHIIQIIIIBBHI16x4Q256s')
ACKNOWLEDGEMENT = struct.Struct('<4sI8x')
CONTROL = struct.Struct('<B7xQ')
HEADER = struct.Struct('<BBBBIQQQIBBHQII')
Header = collections.namedtuple('Header', 'version kind flags priority payload_size sequence call_id method_id'
                                          ' source_id status fd_count zero time_left_ns message_size envelope_size')
LAYOUT = SERVER_HELLO.size + (ACKNOWLEDGEMENT.size << 16) + (CONTROL.size << 24)

REQUEST, REPLY, MESSAGE, HALF_CLOSE, CREDIT = 1, 2, 3, 4, 5
FIRST, LAST, ENVELOPE, ONE_WAY, ELEMENTS, ABORTED, END, PACKED = (1 << bit for bit in range(8))
ALLOWED_FLAGS = {REPLY: FIRST | LAST | ENVELOPE | ABORTED, MESSAGE: FIRST | LAST | ENVELOPE | ABORTED | PACKED,
                 CREDIT: FIRST | LAST}  # in what a callee sends
CANCEL, GO_AWAY, PING, PONG, RING = 1, 2, 3, 4, 5
RING_AFTER = 0.01  # seconds

OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 0, 1, 2, 4, 12, 13, 14


class RpcError(Exception):
    def __init__(self, code, text):
        super().__init__(f'status {code}: {text}')
        self.code, self.text = code, text


class Violation(Exception):
    """The peer broke the protocol."""


def demand(holds, text):
    if not holds:
        raise Violation(text)


def method_number(name):
    """FNV-1a of `package.Service/Method`."""
    number = 0xcbf29ce484222325
    for byte in name.encode():
        number = (number ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return number


# ---- rendezvous ----

def sockets_of(address):
    """The paths at which a server of this name may listen."""
    if address.startswith('/'):
        return [address]
    uid, given, runtime = os.geteuid(), os.environ.get('NEARCALL_DIR'), os.environ.get('XDG_RUNTIME_DIR')
    fallbacks = ([f'{runtime}/nearcall'] if runtime else []) + ['/run/nearcall', f'/tmp/nearcall-{uid}']
    found = []
    for place in [given] if given else fallbacks:
        if os.path.lexists(place):
            status = os.lstat(place)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (uid, 0) or status.st_mode & 0o022:
                raise RpcError(7, f'{place} is not a directory that only this user or root can write')
            found.append(f'{place}/{address}')
    return found


def connect(paths, timeout):
    for path in paths:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        peer.settimeout(timeout)
        try:
            peer.connect(path)
            return peer
        except (FileNotFoundError, ConnectionRefusedError):
            peer.close()
    raise RpcError(UNAVAILABLE, f'nobody listens at {paths}')


def credentials(ancillary):
    """The user that sent a message, as the kernel says."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return struct.unpack('iII', data)[1]
    return -1


def shake_hands(peer):
    """What the server says of itself, and the two descriptors that it passes."""
    peer.sendall(CLIENT_HELLO.pack(b'NCch', 1, 0, LAYOUT, 1 << PIPE_BIT, 0, 0xffffffff, 0, WINDOW))
    first, ancillary, _, _ = peer.recvmsg(1, socket.CMSG_SPACE(12), socket.MSG_PEEK)
    if not first:
        raise ConnectionResetError('the server hung up without a hello')
    if credentials(ancillary) not in (os.geteuid(), 0):
        raise RpcError(7, f'the server runs as user {credentials(ancillary)}')
    hello, ancillary, flags, _ = peer.recvmsg(512, socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4 * 4))
    passed = array.array('i')
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            passed.frombytes(data[:len(data) // 4 * 4])
    try:
        magic, major, minor = struct.unpack_from('<4sHH', hello)
        demand(magic == b'NCsh' and major == 1, f'a hello {magic!r} of version {major}.{minor}')
        demand(len(hello) == SERVER_HELLO.size and not flags & socket.MSG_CTRUNC, f'a hello of {len(hello)} B')
        (_, _, _, layout, status, _, _, slots, server, source, transport, descriptors, text_size, window, frame, *_,
         text) = SERVER_HELLO.unpack(hello)
        if status != 0:
            raise RpcError(status, text[:text_size].decode(errors='replace'))
        demand(layout == LAYOUT, f'layout {layout:#x}')
        demand(transport == PIPE_BIT and descriptors == len(passed) == 2, f'transport {transport}, {len(passed)} fds')
        demand(frame == MAX_FRAME, f'frames of {frame} B')
        pipes = []
        for descriptor in passed:
            link = f'/proc/self/fd/{descriptor}'
            demand(os.readlink(link).startswith('pipe:['), f'{os.readlink(link)} is no pipe')
            pipes.append(os.open(link, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    finally:
        for descriptor in passed:
            os.close(descriptor)
    peer.sendall(ACKNOWLEDGEMENT.pack(b'NCak', 0))
    return slots, server, source, window, pipes


# ---- calls ----

class Call:
    """One call, unary or with streams. `code` is None until it has ended."""

    def __init__(self, client, method, flags, metadata, timeout, lane):
        self.client, self.method, self.flags, self.lane = client, method_number(method), flags, lane
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.code, self.text, self.reply, self.exec_state = None, '', None, None
        self.initial, self.trailing = None, []
        self.elements = collections.deque()
        self.credit, self.granted, self.used = client.window, WINDOW, 0
        self.half_closed = bool(flags & END)
        self.id = client.begin(self)
        self.envelope = client.envelope_of(metadata)

    def send(self, kind, flags, payload=b'', envelope=b''):
        """One message, in as many frames as it takes. False if the call ended meanwhile."""
        message, offset, left = envelope + payload, 0, 0
        if envelope:
            flags |= ENVELOPE
        if kind == REQUEST and self.deadline is not None:
            left = max(1, int((self.deadline - time.monotonic()) * 1e9))
        while True:
            if not self.client.wait(lambda: not self.client.out, self):
                if offset:  # of the message that nobody wants any more
                    self.client.frame(self, kind, flags | LAST | ABORTED, b'', len(message), len(envelope), left)
                elif kind == REQUEST:
                    self.client.calls.pop(self.id & 0xffff, None)  # no reply will come
                return False
            part = message[offset:offset + MAX_FRAME - HEADER.size]
            place = (0 if offset else FIRST) | (LAST if offset + len(part) == len(message) else 0)
            self.client.frame(self, kind, flags | place, part, len(message), len(envelope), left)
            offset += len(part)
            if place & LAST:
                return True

    def write(self, element, last=False):
        """False if the call has ended, and reading tells no more."""
        if not self.client.wait(lambda: self.credit > 0, self):
            return False
        self.credit -= len(element) + ELEMENT_COST
        self.half_closed = last
        return self.send(MESSAGE, END if last else 0, element)

    def writes_done(self):
        if not self.half_closed:
            self.half_closed = True
            self.send(HALF_CLOSE, 0)

    def read(self):
        """The next element, or None after the last one."""
        self.client.wait(lambda: self.elements, self)
        if not self.elements:
            return None
        element = self.elements.popleft()
        self.used += len(element) + ELEMENT_COST
        if self.used >= WINDOW // 2 and self.code is None:
            self.client.frame(self, CREDIT, FIRST | LAST, b'', self.used, 0, 0)
            self.granted, self.used = self.granted + self.used, 0
        return element

    def finish(self):
        """The reply's bytes, or RpcError. Elements that were not read are dropped."""
        while self.code is None:
            self.read()
        if self.code != OK:
            raise RpcError(self.code, self.text)
        return self.reply

    def cancel(self, code=CANCELLED, text='cancelled'):
        if self.code is None:
            self.code, self.text = code, text
            self.elements.clear()
            self.client.tell(CANCEL, self.id)


class Client:
    def __init__(self, address, envelope, timeout=10):
        self.envelope, end, self.peer = envelope, time.monotonic() + timeout, None
        while not self.peer:
            try:
                self.peer = connect(sockets_of(address.removeprefix('pipe:')), timeout)
                self.slots, self.server, self.source, self.window, pipes = shake_hands(self.peer)
                self.requests, self.replies = pipes
            except (ConnectionResetError, BrokenPipeError, BlockingIOError) as turned_away:  # for a moment
                self.peer = None
                if time.monotonic() > end:
                    raise RpcError(UNAVAILABLE, f'{address}: {turned_away}') from None
                time.sleep(0.02)
            except TimeoutError:
                raise RpcError(DEADLINE_EXCEEDED, f'no answer from {address}') from None
        self.peer.setblocking(False)
        self.out, self.incoming = bytearray(), bytearray()
        self.sent, self.received = [0] * 4, [0] * 4  # sequence numbers by lane
        self.parts = [None] * 4  # by lane: the first header and the bytes of the message that is in parts
        self.calls, self.count, self.going_away, self.ended = {}, 0, False, None

    def close(self):
        self.peer.close()
        for pipe in (self.requests, self.replies):
            os.close(pipe)

    def stream(self, method, elements, metadata=(), timeout=None, request=None, lane=1):
        """A call with streams: of elements to the server unless there is a request, from it if `elements`."""
        call = Call(self, method, (0 if request is None else END) | (ELEMENTS if elements else 0), metadata, timeout,
                    lane)
        call.send(REQUEST, call.flags, request or b'', call.envelope)
        return call

    def unary(self, method, request, metadata=(), timeout=None, lane=1):
        call = self.stream(method, False, metadata, timeout, request, lane)
        call.finish()
        return call

    def one_way(self, method, request, metadata=(), timeout=None, lane=1, started=False):
        """A call without a reply. Returns when its request has left, or when its handler has started."""
        call = Call(self, method, END | ONE_WAY, metadata, timeout, lane)
        call.send(REQUEST, call.flags, request, call.envelope)
        if started:
            call.finish()
        else:
            self.wait(lambda: not self.out)
        return call

    # ---- what calls use ----

    def begin(self, call):
        """An id, once there is a slot."""
        self.wait(lambda: len(self.calls) < self.slots)
        if self.going_away:
            raise RpcError(UNAVAILABLE, 'the server is going away')
        slot = next(slot for slot in range(self.slots) if slot not in self.calls)
        self.count += 1
        self.calls[slot] = call
        return self.count << 16 | slot

    def envelope_of(self, metadata):
        if not metadata:
            return b''
        envelope = self.envelope()
        for key, value in metadata:
            envelope.metadata.add(key=key.encode(), value=value)
        return envelope.SerializeToString()

    def frame(self, call, kind, flags, payload, message_size, envelope_size, time_left):
        self.sent[call.lane] += 1
        header = HEADER.pack(1, kind, flags, call.lane, len(payload), self.sent[call.lane], call.id, call.method,
                             self.source, 0, 0, 0, time_left, message_size, envelope_size)
        self.out += struct.pack('<I', len(header) + len(payload)) + header + payload
        self.flush()

    def flush(self):
        try:
            del self.out[:os.write(self.requests, self.out)]
        except BlockingIOError:
            pass

    def tell(self, kind, number):
        try:
            self.peer.send(CONTROL.pack(kind, number))
        except OSError:  # it does not read, which costs it this message; or it has hung up, which is seen elsewhere
            pass

    def wait(self, ready, call=None):
        """Takes what comes until something is ready. False if the call ends first, be it by its deadline."""
        ring_at, pause = time.monotonic() + RING_AFTER, RING_AFTER
        while True:
            now = time.monotonic()
            if call and call.code is None and call.deadline is not None and now >= call.deadline:
                call.cancel(DEADLINE_EXCEEDED, 'the deadline was reached')
            if call and call.code is not None:
                return False
            if self.ended:
                raise self.ended
            if ready():
                return True
            if now >= ring_at:  # the thread that reads may be in a handler
                self.tell(RING, 0)
                pause *= 2
                ring_at = now + pause
            self.pump(min(ring_at, call.deadline if call and call.deadline is not None else ring_at) - now)

    # ---- what comes ----

    def pump(self, timeout):
        poll = select.poll()
        poll.register(self.peer, select.POLLIN)
        poll.register(self.replies, select.POLLIN)
        if self.out:
            poll.register(self.requests, select.POLLOUT)
        poll.poll(max(timeout, 0) * 1000)
        try:
            if self.out:
                self.flush()
            hung_up = not self.take_control()
            self.take_frames()  # what was sent before the end too
            if hung_up:
                self.end(UNAVAILABLE, 'the server hung up')
            elif self.going_away and not self.calls:
                self.end(UNAVAILABLE, 'the server is going away')
        except Violation as violation:
            self.end(INTERNAL, str(violation))

    def end(self, code, text):
        self.ended = RpcError(code, text)
        for call in self.calls.values():
            if call.code is None:
                call.code, call.text = code, text
        self.calls.clear()

    def take_control(self):
        """False if the server has hung up."""
        while True:
            try:
                message = self.peer.recv(CONTROL.size + 1)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                return False
            if not message:
                return False
            demand(len(message) == CONTROL.size, f'a control message of {len(message)} B')
            kind, number = CONTROL.unpack(message)
            demand(CANCEL <= kind <= RING, f'a control message of kind {kind}')
            if kind == PING:
                self.tell(PONG, number)
            self.going_away |= kind == GO_AWAY

    def take_frames(self):
        try:
            while True:
                part = os.read(self.replies, 2 * MAX_FRAME)
                demand(part, 'the end of a pipe')
                self.incoming += part
        except BlockingIOError:
            pass
        while len(self.incoming) >= 4:
            size, = struct.unpack_from('<I', self.incoming)
            demand(HEADER.size <= size <= MAX_FRAME, f'a frame of {size} B')
            if len(self.incoming) < 4 + size:
                break
            frame = bytes(self.incoming[4:4 + size])
            del self.incoming[:4 + size]
            self.take_frame(Header._make(HEADER.unpack_from(frame)), frame[HEADER.size:])

    def take_frame(self, header, payload):
        lane, flags = header.priority, header.flags
        demand(header.version == 1 and header.kind in ALLOWED_FLAGS and lane <= 3, f'no such frame: {header}')
        demand(not flags & ~ALLOWED_FLAGS[header.kind] and header.status <= 16, f'flags or status: {header}')
        demand(header.status == 0 or header.kind == REPLY, f'a status: {header}')
        demand(header.fd_count == header.zero == header.time_left_ns == 0, f'not zero: {header}')
        demand(header.source_id == self.server, f'of another source than {self.server}: {header}')
        demand(header.payload_size == len(payload), f'{len(payload)} B behind {header}')
        demand(header.envelope_size <= min(header.message_size, 131072), f'size of envelope: {header}')
        demand(bool(header.envelope_size) == bool(flags & ENVELOPE), f'with an envelope or not: {header}')
        self.received[lane] += 1
        demand(header.sequence == self.received[lane], f'not {self.received[lane]}, the next of the lane: {header}')
        if header.kind == CREDIT:
            demand(flags == FIRST | LAST and not payload and header.message_size, f'credit: {header}')
            call = self.calls.get(header.call_id & 0xffff)
            if call and call.id == header.call_id:
                call.credit += header.message_size
        elif flags & FIRST and flags & LAST:
            demand(len(payload) == header.message_size, f'not whole: {header}')
            self.take_message(header, payload)
        elif flags & FIRST:
            demand(self.parts[lane] is None, f'two messages in parts: {header}')
            self.parts[lane] = header, bytearray(payload)
        else:
            demand(self.parts[lane] is not None, f'a part of nothing: {header}')
            first, message = self.parts[lane]
            demand(header._replace(flags=flags & ~(LAST | ABORTED) | FIRST, sequence=first.sequence,
                                   payload_size=first.payload_size) == first, f'{header} is no part of {first}')
            message += payload
            demand(bool(flags & LAST) == (bool(flags & ABORTED) or len(message) == header.message_size),
                   f'{len(message)} B so far: {header}')
            if flags & LAST:
                self.parts[lane] = None
                if not flags & ABORTED:
                    self.take_message(first, bytes(message))

    def take_message(self, header, message):
        slot = header.call_id & 0xffff
        call = self.calls.get(slot)
        demand(call and (call.id, call.method, call.lane) == (header.call_id, header.method_id, header.priority),
               f'of no call: {header}')
        envelope, body = self.envelope.FromString(message[:header.envelope_size]), message[header.envelope_size:]
        if call.initial is None:
            call.initial = [(entry.key.decode(), entry.value) for entry in envelope.metadata]
        else:
            demand(not envelope.metadata, f'initial metadata once more: {header}')
        if header.kind == REPLY:
            del self.calls[slot]
            if call.code is None:
                call.code, call.reply, call.exec_state = header.status, body, envelope.exec_state
                call.text = envelope.status_message.decode(errors='replace')
                call.trailing = [(entry.key.decode(), entry.value) for entry in envelope.trailing_metadata]
            return
        demand(call.flags & ELEMENTS, f'an element of a call that takes none: {header}')
        for element in unpacked(body) if header.flags & PACKED else [body]:
            demand(call.granted > 0, f'an element without credit: {header}')
            call.granted -= len(element) + ELEMENT_COST
            if call.code is None:
                call.elements.append(element)


def unpacked(message):
    while message:
        size, = struct.unpack_from('<I', message)
        demand(len(message) >= 4 + size, 'a packed message ends within an element')
        yield message[4:4 + size]
        message = message[4 + size:]
