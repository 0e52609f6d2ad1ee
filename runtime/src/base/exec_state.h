// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nearcall/exec_state.h"

namespace nearcall::base {

// The payload of a status in which its ExecState is kept. Never sent: the wire has a field for it.
inline constexpr absl::string_view kExecStateUrl = "type.nearcall/exec_state";

// `status` with `state` for nearcall::ExecStateOf to find, in place of any that it had. An OK status carries none.
absl::Status WithExecState(absl::Status status, ExecState state);

}  // namespace nearcall::base
