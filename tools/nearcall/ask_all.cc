// SPDX-License-Identifier: Apache-2.0
#include "ask_all.h"

#include <algorithm>
#include <future>
#include <vector>

#include "absl/time/clock.h"
#include "printable.h"

namespace nearcall::tools {

namespace {

constexpr size_t kAtOnce = 16;
constexpr absl::Duration kPatience = absl::Seconds(1);

}  // namespace

void AskAll(size_t count, const std::function<void(size_t)>& ask) {
  std::vector<std::future<void>> asked;
  for (size_t i = 0; i < count; ++i) {
    if (i >= kAtOnce) asked[i - kAtOnce].wait();
    asked.push_back(std::async(std::launch::async, ask, i));
  }
  for (const std::future<void>& one : asked) one.wait();
}

absl::Time PatienceUntil(absl::Time end) {
  return std::min(end, absl::Now() + kPatience);
}

std::string WhyNoAnswer(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) ? "hangs" : Printable(status.message());
}

}  // namespace nearcall::tools
