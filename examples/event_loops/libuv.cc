// SPDX-License-Identifier: Apache-2.0

// A program whose only thread runs a loop of libuv's.
#include <uv.h>

#include "greetings.h"

int main() {
  nearcall::EventQueue queue;
  uv_loop_t loop;
  uv_loop_init(&loop);
  uv_poll_t watcher;
  uv_poll_init(&loop, &watcher, queue.fd());
  watcher.data = &queue;
  uv_poll_start(&watcher, UV_READABLE, [](uv_poll_t* ready, int /*status*/, int /*events*/) {
    static_cast<nearcall::EventQueue*>(ready->data)->Run(64);
  });

  // A loop without a watcher ends.
  const Greetings greetings(queue, [&] { uv_close(reinterpret_cast<uv_handle_t*>(&watcher), nullptr); });
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
  return greetings.Report();
}
