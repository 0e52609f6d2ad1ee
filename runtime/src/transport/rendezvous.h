// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"
#include "transport/address.h"
#include "transport/child.h"
#include "transport/connection.h"
#include "transport/transport_table.h"

namespace nearcall::transport {

// --- the client's side ---

// What a side may ask for in its hello (PROTOCOL.md). What a client asks for it needs, if nothing else is said:
// FAILED_PRECONDITION without.
enum Feature : uint64_t {
  kDescriptors = uint64_t{1} << 0,  // messages may bring some, over a side socket; asked for, and not needed
  kSocketBell = uint64_t{1} << 1,   // a client waits in epoll: where it cannot, it gets a bell that is a socket
  kMethodNames = uint64_t{1} << 2,  // a server wants each request to carry its method's name
};

struct ConnectParams {
  std::vector<uid_t> allowed_uids = {};    // of the server; empty: own effective uid and root
  base::SteadyNs deadline = base::kNever;  // for a free place in the backlog and for the server's answer
  SessionTerms terms = {};
  std::span<const TransportRow> transports = Transports();  // that an address may mean
  uint64_t features = 0;                                    // a set of Feature
  // With exec: starts the server, once, and not before `start_at`.
  std::function<absl::StatusOr<StartedServer>()> start_server = {};
  base::SteadyNs start_at = 0;
};

// Connects and shakes hands; blocks until `deadline` at most. Errors as Channel::Connect documents them, each with
// address, place and remedy. Does not wait for a server to appear: UNAVAILABLE at once.
//
// With fd:N the descriptor is consumed, whatever the result, unless that is INVALID_ARGUMENT: then N is no connected
// AF_UNIX SOCK_SEQPACKET socket and is left alone.
//
// With exec: a server that does not come about is ended.
absl::StatusOr<Connection> Connect(const Address& address, const ConnectParams& params);

using DialFds = std::array<int, 2>;  // -1: none

// The same by steps, for who must not block. Used by one thread at a time.
class Dial {
 public:
  // kMayWaitForBacklog: a step may wait for a place in the server's backlog, in the kernel's line; else that is tried
  // again and again.
  enum class Blocking { kNever, kMayWaitForBacklog };
  static std::unique_ptr<Dial> Start(Address address, ConnectParams params, Blocking blocking);

  virtual ~Dial() = default;

  // nullopt: not connected yet. Then to be called again when one of fds() is readable, or at when(); both may be others
  // each time. After an outcome not any more.
  virtual std::optional<absl::StatusOr<Connection>> Step() = 0;
  virtual DialFds fds() const = 0;
  virtual base::SteadyNs when() const = 0;

  // The remaining steps; blocks. DEADLINE_EXCEEDED at `until`, though more time would be left.
  absl::StatusOr<Connection> Finish(base::SteadyNs until = base::kNever);
  // The same; nullopt at `until`: the steps that are left can still be taken.
  std::optional<absl::StatusOr<Connection>> FinishBefore(base::SteadyNs until);
};

// --- the server's side ---

// Who may connect to a socket that Bind() makes.
struct SocketAccess {
  std::optional<mode_t> mode = {};  // unset: 0660 with a group; else 0600 for a name, 0666 for a path
  std::optional<gid_t> group = {};  // unset: the kernel's choice
  // A live server's socket is taken over, if that allows it, as it is. Then TakeOver() is to be called.
  bool take_over = false;
};

class ServerHandshake;
struct ServeParams;

// Who has come to a listener, or over a socket.
struct Newcomer {
  // Begins his handshake. Null: there is nobody.
  absl::AnyInvocable<std::unique_ptr<ServerHandshake>(ServeParams&& params)&&> shake_hands = nullptr;
  // As far as the kernel knows; who speaks may be another.
  uid_t connected_by = static_cast<uid_t>(-1);
};

// At the other end of a SOCK_SEQPACKET socket that is connected: just accepted, or one of a socketpair(2).
Newcomer NewcomerAt(base::Fd socket);

// A listening socket under a name (or an inherited one). The name goes away with Unlink() or the destructor, if it is
// still ours; in a fork()ed child neither touches it. Unlink() by any thread, everything else by one at a time.
class Listener {
 public:
  // ALREADY_EXISTS if a live server has the name (and it cannot be taken over, if that was asked for); a stale one is
  // swept. PROTOCOL.md has directories and rules. The address's transport plays no role. fd:N is Adopt(N); a descriptor
  // that is no such socket stays open.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(const Address& address, const SocketAccess& access = {});
  // INVALID_ARGUMENT if it is not a listening AF_UNIX SOCK_SEQPACKET socket. Its name is left alone.
  static absl::StatusOr<std::unique_ptr<Listener>> Adopt(base::Fd fd);

  virtual ~Listener() = default;
  virtual int fd() const = 0;            // readable when somebody waits; for epoll, edge-triggered
  virtual std::string name() const = 0;  // the socket's path, for people
  // Takes somebody who waits. Nobody, and an errno: EAGAIN if nobody waits, or what accept4(2) says. Never blocks.
  virtual Newcomer Accept();
  // Gives the name up; connections in the backlog are still accepted. An error: it stays behind, as after setuid(2).
  virtual absl::Status Unlink() = 0;

  // Readable when somebody may have done something to the name: LookAfterName() then. -1: nobody will say so (the name
  // of an inherited socket is not ours, and the kernel has few watches: fs.inotify.max_user_instances).
  virtual int name_fd() const = 0;

  // That this socket has no name any more.
  struct NameNews {
    std::string text;                     // for the log
    std::unique_ptr<Listener> successor;  // listens under the name again; none: it is somebody else's, or cannot be had
    // Neither, yet: another server is just starting, and so this one is to look again soon.
    bool is_unsettled() const { return text.empty(); }
  };
  // nullopt: it has its name, or has given it up, or the news were told. Binds the name again if nobody has it, but
  // does not wait. Connections in the backlog are still accepted.
  virtual std::optional<NameNews> LookAfterName() = 0;

  // At a successor, once it accepts clients here: the predecessor gives the name up. Blocks until kTakeOverNs at most.
  // An error: it still has it, and serves; this socket is to be closed. OK where there is no predecessor.
  virtual absl::Status TakeOver() { return absl::OkStatus(); }

  // At a predecessor: what a successor is told of the socket. UNAVAILABLE: another one was told, and has not taken it
  // yet; FAILED_PRECONDITION: it is not ours to pass on.
  virtual absl::StatusOr<Geometry> Offer() = 0;
  virtual void WithdrawOffer() = 0;  // the successor has not taken it
  virtual void GiveAway() = 0;       // it has: neither the name nor the socket is ours any more
};

struct ServeParams {
  std::vector<uid_t> allowed_uids = {};              // of clients; empty: own effective uid and root
  std::vector<gid_t> allowed_gids = {};              // of others
  std::vector<const TransportRow*> transports = {};  // that may be asked for; best first
  TransportConfig config = {};
  SessionTerms terms = {};
  uint32_t server_id = 0;      // source_id of what the server sends
  uint32_t connection_id = 0;  // source_id that the client gets
  // Asked once the peer's identity is known and before anything is allocated: RESOURCE_EXHAUSTED to refuse. The client
  // is told code and text; but CANCELLED: it is hung up on without an answer, and so tries again, with whoever has the
  // name then.
  std::function<absl::Status(const PeerIdentity&)> admit = {};
  bool blockable_for_other_users = false;  // those with the trait kWantsTrust
  std::weak_ptr<Listener> listener = {};   // that a successor may take over
  bool wants_method_names = false;         // of each request
  bool offers_side_socket = false;         // to a client that wants it, over a transport without kNoDescriptors
};

// On a handshake's error: the client has asked for a transport that is not offered, and has been told which ones are.
// To the server that is no news: whoever looks which ones it offers asks for each.
inline constexpr absl::string_view kNotOffered = "type.nearcall/not_offered";

// The server's half of one handshake: never blocks, so that a silent client holds up nobody. Call Step() when the
// socket is readable (it is in epoll, edge-triggered), and drop the object after the time limit. Used by one thread at
// a time.
class ServerHandshake {
 public:
  // `socket`: a connected SOCK_SEQPACKET socket, just accepted or one end of a socketpair(2).
  static std::unique_ptr<ServerHandshake> Start(base::Fd socket, ServeParams params);

  virtual ~ServerHandshake() = default;
  virtual int fd() const = 0;

  // kSucceeded: it was a successor, who has ServeParams::listener now.
  enum class Progress { kWaiting, kDone, kFailed, kSucceeded };
  // As far as it goes without blocking. After an end: the same again.
  virtual Progress Step() = 0;

  virtual uid_t peer_uid() const = 0;      // uid_t(-1) until the kernel has said who it is
  virtual pid_t peer_pid() const = 0;      // 0 until then
  virtual bool is_successor() const = 0;   // of this server, to which its socket was offered
  virtual absl::Status error() const = 0;  // after kFailed; the client has been told where it can be
  virtual Connection Take() = 0;           // after kDone, once
};

}  // namespace nearcall::transport
