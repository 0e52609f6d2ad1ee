// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/serving_threads.h"

#include <cxxabi.h>

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/limits.h"

namespace nearcall::rpc {

absl::Status ServingThreads::Start() {
  for (size_t i = 0; i < ServerCore::kThreadsPerPoller; ++i) {
    if (absl::Status started = core_.threads.TryRun([this] { Serve(); }); !started.ok()) return started;
  }
  return absl::OkStatus();
}

void ServingThreads::Serve() {
  const Lead::ThreadId me = lead_.Join();
  try {
    ServeAs(me);
  } catch (abi::__forced_unwind&) {
    // A handler has called pthread_exit(3).
    if (lead_.Leave(me)) bells_.Wake();
    ReplaceThisThread();
    throw;
  }
  if (lead_.Leave(me)) bells_.Wake();  // the next one
}

void ServingThreads::ServeAs(Lead::ThreadId me) {
  for (;;) {
    switch (lead_.Next(me)) {
      case Lead::Duty::kLead:
        work_(me);
        break;
      case Lead::Duty::kStandBy: {
        bool rung = false;
        const bool woken = bells_.Wait(base::kIdleWaitSliceNs, [&](uint32_t connection_id) {
          mailbox_.Ring(connection_id);
          rung = true;
        });
        if (lead_.Awake(me, woken, rung)) StartAnother();
        break;
      }
      case Lead::Duty::kLeave:
        return;
    }
  }
}

// Without the last one nothing would ever be read again: it is tried until it succeeds.
void ServingThreads::ReplaceThisThread() {
  while (!lead_.stopped() && !core_.threads.TryRunInstead([this] { Serve(); }).ok()) {
    if (lead_.Look().serving != 0) return;
    base::SleepUntil(base::AfterNow(absl::Milliseconds(1)));
  }
}

bool ServingThreads::StartAnother() {
  if (core_.reactor() != nullptr) return false;
  return core_.threads.TryRun([this] { Serve(); }).ok();
}

}  // namespace nearcall::rpc
