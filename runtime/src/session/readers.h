// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "session/callers.h"
#include "session/connection_end.h"
#include "session/late_ring.h"
#include "session/outbox.h"
#include "session/peer_wait.h"
#include "session/receiver.h"
#include "session/waiting.h"
#include "transport/transport.h"

namespace nearcall::session {

// How those who wait on a client's connection read from it: one of them reads for all, and brings the others what is
// theirs. Who reads, ReaderRole says; this is what he does.
//
// At the side that has accepted a connection somebody else reads (`others_read`): a poller. Then this only waits.
//
// Thread-safe. The rest of a connection's parts outlive it.
class Readers {
 public:
  Readers(transport::Transport& transport, ConnectionEnd& end, Outbox& outbox, Callers& callers, Receiver& receiver,
          int64_t max_spin_ns, bool others_read = false)
      : transport_(transport),
        end_(end),
        outbox_(outbox),
        callers_(callers),
        receiver_(receiver),
        others_read_(others_read),
        peer_wait_(transport, max_spin_ns) {}
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  // Reads replies, for everybody, until `me` is finished, or `ready`, or `until`. bad_alloc: something that was to be
  // done meanwhile has found no memory.
  using Ready = absl::FunctionRef<bool()>;
  void Wait(Waiting& me, base::SteadyNs until, Ready ready);

  // --- for the stand-in, which waits in the user's event queue ---

  // `me` is it from now on; nullptr: there is none. (See ReaderRole.)
  void SetStandIn(Waiting* me);
  // Takes what has come, unless somebody else is just reading: he tells when he leaves. `rung`: after an event of the
  // bell.
  void Look(Waiting& me, bool rung);
  // It goes to wait for descriptors(): of the kinds in `interest` (Transport::Interest; none if somebody else reads).
  // False: there is something to look at.
  bool Rest(Waiting& me, uint32_t& interest);
  transport::Transport::WaitFds descriptors() const {
    return others_read_ ? transport::Transport::WaitFds{} : transport_.event_fds();
  }

  // Is told when something of what waited has been sent. Before anybody waits.
  void set_on_sent(std::function<void()> on_sent) { on_sent_ = std::move(on_sent); }

  // Sends what fits of what waits. True if anything went, or was shown.
  bool Pump();
  // Rings the server, if what is waited for is late.
  void RingIfLate(Waiting& waiting, base::SteadyNs now);
  // When that will be.
  base::SteadyNs LateAt(const Waiting& waiting) const { return late_ring_.When(waiting); }
  // What was waited for has come, or not, by `now`: from that it learns what is late.
  void LearnWhatIsLate(const Waiting& waiting, base::SteadyNs now) { late_ring_.Learn(waiting, now); }
  // The server has done what it must not.
  void Break(const absl::Status& violation);

 private:
  void WaitForOthers(Waiting& me, base::SteadyNs until, Ready ready);
  void LeaveRole(Waiting& me);
  bool TryTakeRole(Waiting& me);
  bool Read(Waiting& me, base::SteadyNs until, Ready ready);
  void Wake();
  bool Take(const Waiting& me);
  void EndAll();
  void WaitForPeer(Waiting& me, base::SteadyNs until);

  transport::Transport& transport_;
  ConnectionEnd& end_;
  Outbox& outbox_;
  Callers& callers_;
  LateRing late_ring_;
  std::function<void()> on_sent_;

  // Touched by the reader only.
  Receiver& receiver_;
  const bool others_read_;
  PeerWait peer_wait_;
  bool armed_ = false;  // by the stand-in, which sleeps
  bool ended_ = false;  // all that came before the end has been read
};

}  // namespace nearcall::session
