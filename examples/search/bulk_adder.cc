// SPDX-License-Identifier: Apache-2.0
#include "bulk_adder.h"

#include "absl/status/statusor.h"

namespace search {

BulkAdder::~BulkAdder() {
  (void)Finish();
}

bool BulkAdder::HasRoom(size_t bytes) const {
  if (on_its_way_.calls == 0) return true;
  return on_its_way_.calls < window_.max_calls && on_its_way_.bytes + bytes <= window_.max_bytes;
}

absl::Status BulkAdder::Send(const v1::AddRequest& request) {
  const size_t bytes = request.text().size();
  {
    std::unique_lock lock(mutex_);
    answered_.wait(lock, [&] { return !failure_.ok() || HasRoom(bytes); });
    if (!failure_.ok()) return failure_;
    ++on_its_way_.calls;
    on_its_way_.bytes += bytes;
  }
  stub_.Add(
      request, [this, bytes](const absl::StatusOr<v1::AddReply>& reply) { OnReply(bytes, reply); }, options_);
  return absl::OkStatus();
}

void BulkAdder::OnReply(size_t bytes, const absl::StatusOr<v1::AddReply>& reply) {
  const std::lock_guard lock(mutex_);
  --on_its_way_.calls;
  on_its_way_.bytes -= bytes;
  answered_.notify_one();  // under the lock: after it, the adder may be gone
  if (!reply.ok()) {
    failure_.Update(reply.status());
    return;
  }
  ++totals_.files;
  totals_.bytes += bytes;
  if (reply->replaced()) ++totals_.replaced;
  if (reply->unchanged()) ++totals_.unchanged;
}

absl::Status BulkAdder::Finish() {
  std::unique_lock lock(mutex_);
  answered_.wait(lock, [this] { return on_its_way_.calls == 0; });
  return failure_;
}

BulkAdder::Totals BulkAdder::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace search
