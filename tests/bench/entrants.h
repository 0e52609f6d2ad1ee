// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bench/contender.h"

namespace nearcall::bench {

// What the tables call those who compete.
SubjectParams NearcallOver(const std::string& transport, int64_t spin_us, const Placement& placement);
SubjectParams Plain(const std::string& subject, const Placement& placement);

// Where nobody is pinned.
const Placement& Unpinned();

// Both sides on CPUs of their own, if there are two; else as above.
const Placement& Apart();

// "shm", "mq" and "pipe", as they are by default.
void AddTransports(Contenders& contenders, const Placement& placement);

// "gRPC" and "gRPC, queues", if this program is built with it: its two kinds of server, of which the better one counts.
// The second is pinned nowhere: it has a thread for each CPU.
void AddGrpc(Contenders& contenders, const Placement& placement, int clients = 1);

}  // namespace nearcall::bench
