// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/descriptors.h"
#include "nearcall/buffer.h"
#include "nearcall/unique_fd.h"
#include "rpc/attachments.h"
#include "session/arrivals.h"
#include "wire/reassembler.h"

namespace nearcall::rpc {

// The elements that have come for one who reads, and what came with the last one of them. His alone.
class ReadElements {
 public:
  session::Arrivals& arrivals() { return arrivals_; }
  bool empty() const { return arrivals_.empty(); }

  // The next one, of some, by `parse`, which is given its bytes. `cost`: what it has taken of the window. Not OK: it is
  // not what it should be, or what came with it could not be taken.
  template <typename Parse>
  absl::Status Next(Parse&& parse, size_t& cost) {
    cost = arrivals_.front_cost();
    absl::Status parsed = parse(arrivals_.front());
    parsed.Update(TakeEnclosed());
    arrivals_.Pop();
    if (!parsed.ok()) failure_ = parsed;
    return parsed;
  }
  // What was not what it should be. It is how the call ends, though the server may have said OK before it was read.
  const absl::Status& failure() const { return failure_; }

  std::vector<UniqueFd> TakeDescriptors() { return descriptors_.Release(); }
  const std::vector<Buffer>& attachments() const { return attachments_; }

 private:
  absl::Status TakeEnclosed() {
    attachments_.clear();
    if (wire::Message* const attached = arrivals_.FrontWithAttachments(); attached != nullptr) {
      absl::StatusOr<std::vector<Buffer>> opened = OpenAttachments(*attached);
      if (!opened.ok()) return opened.status();
      attachments_ = *std::move(opened);
    }
    descriptors_ = arrivals_.TakeDescriptors();
    return descriptors_.refusal();
  }

  session::Arrivals arrivals_;
  base::Descriptors descriptors_;
  std::vector<Buffer> attachments_;
  absl::Status failure_;
};

}  // namespace nearcall::rpc
