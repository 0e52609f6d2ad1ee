#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The search from another language, and from another machine: by gRPC, through nearcall-proxy.

  nearcall-proxy grpc:localhost:50051 search
  over_grpc.py localhost:50051 QUERY [FILE...]

Searches, sends the files, hears of them by a watch, and searches again. search_pb2 and search_pb2_grpc are what
grpc_python_plugin makes of search.proto.
"""
import queue
import sys

import grpc

import search_pb2
import search_pb2_grpc

PATIENCE = 30  # seconds for a call


def show(hit):
    print(f'{hit.path.decode()}:{hit.line}: {hit.excerpt.decode(errors="replace").strip()}')


def pieces(paths, size=10_000):
    """The files, as an upload has them."""
    for path in paths:
        with open(path, 'rb') as file:
            text = file.read()
        for start in range(0, max(len(text), 1), size):
            yield search_pb2.UploadPiece(path=path.encode() if start == 0 else b'', text=text[start:start + size],
                                         last=start + size >= len(text))


class Watch:
    """Both sides send: words to watch for, until done() is called, and what is heard of them."""

    def __init__(self, search, word):
        self.requests = queue.SimpleQueue()
        self.requests.put(search_pb2.WatchRequest(add=[word]))
        self.replies = search.Watch(iter(self.requests.get, None), timeout=PATIENCE)
        if not next(self.replies).watched.words:
            raise SystemExit('the watch is not in effect')

    def next_hit(self):
        return next(self.replies).hit

    def done(self):
        self.requests.put(None)
        return list(self.replies)


def main(target, query, *paths):
    query = query.encode()
    with grpc.insecure_channel(target) as channel:
        search = search_pb2_grpc.SearchStub(channel)
        found = search.Find(search_pb2.FindRequest(query=query, max_hits=3), timeout=PATIENCE)
        print(f'{found.matching_files} files')
        for hit in search.Scan(search_pb2.ScanRequest(query=query), timeout=PATIENCE):
            show(hit)
        if paths:
            watch = Watch(search, query)
            sent = search.Upload(pieces(paths), timeout=PATIENCE)
            print(f'sent {sent.files} files of {sent.bytes} bytes')
            for _ in paths:
                print('heard of ', end='')
                show(watch.next_hit().hit)
            watch.done()
            found = search.Find(search_pb2.FindRequest(query=query, max_hits=3), timeout=PATIENCE)
            print(f'{found.matching_files} files')
        try:
            search.Find(search_pb2.FindRequest(query=b''), timeout=PATIENCE)
        except grpc.RpcError as error:
            print(f'{error.code().name}: {error.details()}')


if __name__ == '__main__':
    main(*sys.argv[1:])
