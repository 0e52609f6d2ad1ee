// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "base/quota.h"
#include "nearcall/internal/stream.h"
#include "nearcall/server_context.h"
#include "rpc/server/call_counts.h"

namespace nearcall::rpc {

// A call that is over.
struct EndedCall {
  absl::string_view method = {};  // empty: the server has no such
  const PeerIdentity* peer = nullptr;
  uint32_t connection = 0;
  absl::string_view transport = {};  // a constant
  base::SteadyNs arrived = 0;
  CallCounts::End end = {};
  uint64_t bytes_received = 0;
  uint64_t elements_received = 0;
  uint64_t elements_sent = 0;
};

// Who wants to hear of each call of a server when it is over. Thread-safe.
class Tracers {
 public:
  // Which calls.
  struct Wanted {
    std::string method = {};         // of this method, or of this service; empty: of any
    std::optional<uid_t> user = {};  // of this user's connections; unset: of all
  };

  // What is kept of one, for a tracer.
  struct Kept {
    EndedCall call = {};  // but for `method` and `peer`
    std::string method = {};
    pid_t pid = 0;
    uid_t uid = 0;
  };

  struct Taken {
    std::deque<Kept> calls;
    uint64_t dropped = 0;  // further ones, before these or among them
  };

  // One of them, as long as this lives. Used by one thread at a time.
  class Tracer : public base::ListNode<Tracer> {
   public:
    // `of`: the user who traces. `stream` is told of news, and outlives this, as does `tracers`.
    Tracer(Tracers& tracers, Wanted wanted, uid_t of, std::shared_ptr<base::Account> account,
           internal::ServerStream& stream);
    ~Tracer();
    Tracer(const Tracer&) = delete;
    Tracer& operator=(const Tracer&) = delete;

    // RESOURCE_EXHAUSTED: it is told of nothing.
    const absl::Status& admitted() const { return admitted_; }
    // What has ended since the last time: at most `most`, in the order in which they have. Without any there will be
    // news of the stream.
    Taken Take(size_t most);

   private:
    friend class Tracers;

    absl::Status Join();
    bool Wants(const EndedCall& call) const;
    bool TryKeep(const EndedCall& call);
    void Keep(const EndedCall& call);

    Tracers& tracers_;
    const Wanted wanted_;
    const uid_t of_;
    const std::shared_ptr<base::Account> account_;
    internal::ServerStream& stream_;
    base::Charge charge_;
    // Guarded by the lock of `tracers_`:
    Taken kept_;
    size_t kept_bytes_ = 0;

    const absl::Status admitted_;  // the last one: from then on it is told
  };

  Tracers() = default;
  Tracers(const Tracers&) = delete;
  Tracers& operator=(const Tracers&) = delete;

  // Whether there are any, for the price of a load: while there are none nothing else is asked.
  bool any() const { return count_.load(std::memory_order_relaxed) != 0; }
  // Never fails, and never waits for a tracer: what one has no room for is counted.
  void Tell(const EndedCall& call);

 private:
  base::Mutex mutex_;
  base::List<Tracer> tracers_ ABSL_GUARDED_BY(mutex_);
  std::atomic<size_t> count_{0};
};

}  // namespace nearcall::rpc
