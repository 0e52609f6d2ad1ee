// SPDX-License-Identifier: Apache-2.0
#include "base/exec_state.h"

#include <utility>

#include "absl/strings/cord.h"

namespace nearcall {

namespace base {

absl::Status WithExecState(absl::Status status, ExecState state) {
  const char digit = static_cast<char>('0' + static_cast<int>(state));
  status.SetPayload(kExecStateUrl, absl::Cord(absl::string_view(&digit, 1)));
  return status;
}

}  // namespace base

ExecState ExecStateOf(const absl::Status& status) {
  if (status.ok()) return ExecState::kExecuted;
  const auto payload = status.GetPayload(base::kExecStateUrl);
  if (!payload.has_value() || payload->size() != 1) return ExecState::kMaybeExecuted;
  const int state = (*payload)[0] - '0';
  if (state < 0 || state > static_cast<int>(ExecState::kExecuted)) return ExecState::kMaybeExecuted;
  return static_cast<ExecState>(state);
}

}  // namespace nearcall
