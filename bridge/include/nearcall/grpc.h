// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nearcall/channel.h"
#include "nearcall/export.h"
#include "nearcall/generic.h"
#include "nearcall/log.h"
#include "nearcall/server.h"

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
}  // namespace grpc

// Beyond this machine, by gRPC: a library of its own (CMake: nearcall::grpc) on the system's grpc++, which nothing else
// of Nearcall links. Services and stubs stay what they are.
//
//   auto server = nearcall::ServerBuilder().Listen("shm:echo").Register(&echo).Start();
//   auto port = nearcall::grpc::Port::Open(**server, "grpc:localhost:50051");      // any client of gRPC's may call
//
//   auto channel = nearcall::grpc::Connect("grpc:db.example.net:50051");           // any server of gRPC's
//   demo::Echo::Stub echo(*channel);
//
// Unary calls and streams in both directions, in each style; status with details (the payloads of an absl::Status are
// the `details` of a google.rpc.Status, https://grpc.io/docs/guides/error/), initial and trailing metadata, deadlines,
// cancellation and flow control go through. What does not:
//
//   - descriptors: FAILED_PRECONDITION;
//   - attachments (nearcall/buffer.h) as memory. They travel as bytes, in fields behind the message's own: what is
//     Nearcall at the other end makes attachments of them again, and any other program skips them, or declares them:
//     `repeated bytes attachments = 536870911;`. They count for the size of the message;
//   - priorities: what comes from the network has the method's own, what goes there is like all else;
//   - who calls: ServerContext::peer() is the process that has the port. It adds the metadata `nearcall-peer` (gRPC's
//     name of the peer, "ipv4:192.0.2.7:40312") and, where certificates say who that is, `nearcall-peer-identity`;
//     what a caller sends under these names is dropped;
//   - a one-way call is one with an empty reply: gRPC's clients hear when its handler has started, ours when the port
//     or channel has taken it;
//   - the order of metadata of different keys, and keys that gRPC keeps for itself (`grpc-...`, `user-agent`).
//
// An address is `grpc:HOST:PORT`, with a name or number for the host: "grpc:localhost:50051", "grpc:[::1]:50051".
// Without credentials all goes over the network in the clear, and anybody who reaches the port may call.
namespace nearcall::grpc {

// A channel to a gRPC server, for stubs of any kind; anything but `grpc:...` is what Channel::Connect() makes of it. So
// a program may take either address from its user.
//
// Of `options` all count but `exec` and `allowed_uids`; INVALID_ARGUMENT if there are `services`, which no gRPC server
// can call. The channel's state() is that of gRPC's channel, which connects again on its own; connect_timeout is how
// long to wait for the first connection (handshake_timeout, if that is longer, while one is being made), and
// CallOptions::wait_for_ready is gRPC's. UNAVAILABLE: there is no such host, or nobody listens.
//
// Threads: besides gRPC's own, those of a Server without a name (nearcall/server.h), which a channel has for itself.
NEARCALL_EXPORT absl::StatusOr<std::shared_ptr<Channel>> Connect(
    absl::string_view address, ChannelOptions options = {},
    std::shared_ptr<::grpc::ChannelCredentials> credentials = nullptr);

// Every member has a default.
struct RemoteOptions {
  // Null: none.
  std::shared_ptr<::grpc::ChannelCredentials> credentials = {};

  // The largest message of the server's, in bytes. A larger one ends its call with RESOURCE_EXHAUSTED.
  size_t max_message_size = size_t{64} << 20;

  // A connection to a host that is gone without a word is noticed by this.
  KeepaliveOptions keepalive = {.interval = absl::Seconds(60)};
};

// A gRPC server as a service of this machine's: whatever is called of it is called there, by its name. What Connect()
// makes stubs use, and a proxy serves.
//
//   auto remote = nearcall::grpc::Remote::Open("grpc:db.example.net:50051");
//   auto server = nearcall::ServerBuilder({.health = false, .reflection = false, .stats = false})
//                     .Listen("shm:db").RegisterGeneric(remote->get()).Start();
//
// (A server's own standard services would be asked in place of the other's.) It connects with the first call. Outlives
// the servers that it is registered with; ends the connection. Thread-safe.
class NEARCALL_EXPORT Remote : public CoGenericService {
 public:
  // INVALID_ARGUMENT: the address is malformed. Connects to nobody.
  static absl::StatusOr<std::unique_ptr<Remote>> Open(absl::string_view address, RemoteOptions options = {});

  // Of gRPC's channel.
  virtual ChannelState state(bool connect) const = 0;
  virtual bool WaitForStateChange(ChannelState last, absl::Time deadline) const = 0;
};

// Which calls of a port go where.
struct Route {
  std::shared_ptr<Channel> channel;

  // Their full names ("demo.Echo"). Empty: any service.
  std::vector<std::string> services = {};

  // A serialised FileDescriptorSet that describes them (protoc --include_imports --descriptor_set_out=FILE). Empty: the
  // server behind `channel` is asked by reflection, once for each service. It is needed because a call of gRPC's does
  // not say whether it streams; where reflection is switched off, or knows nothing (LITE_RUNTIME), calls are
  // UNIMPLEMENTED without it.
  std::string descriptor_set = {};
};

// Every member has a default.
struct PortOptions {
  // Null: none. For certificates: ::grpc::SslServerCredentials() of <grpcpp/security/server_credentials.h>.
  std::shared_ptr<::grpc::ServerCredentials> credentials = {};

  // Calls that may be under way, of all clients. One more ends with RESOURCE_EXHAUSTED; a single client's own beyond
  // them wait.
  size_t max_calls = 1024;

  // The largest request, in bytes. A larger one ends its call with RESOURCE_EXHAUSTED.
  size_t max_message_size = size_t{64} << 20;

  // What gRPC may hold for all clients. Beyond it, it reads no more from them until there is room, and takes no further
  // ones.
  size_t max_total_bytes = size_t{1} << 30;

  // A client that says nothing is asked whether it lives, and has so long to answer.
  absl::Duration keepalive_interval = absl::Seconds(60);
  absl::Duration keepalive_timeout = absl::Seconds(20);

  // Services of the server, of which their own code says whether their methods stream, and reflection is not asked. For
  // those that it knows nothing of (see Limits in README.md); others may be left out. They outlive the port.
  std::vector<Service*> services = {};
};

// A gRPC port, from which calls go to services of this machine. Each message is copied as it is; there is one of each
// direction of a call in memory, and a writer waits for his reader. Thread-safe.
class NEARCALL_EXPORT Port {
 public:
  // For all services of `server`, the standard ones too. To be closed before the server is destroyed.
  static absl::StatusOr<std::unique_ptr<Port>> Open(Server& server, absl::string_view address,
                                                    PortOptions options = {});

  // A call goes to the first route that has its service; where there is none it is UNIMPLEMENTED. INVALID_ARGUMENT: the
  // address is malformed, there is no route, or a descriptor set does not parse. UNAVAILABLE: gRPC cannot listen there
  // (somebody else does, perhaps).
  static absl::StatusOr<std::unique_ptr<Port>> Open(std::vector<Route> routes, absl::string_view address,
                                                    PortOptions options = {});

  Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  // Close().
  virtual ~Port() = default;

  // The number that the kernel has chosen, if the address had port 0.
  virtual int number() const = 0;

  virtual size_t calls() const = 0;

  // Takes no further call, lets those under way finish for at most `grace`, cancels the rest, and waits until the last
  // has ended. Not in a handler, nor in a callback. May be repeated.
  virtual void Close(absl::Duration grace = absl::ZeroDuration()) = 0;
};

}  // namespace nearcall::grpc
