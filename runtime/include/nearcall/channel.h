// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nearcall/call_options.h"
#include "nearcall/executor.h"
#include "nearcall/export.h"
#include "nearcall/internal/client_call.h"
#include "nearcall/internal/method.h"
#include "nearcall/internal/outcome.h"
#include "nearcall/internal/stream.h"
#include "nearcall/log.h"

namespace google::protobuf {
class MessageLite;
}

namespace nearcall {

class ClientInterceptor;
class EventQueue;
class Service;

// A client that asks its server whether it lives. A server that dies is noticed at once without that, by its socket;
// this is for one that is there and does nothing: stopped (SIGSTOP, a debugger, a frozen container), or all of whose
// threads hang. The answer does not come from a handler, and so not late while handlers run.
//
// No answer within `timeout`, nor anything else of the server's: the connection ends, its calls with UNAVAILABLE and
// kMaybeExecuted, and the next call connects again. An answer ends no call, however long its handler takes; but it says
// how many handlers run, and whether any has begun or ended, and so does the text of a call that ends by its deadline.
// Time in which this process itself was stopped does not count.
struct KeepaliveOptions {
  // From an answer to the next ping. 10 ms or more; infinite: there are none.
  absl::Duration interval = absl::InfiniteDuration();

  // From a ping to its answer. 10 ms or more. A busy machine may need a second.
  absl::Duration timeout = absl::Seconds(20);

  // true: while no call is in flight, too. A call that begins then does not wait for what could be known already. Not
  // over fifo, where nobody would read the answer.
  bool without_calls = false;
};

// How a channel starts its server, for an address `exec:/path/to/server`. What that program does is in
// ServerBuilder::Listen(): "inherited:". It has a socket to this channel, the standard descriptors (its input is empty;
// what it prints goes to this process's standard error), no others, and a process group of its own: Ctrl-C at the
// terminal is for this process, which ends its child.
//
// A child that has ended is started again by the next call. Calls that it had end with UNAVAILABLE, and the text says
// how it ended ("was killed by signal 11"), the log too.
struct ExecOptions {
  // The program's arguments, argv[0] first. Empty: the path alone.
  std::vector<std::string> argv = {};

  // Variables of its environment, "NAME=value", in place of this process's of the same names.
  std::vector<std::string> env = {};

  // Its working directory. Unset: this process's.
  std::optional<std::string> cwd = {};

  // How often it is started again within a minute; after that calls end with UNAVAILABLE for a while. Zero: never.
  size_t max_restarts_per_minute = 60;

  // One that has not lived for a second is started again after a pause, which doubles each time, from 1 ms to this.
  // Zero: at once.
  absl::Duration max_pause = absl::Milliseconds(200);

  // Whether it has the other variables of this process's environment, too.
  bool inherit_env = true;
};

// Every member has a default; name any subset: `{.connect_timeout = absl::Seconds(2)}`.
struct ChannelOptions {
  // The largest request or reply, in bytes as serialised. A larger one ends its call with RESOURCE_EXHAUSTED.
  size_t max_message_size = size_t{64} << 20;

  // How much serialised data may wait in this process for room in the transport before no further call starts. Beyond
  // it: see WhenFull. An asynchronous call never waits: what finds neither room nor a place among max_calls_in_flight
  // is queued, up to so many bytes (each call counts a little more than its request), and beyond them ends with
  // RESOURCE_EXHAUSTED.
  size_t max_queued_bytes = size_t{8} << 20;

  // Calls in flight on this channel. Beyond it: see WhenFull. The server may grant fewer.
  size_t max_calls_in_flight = 1024;

  // How long Connect waits for the server to appear, or to have time. Zero: UNAVAILABLE at once when nobody listens.
  // A program that the channel starts (`exec:`) has this time for its start, or handshake_timeout if that is longer.
  absl::Duration connect_timeout = absl::ZeroDuration();

  // How long a server may take to let this client in and to answer; one that hangs up instead is asked again till then.
  absl::Duration handshake_timeout = absl::Seconds(5);

  // Servers of which users are trusted. Empty: this process's effective user and root. Another: PERMISSION_DENIED.
  std::vector<uid_t> allowed_uids = {};

  // The longest time that a waiting call spins before it sleeps; the runtime adapts below it. Zero: never spins.
  absl::Duration max_spin = absl::Microseconds(50);

  // Where the callbacks of asynchronous calls run. Unset: on a thread of the channel, one after the other.
  Executor executor = {};

  LogSink log_sink = {};

  // The stack of the thread that runs callbacks, in bytes, 64 KiB to 1 GiB. Zero: what the process gives any thread
  // (RLIMIT_STACK), at most 8 MiB. What is not used costs nothing, unless the program calls mlockall(2).
  size_t callback_stack_size = 0;

  // How far a server may be ahead of what is read of a stream, in bytes; each element counts 32 more than its own. 1 to
  // 1 GiB.
  size_t stream_window_bytes = size_t{64} << 10;

  // true: Connect looks at address and options only, and the first call connects (see CallOptions::wait_for_ready).
  bool lazy = false;

  // The channel has no thread: all that it does by itself is done in the queue's Run(), callbacks and coroutines too
  // (nearcall/event_queue.h). It connects lazily.
  EventQueue* event_queue = nullptr;

  // What the server may call of this process, over the channel's own connection (ServerContext::client()): services of
  // any style, registered as with a ServerBuilder. The program keeps them alive longer than the channel. While the
  // channel is connected a thread of it reads what comes, and handlers run on others, never on one that calls: 16 at
  // once, beside those that wait for calls of their own over this channel, 64 in all. Large requests are refused
  // (RESOURCE_EXHAUSTED) while those under way hold twice max_message_size and max_queued_bytes more. The end of the
  // channel cancels these calls, and waits for their handlers; one that lets go of the last reference to the channel
  // leaves what served in memory. Not with an event_queue (UNIMPLEMENTED).
  //
  //   Progress progress;  // of class Progress final : public demo::Progress::Service
  //   auto channel = nearcall::Channel::Connect("shm:jobs", {.services = {&progress}});
  std::vector<Service*> services = {};

  // For `exec:` addresses.
  ExecOptions exec = {};

  KeepaliveOptions keepalive = {};

  // What sees every call of this channel begin and end, and may refuse it (nearcall/interceptor.h); the first is the
  // outermost. Not those that the server makes of `services`.
  std::vector<std::shared_ptr<ClientInterceptor>> interceptors = {};

  // How much memory a server may pass with one reply or element, and not copy (nearcall/buffer.h), in bytes: 0 to
  // 2 GiB. More comes as a copy, within max_message_size. It is looked at when the program takes it.
  size_t max_attachment_bytes = size_t{1} << 30;

  // true: that memory may be of the server's BufferPool (nearcall/buffer_pool.h): it is trusted not to write there
  // while it is read here.
  bool trust_sender = false;
};

// What a channel's connection, or the best of several, is doing (gRPC's "connectivity semantics",
// https://github.com/grpc/grpc/blob/master/doc/connectivity-semantics-and-api.md; here the next call connects, nothing
// does so on its own).
enum class ChannelState : uint8_t {
  kIdle,              // there is none: not yet (ChannelOptions::lazy), or it has ended
  kConnecting,        // a call is just making one
  kReady,             // calls go out at once
  kTransientFailure,  // the last attempt failed; the next call tries again
  kShutdown,          // the channel has ended
};

// A connection to a server, by address:
//
//   shm:search        transport and name      search     the transport that NEARCALL_TRANSPORT names, else the best
//   shm:/run/app/s    the socket's own path   fd:3       a connected socket inherited from the parent process
//   fifo:/run/app/s   two FIFOs at that path, and no socket (docs/transports.md has what they cannot do)
//   exec:/bin/server  a program that the channel starts, and ends (ExecOptions), over the best transport or that of
//                     NEARCALL_TRANSPORT
//
// A name is looked for in $NEARCALL_DIR if it is set; else in $XDG_RUNTIME_DIR/nearcall, /run/nearcall and
// /tmp/nearcall-<uid>, in this order.
//
//   auto channel = nearcall::Channel::Connect("shm:echo");
//   if (!channel.ok()) return channel.status();
//   demo::Echo::Stub echo(*channel);
//
// When the server goes away its calls end with UNAVAILABLE, within milliseconds; the next call connects again by itself
// (an `fd:` channel cannot; one of `exec:` starts its server again). Thread-safe: any number of threads may call on one
// channel, they share its one connection. (Where several servers share the name, ListenOptions::shared, there is one to
// each of them, and each call has the one on which the fewest are in flight.)
// Owned by the caller and by every stub made from it. After fork() a child's calls on an inherited channel end with
// FAILED_PRECONDITION; it may connect channels of its own.
//
// Asynchronous calls (X::AsyncStub) are read for by a thread of the channel, which exists while there are any and a
// second longer, and which runs their callbacks unless there is an `executor`. A callback is run exactly once, never
// inside the call that it belongs to, never under a lock. It may start calls, make blocking ones, cancel, and drop the
// last reference to the channel; one that throws is logged. (Where the system has no thread left, and there is no
// executor, a callback runs inside its call after all, with RESOURCE_EXHAUSTED.) The end of the channel ends its
// asynchronous calls with CANCELLED: their callbacks have run when the destructor returns, unless the destructor runs
// in a callback itself or there is an executor.
//
// One-way calls that were sent are the server's; the end of the channel, or of the process, changes nothing for them.
// Those of Capacity::kLocal that have not been sent have a second more to leave, if there is a connection; the rest is
// lost, and counted.
//
// The end of an `exec:` channel is that of its child: it hangs up, and waits until the program has ended; after 2 s it
// sends it SIGTERM, after 2 s more SIGKILL. (In EventQueue::Run() it does not wait: the queue goes on with that.) If
// this process is killed, the child sees the hang-up and ends by itself. SIGCHLD plays no role, and no other child of
// this process is waited for.
class NEARCALL_EXPORT Channel {
 public:
  // INVALID_ARGUMENT: the address is malformed. UNAVAILABLE: nobody listens (the text names each place looked at).
  // PERMISSION_DENIED: the server does not allow this user, or it runs as one that `options.allowed_uids` does not
  // hold. FAILED_PRECONDITION: the server speaks another version of the protocol. RESOURCE_EXHAUSTED: a limit of
  // descriptors, memory or connections, named in the text. DEADLINE_EXCEEDED: the server took the connection but did
  // not answer. With `exec:` also NOT_FOUND: there is no such program; PERMISSION_DENIED: it may not be executed;
  // UNAVAILABLE: it has ended before it answered, and the text says how.
  static absl::StatusOr<std::shared_ptr<Channel>> Connect(absl::string_view address, ChannelOptions options = {});

  Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  virtual ~Channel() = default;

  // The transport of the present connection ("shm"), or of the last one if there is none now.
  virtual std::string transport() const = 0;

  // Connection, lanes, calls, bytes held back, one-way calls lost: for people. The format may change.
  virtual std::string DebugString() const = 0;

  virtual ChannelState state() const = 0;

  // Waits until the state is another one than `last`. False: it still is at `deadline`. (A state may come and go
  // unseen.)
  virtual bool WaitForStateChange(ChannelState last, absl::Time deadline) const = 0;

  // What generated stubs call: a blocking unary call. `reply` is cleared first and left empty if the call fails.
  virtual absl::Status BlockingCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                                    google::protobuf::MessageLite& reply, const CallOptions& options) = 0;

  // The same without waiting: `request` is serialised before this returns, `done` hears how the call has ended.
  virtual void StartCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                         const CallOptions& options, internal::OnOutcome done) = 0;

  // The same for a method that streams. `request` is null if its client streams. Never null: a call that could not be
  // made has ended.
  virtual std::unique_ptr<internal::ClientStream> OpenStream(const internal::MethodInfo& method,
                                                             const google::protobuf::MessageLite* request,
                                                             const CallOptions& options) = 0;

  // The same for a call of any kind of which no thread waits: it is begun on the way. Never null.
  virtual std::unique_ptr<internal::ClientCall> BeginCall(const internal::MethodInfo& method,
                                                          const google::protobuf::MessageLite* request,
                                                          const CallOptions& options) = 0;

  // The same for a one-way method: returns when `options.capacity` says.
  virtual absl::Status SendOneWay(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                                  const CallOptions& options) = 0;
};

}  // namespace nearcall
