// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <thread>

#include "base/fd.h"
#include "base/fork.h"
#include "nearcall/event_queue.h"
#include "nearcall/server.h"

namespace nearcall::integration {

// A program's event loop, on a thread: waits for the queue's descriptor, for as long as it takes, and runs the queue.
class QueueThread {
 public:
  // `max`: of each Run().
  explicit QueueThread(EventQueue& queue, size_t max = 64);
  QueueThread(const QueueThread&) = delete;
  QueueThread& operator=(const QueueThread&) = delete;
  ~QueueThread() { Stop(); }

  // In a forked child it is the parent's, and is left to it.
  void Stop();
  std::thread::id id() const { return id_; }

 private:
  void Loop(size_t max);

  const base::ForkGuard fork_guard_;
  EventQueue& queue_;
  const base::Fd stop_;
  std::thread thread_;
  std::thread::id id_;
};

bool HasSomethingToRun(const EventQueue& queue);

// Runs it as often as there is something. False: there always is.
bool RunUntilIdle(EventQueue& queue);

// Whether the servers of this run have event queues and no threads ($NEARCALL_TEST_SERVER_STYLE is "event-queue").
bool ServersHaveQueues();

// The server that `start` makes with these options; in such a run one with a queue of its own, and a QueueThread.
std::unique_ptr<Server> StartInStyle(ServerOptions options,
                                     const std::function<std::unique_ptr<Server>(ServerOptions)>& start);

}  // namespace nearcall::integration
