// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/tracers.h"

#include <new>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace nearcall::rpc {

Tracers::Tracer::Tracer(Tracers& tracers, Wanted wanted, uid_t of, std::shared_ptr<base::Account> account,
                        internal::ServerStream& stream)
    : tracers_(tracers),
      wanted_(std::move(wanted)),
      of_(of),
      account_(std::move(account)),
      stream_(stream),
      admitted_(Join()) {}

absl::Status Tracers::Tracer::Join() {
  if (!charge_.TryTake(&account_->memory, base::Amount::Of(0, base::kMaxTraceBytes))) {
    return account_->MemoryRefusal(base::kMaxTraceBytes);
  }
  base::MutexLock lock(tracers_.mutex_);
  size_t others = 0;
  tracers_.tracers_.ForEachUntil([&](const Tracer& other) {
    others += other.of_ == of_ ? 1 : 0;
    return false;
  });
  if (others >= base::kMaxTracersOfAUser) {
    return absl::ResourceExhaustedError(absl::StrCat(others, " traces of uid ", of_, " run already, at most ",
                                                     base::kMaxTracersOfAUser, " may at once"));
  }
  tracers_.tracers_.PushBack(*this);
  tracers_.count_.fetch_add(1, std::memory_order_relaxed);
  return absl::OkStatus();
}

Tracers::Tracer::~Tracer() {
  base::MutexLock lock(tracers_.mutex_);
  if (!linked()) return;
  Unlink();
  tracers_.count_.fetch_sub(1, std::memory_order_relaxed);
}

Tracers::Taken Tracers::Tracer::Take(size_t most) {
  Taken taken;
  base::MutexLock lock(tracers_.mutex_);
  taken.dropped = std::exchange(kept_.dropped, 0);
  while (!kept_.calls.empty() && taken.calls.size() < most) {
    taken.calls.push_back(std::move(kept_.calls.front()));
    kept_.calls.pop_front();
    kept_bytes_ -= sizeof(Kept) + taken.calls.back().method.size();
  }
  return taken;
}

bool Tracers::Tracer::Wants(const EndedCall& call) const {
  if (wanted_.user && *wanted_.user != call.peer->uid) return false;
  if (!absl::StartsWith(call.method, wanted_.method)) return false;
  return wanted_.method.empty() || call.method.size() == wanted_.method.size() ||
         call.method[wanted_.method.size()] == '/';
}

// False: there is no room, or no memory.
bool Tracers::Tracer::TryKeep(const EndedCall& call) {
  const size_t size = sizeof(Kept) + call.method.size();
  if (kept_bytes_ + size > base::kMaxTraceBytes) return false;
  try {
    Kept kept = {.call = call, .method = std::string(call.method), .pid = call.peer->pid, .uid = call.peer->uid};
    kept.call.method = {};
    kept.call.peer = nullptr;
    kept_.calls.push_back(std::move(kept));
  } catch (const std::bad_alloc&) {
    return false;
  }
  kept_bytes_ += size;
  return true;
}

void Tracers::Tracer::Keep(const EndedCall& call) {
  const bool had_none = kept_.calls.empty() && kept_.dropped == 0;
  if (!TryKeep(call)) ++kept_.dropped;
  if (had_none) stream_.TellNews();
}

void Tracers::Tell(const EndedCall& call) {
  base::MutexLock lock(mutex_);
  // SUBTLE: under the lock, without which a tracer, and its stream, could go meanwhile.
  tracers_.ForEachUntil([&call](Tracer& tracer) {
    if (tracer.Wants(call)) tracer.Keep(call);
    return false;
  });
}

}  // namespace nearcall::rpc
