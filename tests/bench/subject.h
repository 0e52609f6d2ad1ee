// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "bench/placement.h"

namespace nearcall::bench {

// Many round trips at a time over one connection, each in a slot.
class AsyncSubject {
 public:
  // A slot's answer has come and is the right one. On any thread.
  using OnAnswer = std::function<void(size_t slot)>;

  virtual ~AsyncSubject() = default;

  // Only where nothing is in flight. May be called from OnAnswer.
  virtual void Start(size_t slot) = 0;
};

// One way to make a round trip, seen from the side that starts it. Used by one thread.
class Subject {
 public:
  virtual ~Subject() = default;

  // Round trips in one Call(): more than one where a single one is too short for the clock.
  virtual int trips_per_call() const { return 1; }

  virtual void Call() = 0;

  // Makes a call. How long it took, or that part of it which counts.
  virtual int64_t TimeCallNs() {
    const int64_t before = base::NowNs();
    Call();
    return base::NowNs() - before;
  }

  // How long each trip of the last call took, if that has many and knows; else it is empty.
  virtual std::span<const int64_t> trips_ns() const { return {}; }

  // Looks at every byte that the last call has brought; ends the program if it is not what was sent.
  virtual void Check() {}

  // Around calls that are measured: what runs beside them.
  virtual void Begin() {}
  virtual void End() {}

  // What the following calls carry, where that can be chosen.
  virtual void SetSize(size_t) {}

  // The same for another thread, over the same connection; nullptr: there is no such thing.
  virtual std::unique_ptr<Subject> Share() { return nullptr; }

  // The same connection with many calls in flight; nullptr: there is no such thing.
  virtual std::unique_ptr<AsyncSubject> MakeAsync(size_t /*slots*/, size_t /*size*/, AsyncSubject::OnAnswer) {
    return nullptr;
  }

  // The process at the other end, if it is no server of its own; 0: none.
  virtual pid_t peer() const { return 0; }
};

// What to measure, and where.
struct SubjectParams {
  std::string subject;  // see the makers below
  std::string address;
  Placement placement;
  int64_t spin_us = 0;
  std::string transport = "shm";  // of a Nearcall server
  int connections = 1;            // of a crowd
  bool keep_heap = false;         // see KeepHeap()
};

// A subject of any of the kinds below, or the end of the program.
std::unique_ptr<Subject> MakeSubject(const SubjectParams& params);

// From now on malloc(3) gives nothing back to the kernel. By default it does, depending on what else lies on the heap,
// and each large message may cost the faults of all of its pages, twice.
void KeepHeap();

// Whether the subject wants a server; and what that does until its standard input ends.
bool HasServer(const std::string& subject);
void Serve(const SubjectParams& params);

// What nothing can beat: "line", "semaphore", "epoll", "pipe", "mq", "socket" (these fork the process at the other
// end), "protobuf" (in one process). nullptr: no such floor.
std::unique_ptr<Subject> MakeFloor(const SubjectParams& params);

// The same for large messages: "memcpy" (of what the other side has just written), "pipe frames", "mq frames" (with
// Nearcall's own frame sizes).
std::unique_ptr<Subject> MakeBulkFloor(const SubjectParams& params);

// "raw connect": a Unix connection, two descriptors passed, two mmaps.
std::unique_ptr<Subject> MakeRawConnect(const SubjectParams& params);

// "raw": many clients and one thread that serves them, with one semaphore each way and 64 B in shared memory; nothing
// else.
std::unique_ptr<Subject> MakeRaw(const SubjectParams& params);
void ServeRaw(const SubjectParams& params);

// "nearcall"; "connect": a call is a new channel and its first reply; "crowd": many channels that say one thing and
// then nothing. All want the server of "nearcall".
std::unique_ptr<Subject> MakeNearcall(const SubjectParams& params);
std::unique_ptr<Subject> MakeConnect(const SubjectParams& params);
std::unique_ptr<Subject> MakeCrowd(const SubjectParams& params);
void ServeNearcall(const SubjectParams& params);

// "chat": a call is an element there and one back, in one stream; "down": a call is a stream of kElements from the
// server, and a trip is one of them. "coroutine", "coroutine chat", "coroutine down": unary calls and the same streams
// by coroutines on both sides, of which many trips are one call. "doze", "doze async": a call is so many calls at once
// as it has bytes. "event queue": a unary call of a program whose loop runs the channel's event queue; "event
// queue, blocking": one for which it waits.
inline constexpr int kElements = 10'000;
std::unique_ptr<Subject> MakeStream(const SubjectParams& params);
std::unique_ptr<Subject> MakeDoze(const SubjectParams& params);
std::unique_ptr<Subject> MakeQueue(const SubjectParams& params);
void ServeCoroutines(const SubjectParams& params);

// "urgent": an urgent call while its channel carries all the bulk that it can; "loaded semaphore": the floor of that
// name while a channel does. Both want the server of "nearcall".
std::unique_ptr<Subject> MakeUrgent(const SubjectParams& params);
std::unique_ptr<Subject> MakeLoadedSemaphore(const SubjectParams& params);

// "look": one process looks at each cache line of memory that it has; "fill and look": having filled it.
std::unique_ptr<Subject> MakeLook(const SubjectParams& params);

// What goes to the server, which looks at each cache line of it: "put": in a field; "put fresh", "put pool": in a
// buffer that is made, or taken of a pool, and filled for it; "put again", "put pool again": in one that was sent
// before; "lend": in such a one, and nobody looks at it. "grpc put": as "put". Who sends in a field, or again, fills it
// once.
std::unique_ptr<Subject> MakePut(const SubjectParams& params);
void ServePut(const SubjectParams& params);
std::unique_ptr<Subject> MakeGrpcPut(const SubjectParams& params);

// What a decoder and a camera do with their frames (examples/): "decode", of so many bytes, from a film that goes as a
// descriptor, into a new buffer; "decode pool": into one of a pool; "decode message": film and frame as fields.
// "watch", "watch pool", "watch message": a call is one picture of kCameraBytes for each of kViewers, by streams. "grpc
// decode", "grpc watch": as fields.
inline constexpr size_t kCameraBytes = size_t{1920} * 1080;
inline constexpr int kViewers = 3;
std::unique_ptr<Subject> MakeFrames(const SubjectParams& params);
void ServeFrames(const SubjectParams& params);
std::unique_ptr<Subject> MakeGrpcFrames(const SubjectParams& params);
void ServeGrpcFrames(const SubjectParams& params);

// "grpc", a server with callbacks, and "grpc queues", one with a thread and a completion queue for each CPU; "grpc
// down": as "down"; if this program is built with it.
bool HasGrpc();
std::unique_ptr<Subject> MakeGrpc(const SubjectParams& params);
std::unique_ptr<Subject> MakeGrpcDown(const SubjectParams& params);
void ServeGrpc(const SubjectParams& params);
void ServeGrpcQueues(const SubjectParams& params);

// For the servers: says that it is ready, and waits until standard input ends.
void ReadyUntilEndOfInput();

}  // namespace nearcall::bench
