// SPDX-License-Identifier: Apache-2.0
#include "handlers.h"

#include <semaphore>
#include <stop_token>

#include "absl/time/clock.h"
#include "base/clock.h"

namespace nearcall::integration {

absl::Status SleepIfAsked(ServerContext& context, const Blob& request, Blob& reply) {
  if (request.data() == kSleepRequest) absl::SleepFor(absl::Seconds(1));
  return EchoBack(context, request, reply);
}

Handler Holding::handler() {
  return [this](ServerContext& context, const Blob&, Blob&) {
    std::binary_semaphore cancelled(0);
    Change(1);
    {
      const std::stop_callback on_cancel(context.stop_token(), [&] { cancelled.release(); });
      cancelled.acquire();
    }
    Change(size_t{0} - 1);
    return absl::CancelledError("nobody waits");
  };
}

void Holding::Change(size_t difference) {
  base::MutexLock lock(mutex_);
  count_ += difference;
  changed_.NotifyAll();
}

size_t Holding::count() const {
  base::MutexLock lock(mutex_);
  return count_;
}

bool Holding::WaitFor(size_t count) const {
  const base::SteadyNs end = base::AfterNow(absl::Seconds(30));
  base::MutexLock lock(mutex_);
  while (count_ != count && base::NowNs() < end) changed_.WaitUntil(mutex_, end);
  return count_ == count;
}

}  // namespace nearcall::integration
