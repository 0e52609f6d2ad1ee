// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "bench/subject.h"
#include "echo.nearcall.pb.h"
#include "nearcall/buffer.h"
#include "nearcall/buffer_pool.h"

namespace nearcall::bench {

// A channel to the server that `params` names, or the end of the program. `queue`: of its loop, if it has one.
std::shared_ptr<Channel> ConnectTo(const SubjectParams& params, EventQueue* queue = nullptr);

// What a subject that passes memory may have of it: in a message, in a pool.
inline constexpr size_t kMaxBytes = size_t{128} << 20;
inline constexpr size_t kMaxPool = size_t{512} << 20;

// Memory of `pool`, or new memory if that has no room; or the end of the program.
Buffer MakeBuffer(BufferPool& pool, size_t size);

// The end of the program if it is anything else.
void ExpectOk(const absl::Status& status);

}  // namespace nearcall::bench
