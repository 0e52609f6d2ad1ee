// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "transport/fault.h"
#include "transport/fifo/heard.h"
#include "transport/fifo/named_fifos.h"
#include "transport/framed_writer.h"
#include "transport/rendezvous/control_message.h"

namespace nearcall::transport::fifo {

// One end of a connection: both its FIFOs, and the two things that go out over one of them: frames, and control
// messages, each of which stands between two frames. It is its transport's and its control channel's.
//
// The frames by one thread at a time, everything else by any.
class Line {
 public:
  // RESOURCE_EXHAUSTED without descriptors.
  static absl::StatusOr<std::shared_ptr<Line>> Create(Fifos pair);

  int incoming() const { return pair_.incoming.get(); }
  int outgoing() const { return pair_.outgoing.get(); }
  // The same two for who watches them in the epoll in which others watch those.
  int watched_incoming() const { return watched_incoming_.get(); }
  int watched_outgoing() const { return watched_outgoing_.get(); }

  Fault& fault() { return fault_; }
  Heard& heard() { return heard_; }

  // As FramedWriter has them. When nobody listens any more there is no room, and nothing left to hand over.
  std::span<std::byte> Reserve(size_t size);
  void Commit();
  bool Flush();
  bool has_room() const { return writer_has_room_.load(std::memory_order_relaxed); }
  bool PeerHasReadAll();

  // False: it waits for room. Of too many that wait the oldest is dropped.
  bool Send(const ControlBytes& message);
  // Sends those that wait, as far as there is room. False: some still wait.
  bool SendWaiting();

  // Whether something stands in the FIFO that is read.
  bool SomethingIsUnread() const;

  // The peer is told of the end, after what was sent, and nothing is sent any more.
  void HangUp();
  // It takes nothing any more.
  void OnPeerGone();
  // In a forked child: the connection is the parent's. Takes no lock.
  void CloseInChild();

 private:
  Line(Fifos pair, base::Fd watched_incoming, base::Fd watched_outgoing);
  bool SendWaitingLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Fifos pair_;
  base::Fd watched_incoming_;
  base::Fd watched_outgoing_;
  Fault fault_{"fifo"};
  Heard heard_;

  base::Mutex mutex_;
  FramedWriter writer_ ABSL_GUARDED_BY(mutex_);
  std::deque<ControlBytes> waiting_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<bool> writer_has_room_{true};
};

}  // namespace nearcall::transport::fifo
