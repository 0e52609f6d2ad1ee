// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <stop_token>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nearcall/buffer.h"
#include "nearcall/export.h"
#include "nearcall/metadata.h"
#include "nearcall/priority.h"
#include "nearcall/unique_fd.h"

namespace nearcall {

class Channel;

// Who calls, as the kernel says (SO_PASSCRED, see unix(7)), never as the peer says. `pid` is 0 for a process of a pid
// namespace that this one cannot see. Over fifo the kernel says nothing, but that a FIFO of mode 0600 has been opened:
// `uid` is this process's own (root, who can be any user, may be the peer, too), `pid` 0, `gid` -1.
struct PeerIdentity {
  pid_t pid;
  uid_t uid;
  gid_t gid;
  // Its supplementary groups when it connected (SO_PEERGROUPS), sorted. Empty, too, if another process has connected
  // for it (an inherited socket), or if there are more than 4096.
  std::vector<gid_t> groups = {};
};

// What a handler knows of its call beside the request. Lives as long as the handler runs (for an asynchronous handler:
// until it has answered). Thread-safe, except for the metadata to send, for descriptors and for
// attachments: one thread at a time.
class NEARCALL_EXPORT ServerContext {
 public:
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  virtual const PeerIdentity& peer() const = 0;

  // absl::InfiniteFuture() if there is none.
  virtual absl::Time deadline() const = 0;

  // Whether nobody waits for the answer any more: the deadline has passed, the caller has cancelled, or it has died.
  // Cheap enough for an inner loop. (A server that shuts down cancels what still runs after its grace period.)
  virtual bool IsCancelled() const = 0;

  // The same as an event, a moment later. Creating it costs more than IsCancelled(). Stop callbacks run on a thread of
  // the server's that does nothing else, one after the other; one that takes longer than 10 ms holds up no other.
  virtual std::stop_token stop_token() = 0;

  // What the client sent (CallOptions::metadata).
  virtual const Metadata& client_metadata() const = 0;

  // Sent with the answer, with an error too. Checked when the handler returns: a key or value that breaks the rules of
  // Metadata ends the call with INTERNAL.
  virtual Metadata& initial_metadata() = 0;
  // Sends the initial metadata now, where the method's server streams: else they go with its first element, or its
  // status. (Where it does not they go with the reply in any case.) What is added to them afterwards is lost.
  virtual void SendInitialMetadata() = 0;
  virtual Metadata& trailing_metadata() = 0;

  // The descriptors that came with the request (of a stream: with its opening), in order; the handler's from then on.
  // Once: empty the second time. Those that are not taken are closed. What a peer's descriptor may be up to stands in
  // nearcall/unique_fd.h.
  //
  //   absl::Status Decode(nearcall::ServerContext& context, const Film& film, Frame& frame) override {
  //     std::vector<nearcall::UniqueFd> files = context.TakeDescriptors();
  //     if (files.size() != 1) return absl::InvalidArgumentError("expected the film's descriptor");
  virtual std::vector<UniqueFd> TakeDescriptors() = 0;

  // Sent with the reply if the handler answers with OK, at most 16; they are closed when they have been sent, or if
  // they are not. Checked when the handler returns: too many, or of a method that does not declare `option
  // (nearcall.descriptors) = 4`: INTERNAL; for a client that takes none (of an older version, or over sysv, fifo):
  // FAILED_PRECONDITION.
  virtual std::vector<UniqueFd>& reply_descriptors() = 0;

  // The memory that came with the request (of a stream: with its opening), in order (nearcall/buffer.h). Whoever needs
  // one longer than the handler runs copies the Buffer, which is a handle. A request whose attachments are not what
  // they should be does not get here.
  virtual const std::vector<Buffer>& attachments() const = 0;
  // The i-th of them; one of no bytes where there is none.
  const Buffer& attachment(size_t i) const;

  // Sent with the reply if the handler answers with OK, at most 16, which are sealed then. What cannot be sent ends the
  // call: INTERNAL: too many. FAILED_PRECONDITION: one cannot be sealed, or the client is of a version without
  // attachments.
  virtual std::vector<Buffer>& reply_attachments() = 0;

  // The handler is about to wait for something slow that is not of this library: a disk, a lock, another program. Whom
  // its thread serves beside is served by another one from now on. Costs some microseconds; does nothing on threads
  // that serve nobody else, and on others than the handler's. Waiting in a stream or for a call of one's own needs no
  // such word; a method that always waits says so in its .proto (may_block); and one that has taken a millisecond
  // lately has a thread of its own without it.
  virtual void WillBlock() = 0;

  virtual Priority priority() const = 0;

  // "package.Service/Method".
  virtual absl::string_view method() const = 0;

  // Of the request's first frame, in its connection and lane.
  virtual uint64_t sequence_number() const = 0;

  // "shm", "mq", "pipe", "sysv", "fifo".
  virtual absl::string_view transport() const = 0;

  // Who called, to be called back over the same connection: what its ChannelOptions::services has. Stubs of any style
  // take it, also after the handler has returned, and other threads' too. It is the caller's as long as it is
  // connected, and is not connected again: then calls end with UNAVAILABLE. A caller that serves nothing:
  // UNIMPLEMENTED. Never null; a new object each time, whose end cancels the asynchronous calls that it was used for.
  //
  //   absl::Status Run(nearcall::ServerContext& context, const Job& job, Result& result) override {
  //     demo::Progress::Stub progress(context.client());
  //     auto told = progress.Tell(half, nearcall::CallOptions::FromServer(context));
  //
  // A blocking call back gives the place of its handler away meanwhile (ServerOptions::max_handler_threads), and its
  // thread stays; calls back and forth may be nested. What waits for room, and replies, count as the caller's
  // (ServerOptions::max_total_bytes). In a server with an event queue blocking calls back end with FAILED_PRECONDITION.
  // In a handler of ChannelOptions::services it is the server.
  virtual std::shared_ptr<Channel> client() = 0;

 protected:
  ServerContext() = default;
  virtual ~ServerContext() = default;
};

}  // namespace nearcall
