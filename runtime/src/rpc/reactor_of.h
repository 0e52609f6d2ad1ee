// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/reactor.h"
#include "nearcall/event_queue.h"

namespace nearcall::rpc {

// Of the queue that a channel or a server was given; nullptr: it was given none, and has threads.
inline std::shared_ptr<base::Reactor> ReactorOf(const EventQueue* queue) {
  return queue == nullptr ? nullptr : internal::EventQueueAccess::ReactorOf(*queue);
}

}  // namespace nearcall::rpc
