#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gRPC's interoperability cases by nearcall_client.py against interop_server over pipes.

interop.py SOURCES PROTOC SERVER: SOURCES is the project's root, PROTOC and SERVER are programs.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from google.protobuf import descriptor_pb2, message_factory

import nearcall_client as nearcall

SERVICE = 'grpc.testing.TestService/'
REQUEST_SIZES, REPLY_SIZES = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
LARGE_REQUEST, LARGE_REPLY = 271828, 314159

PATIENCE = 40  # seconds for a case, on the slowest machine
CASES = []


def case(function):
    CASES.append(function)
    return function


def same(got, wanted):
    if got != wanted:
        raise AssertionError(f'{got!r:.200} and not {wanted!r:.200}')


def load_messages(sources, protoc):
    """The classes of the messages, by name. Through descriptors: generated Python fits one version of the library."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([protoc, f'-I{sources}/idl', f'-I{sources}/tests/interop', f'--descriptor_set_out={out.name}',
                        'nearcall/envelope.proto', 'interop.proto'], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    return message_factory.GetMessages(files.file)


class Stub:
    def __init__(self, client, messages):
        self.client, self.messages = client, messages

    def make(self, name, **fields):
        return self.messages[f'grpc.testing.{name}'](**fields)

    def zeros(self, size):
        return self.make('Payload', body=bytes(size))

    def input(self, size):
        return self.make('StreamingInputCallRequest', payload=self.zeros(size)).SerializeToString()

    def output(self, size, *reply_sizes, **fields):
        parameters = [self.make('ResponseParameters', size=reply_size) for reply_size in reply_sizes]
        return self.make('StreamingOutputCallRequest', payload=self.zeros(size), response_parameters=parameters,
                         **fields).SerializeToString()

    def large(self, **options):
        """large_unary."""
        request = self.make('SimpleRequest', response_size=LARGE_REPLY, payload=self.zeros(LARGE_REQUEST))
        call = self.client.unary(SERVICE + 'UnaryCall', request.SerializeToString(), **options)
        same(self.messages['grpc.testing.SimpleResponse'].FromString(call.reply).payload.body, bytes(LARGE_REPLY))
        return call

    def asking_for(self, message):
        return self.make('EchoStatus', code=nearcall.UNKNOWN, message=message)

    def full_duplex(self, **options):
        return self.client.stream(SERVICE + 'FullDuplexCall', True, **options)

    def expect_reply(self, call, size):
        element = call.read()
        if element is None:
            call.finish()
            raise AssertionError('the stream ended too soon')
        same(self.messages['grpc.testing.StreamingOutputCallResponse'].FromString(element).payload.body, bytes(size))


def expect_end(call):
    same(call.read(), None)
    call.finish()


def expect_error(code, function, text=None):
    try:
        function()
    except nearcall.RpcError as error:
        same(error.code, code)
        if text is not None:
            same(error.text, text)
    else:
        raise AssertionError(f'no error, but status {code} was expected')


# ---- the cases, called as gRPC's ----

@case
def empty_unary(stub):
    same(stub.client.unary(SERVICE + 'EmptyCall', b'').reply, b'')


@case
def large_unary(stub):
    stub.large()


@case
def client_streaming(stub):
    call = stub.client.stream(SERVICE + 'StreamingInputCall', False)
    for size in REQUEST_SIZES:
        same(call.write(stub.input(size)), True)
    call.writes_done()
    reply = stub.messages['grpc.testing.StreamingInputCallResponse'].FromString(call.finish())
    same(reply.aggregated_payload_size, sum(REQUEST_SIZES))


@case
def server_streaming(stub):
    call = stub.client.stream(SERVICE + 'StreamingOutputCall', True, request=stub.output(0, *REPLY_SIZES))
    for size in REPLY_SIZES:
        stub.expect_reply(call, size)
    expect_end(call)


@case
def ping_pong(stub):
    call = stub.full_duplex()
    for request_size, reply_size in zip(REQUEST_SIZES, REPLY_SIZES):
        same(call.write(stub.output(request_size, reply_size)), True)
        stub.expect_reply(call, reply_size)
    call.writes_done()
    expect_end(call)


@case
def half_duplex(stub):
    call = stub.client.stream(SERVICE + 'HalfDuplexCall', True)
    for request_size, reply_size in zip(REQUEST_SIZES, REPLY_SIZES):
        same(call.write(stub.output(request_size, reply_size)), True)
    call.writes_done()
    for size in REPLY_SIZES:
        stub.expect_reply(call, size)
    expect_end(call)


@case
def empty_stream(stub):
    call = stub.full_duplex()
    call.writes_done()
    expect_end(call)


@case
def custom_metadata(stub):
    initial = ('x-grpc-test-echo-initial', b'test_initial_metadata_value')
    trailing = ('x-grpc-test-echo-trailing-bin', b'\xab\xab\xab')
    unary = stub.large(metadata=[initial, trailing])
    same((unary.initial, unary.trailing), ([initial], [trailing]))
    stream = stub.full_duplex(metadata=[initial, trailing])
    same(stream.write(stub.output(LARGE_REQUEST, LARGE_REPLY), last=True), True)
    stub.expect_reply(stream, LARGE_REPLY)
    same(stream.initial, [initial])
    expect_end(stream)
    same(stream.trailing, [trailing])


@case
def status_code_and_message(stub):
    status = stub.asking_for('test status message')
    request = stub.make('SimpleRequest', response_status=status).SerializeToString()
    expect_error(status.code, lambda: stub.client.unary(SERVICE + 'UnaryCall', request), status.message)
    call = stub.full_duplex()
    same(call.write(stub.output(0, response_status=status)), True)
    call.writes_done()
    same(call.read(), None)
    expect_error(status.code, call.finish, status.message)
    same(call.exec_state, 0)


@case
def special_status_message(stub):
    text = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n'
    request = stub.make('SimpleRequest', response_status=stub.asking_for(text)).SerializeToString()
    expect_error(nearcall.UNKNOWN, lambda: stub.client.unary(SERVICE + 'UnaryCall', request), text)


@case
def unimplemented_method(stub):
    expect_error(nearcall.UNIMPLEMENTED, lambda: stub.client.unary(SERVICE + 'UnimplementedCall', b''))


@case
def unimplemented_service(stub):
    method = 'grpc.testing.UnimplementedService/UnimplementedCall'
    expect_error(nearcall.UNIMPLEMENTED, lambda: stub.client.unary(method, b''))


@case
def cancel_after_begin(stub):
    call = stub.client.stream(SERVICE + 'StreamingInputCall', False)
    call.cancel()
    expect_error(nearcall.CANCELLED, call.finish)


@case
def cancel_after_first_response(stub):
    call = stub.full_duplex()
    same(call.write(stub.output(REQUEST_SIZES[0], REPLY_SIZES[0])), True)
    stub.expect_reply(call, REPLY_SIZES[0])
    call.cancel()
    expect_error(nearcall.CANCELLED, call.finish)


@case
def timeout_on_sleeping_server(stub):
    call = stub.full_duplex(timeout=0.001)
    call.write(stub.output(27182))  # false if the deadline was faster
    same(call.read(), None)
    expect_error(nearcall.DEADLINE_EXCEEDED, call.finish)


@case
def timeout_not_reached(stub):
    stub.large(timeout=60)


@case
def slow_consumer(stub):
    call = stub.client.stream(SERVICE + 'StreamingOutputCall', True, request=stub.output(0, *[1030] * 2000))
    for count in range(2000):
        stub.expect_reply(call, 1030)
        if count % 40 == 0:
            time.sleep(0.02)
    expect_end(call)


# ---- ours ----

@case
def two_streams_at_once(stub):
    """In one lane, and a unary call in another; elements larger than the windows, so that all of them wait."""
    calls = [stub.full_duplex(), stub.full_duplex()]
    for call in calls:
        same(call.write(stub.output(LARGE_REQUEST, LARGE_REPLY, LARGE_REPLY)), True)
    stub.large(lane=3)
    for _ in range(2):
        for call in reversed(calls):
            stub.expect_reply(call, LARGE_REPLY)
    for call in calls:
        call.writes_done()
        expect_end(call)


@case
def long_upload(stub):
    """Of many windows."""
    call = stub.client.stream(SERVICE + 'StreamingInputCall', False)
    for _ in range(1000):
        same(call.write(stub.input(1030)), True)
    call.writes_done()
    reply = stub.messages['grpc.testing.StreamingInputCallResponse'].FromString(call.finish())
    same(reply.aggregated_payload_size, 1000 * 1030)


@case
def no_credit(stub):
    """The handler waits for a client that does not read, and the client for credit, until its deadline."""
    call = stub.full_duplex(timeout=0.1)
    while call.write(stub.output(1000, LARGE_REPLY)):
        pass
    expect_error(nearcall.DEADLINE_EXCEEDED, call.finish)


@case
def given_up_in_parts(stub):
    """A request that is cancelled after its third frame says so in a fourth; the call after it finds all in order."""
    client, frame, before = stub.client, stub.client.frame, stub.client.sent[1]

    def frame_and_cancel(call, *fields):
        frame(call, *fields)
        if client.sent[1] == before + 3:
            call.cancel()

    client.frame = frame_and_cancel
    try:
        expect_error(nearcall.CANCELLED, stub.large)
    finally:
        client.frame = frame
    same(client.sent[1], before + 4)
    stub.large()


@case
def one_way(stub):
    """The reply is a header alone, whatever the handler answers; it frees the slot."""
    failing = stub.make('SimpleRequest', response_size=LARGE_REPLY, response_status=stub.asking_for('nobody hears'))
    call = stub.client.one_way(SERVICE + 'UnaryCall', failing.SerializeToString(), started=True)
    same((call.code, call.reply, call.initial, call.trailing), (nearcall.OK, b'', [], []))
    for _ in range(2 * stub.client.slots):
        stub.client.one_way(SERVICE + 'EmptyCall', b'')
    expect_error(nearcall.UNIMPLEMENTED,
                 lambda: stub.client.one_way(SERVICE + 'NoSuchMethod', b'', started=True))
    expect_error(nearcall.UNIMPLEMENTED,
                 lambda: stub.client.one_way(SERVICE + 'StreamingInputCall', b'', started=True))
    stub.large()


@case
def slots_come_back(stub):
    """Each call that was given up is answered, and only that frees its slot."""
    for _ in range(2 * stub.client.slots):
        stub.client.stream(SERVICE + 'StreamingInputCall', False).cancel()
    stub.large()


def check_example(sources):
    """The frame that PROTOCOL.md takes apart, in the bytes that this client makes."""
    page = (sources / 'runtime/PROTOCOL.md').read_text()
    lines = re.findall(r'^\d[08]  ((?:[0-9a-f]{2} +){8})', page, re.MULTILINE)
    written = bytes.fromhex(''.join(lines))
    flags = nearcall.FIRST | nearcall.LAST | nearcall.END
    same(nearcall.HEADER.pack(1, nearcall.REQUEST, flags, 1, 5, 3, 0x10002, nearcall.method_number('demo.Echo/Say'), 4,
                              0, 0, 0, 5000000, 5, 0), written)


def give_up(*_):
    raise AssertionError(f'not over after {PATIENCE} s')


def main(sources, protoc, server):
    messages = load_messages(sources, protoc)
    check_example(pathlib.Path(sources))
    signal.signal(signal.SIGALRM, give_up)
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        os.environ['NEARCALL_DIR'] = directory
        with subprocess.Popen([server, 'pipe:interop'], stdout=subprocess.PIPE, text=True) as process:
            try:
                same(process.stdout.readline(), 'ready\n')
                shared = nearcall.Client('pipe:interop', messages['nearcall.wire.Envelope'])
                for function in CASES:
                    signal.alarm(PATIENCE)
                    try:
                        function(Stub(shared, messages))
                        print(f'interop: {function.__name__} over pipe/python: passed', flush=True)
                    except (AssertionError, nearcall.RpcError) as error:
                        failed += 1
                        print(f'interop: {function.__name__}: {error}', flush=True)
                signal.alarm(0)
                shared.close()
            finally:
                process.terminate()
        same(process.returncode, 0)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
