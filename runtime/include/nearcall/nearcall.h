// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything a program or a generated header needs.

#include "nearcall/buffer.h"              // IWYU pragma: export
#include "nearcall/buffer_pool.h"         // IWYU pragma: export
#include "nearcall/call_options.h"        // IWYU pragma: export
#include "nearcall/callback.h"            // IWYU pragma: export
#include "nearcall/channel.h"             // IWYU pragma: export
#include "nearcall/co_stream.h"           // IWYU pragma: export
#include "nearcall/event_queue.h"         // IWYU pragma: export
#include "nearcall/exec_state.h"          // IWYU pragma: export
#include "nearcall/executor.h"            // IWYU pragma: export
#include "nearcall/internal/coroutine.h"  // IWYU pragma: export
#include "nearcall/internal/method.h"     // IWYU pragma: export
#include "nearcall/internal/streaming.h"  // IWYU pragma: export
#include "nearcall/internal/unary.h"      // IWYU pragma: export
#include "nearcall/log.h"                 // IWYU pragma: export
#include "nearcall/metadata.h"            // IWYU pragma: export
#include "nearcall/priority.h"            // IWYU pragma: export
#include "nearcall/server.h"              // IWYU pragma: export
#include "nearcall/server_context.h"      // IWYU pragma: export
#include "nearcall/service.h"             // IWYU pragma: export
#include "nearcall/stream.h"              // IWYU pragma: export
#include "nearcall/task.h"                // IWYU pragma: export
#include "nearcall/topic.h"               // IWYU pragma: export
#include "nearcall/unique_fd.h"           // IWYU pragma: export
