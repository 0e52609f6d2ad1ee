// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <utility>

#include "base/log.h"
#include "base/quota.h"
#include "base/reactor.h"
#include "base/user_threads.h"
#include "nearcall/server.h"
#include "rpc/reactor_of.h"
#include "rpc/server/handler_slots.h"
#include "rpc/server/latch.h"
#include "rpc/server/service_table.h"
#include "rpc/server/thread_pool.h"
#include "rpc/server/tracers.h"
#include "transport/control.h"

namespace nearcall::rpc {

// What all parts of one server share. Made before its pollers and destroyed after them.
struct ServerCore {
  // Beside handlers: for each poller one thread that leads it and one that stands by.
  static constexpr size_t kThreadsPerPoller = 2;

  ServerCore(ServerOptions server_options, size_t pollers)
      : options(std::move(server_options)),
        queue(ReactorOf(options.event_queue)),
        logger(std::make_shared<base::Logger>(options.log_sink, reactor())),
        quota(MakeQuota(options)),
        services(options.stats ? pollers : 0),
        slots(options.max_handler_threads, quota->shared()),
        canceller(std::make_shared<base::UserThreads>("nearcall-cancel", options.max_handler_threads,
                                                      options.handler_stack_size, reactor())),
        threads(options.max_handler_threads + options.max_waiting_handlers + kThreadsPerPoller * pollers,
                base::Thread::StackFor(options.handler_stack_size)) {}
  // When this returns none of the user's code is running, nor will be.
  ~ServerCore() {
    canceller->Join();
    logger->Close();
  }

  static std::shared_ptr<base::Quota> MakeQuota(const ServerOptions& options);

  // In whose turns all is done, in place of threads; nullptr: there are threads.
  base::Reactor* reactor() const { return queue.get(); }

  // Whether clients that want it get a side socket, for descriptors and for attachments that are passed.
  bool offers_side_socket() const {
    return options.max_descriptors_per_message != 0 || options.max_attachment_bytes != 0 ||
           options.passes_attachments || services.brings_descriptors();
  }

  // A request has been accepted / its answer has been given.
  void CallBegins() { active_calls.fetch_add(1, std::memory_order_seq_cst); }
  void CallEnds() {
    if (active_calls.fetch_sub(1, std::memory_order_seq_cst) == 1 && draining.load(std::memory_order_seq_cst)) {
      on_drained();
    }
  }

  // A handler's place is free again: who waits for one is told. `account`: of its user; may be null.
  void FreePlace(base::Account* account) {
    slots.Give(account);
    on_place_given();
  }

  // What a client is told that asks whether anything goes on here.
  transport::Progress progress() const {
    constexpr size_t kMost = std::numeric_limits<uint16_t>::max();
    return {.handlers_started = static_cast<uint32_t>(calls_started.load(std::memory_order_relaxed)),
            .handlers_running = static_cast<uint16_t>(std::min(slots.taken(), kMost))};
  }

  // Threads that answer calls and are not the server's: it waits for them before it goes.
  const std::shared_ptr<Latch> answering = std::make_shared<Latch>();

  const ServerOptions options;
  // Whose options these are, made of them: a channel's. Set before the first call.
  bool of_channel = false;
  base::ReactorUse queue;
  const std::shared_ptr<base::Logger> logger;
  // What each user may take of it.
  const std::shared_ptr<base::Quota> quota;
  ServiceTable services;
  Tracers tracers;
  HandlerSlots slots;
  // Runs the stop callbacks of handlers.
  const std::shared_ptr<base::UserThreads> canceller;
  ThreadPool threads;
  // No call is active, or a client has gone, while draining; or, in a server that ends when it is alone, a client has
  // gone. Set before the first call.
  std::function<void()> on_drained;
  std::function<void()> on_place_given;  // a handler has ended; set before the first call
  std::function<void()> on_succeeded;    // a successor has the last listening socket; set before the door opens

  bool ends_when_alone = false;       // it is a child of its client's; set before the first connection
  std::atomic<bool> draining{false};  // no new calls
  std::atomic<size_t> active_calls{0};
  std::atomic<size_t> open_streams{0};
  std::atomic<uint64_t> calls_started{0};
  std::atomic<uint64_t> calls_refused{0};
  std::atomic<uint64_t> one_way_failed{0};  // handlers of calls whose callers had gone on
  std::atomic<uint64_t> violations{0};
};

}  // namespace nearcall::rpc
