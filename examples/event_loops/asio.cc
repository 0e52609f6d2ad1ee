// SPDX-License-Identifier: Apache-2.0

// A program whose only thread runs an asio::io_context.
#include <asio.hpp>

#include <functional>

#include "greetings.h"

int main() {
  nearcall::EventQueue queue;
  asio::io_context loop;
  const Greetings greetings(queue, [&] { loop.stop(); });

  asio::posix::stream_descriptor descriptor(loop, queue.fd());
  const std::function<void()> wait = [&] {
    descriptor.async_wait(asio::posix::stream_descriptor::wait_read, [&](const asio::error_code& error) {
      if (error) return;
      queue.Run(64);
      wait();
    });
  };
  wait();
  loop.run();
  descriptor.release();  // it is the queue's
  return greetings.Report();
}
