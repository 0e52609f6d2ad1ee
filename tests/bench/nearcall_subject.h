// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "bench/subject.h"
#include "echo.nearcall.pb.h"

namespace nearcall::bench {

// A channel to the server that `params` names, or the end of the program. `queue`: of its loop, if it has one.
std::shared_ptr<Channel> ConnectTo(const SubjectParams& params, EventQueue* queue = nullptr);

// The end of the program if it is anything else.
void ExpectOk(const absl::Status& status);

}  // namespace nearcall::bench
