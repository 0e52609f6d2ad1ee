// SPDX-License-Identifier: Apache-2.0

// A program whose only thread waits in epoll_wait(2).
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "greetings.h"

int main() {
  nearcall::EventQueue queue;
  bool done = false;
  const Greetings greetings(queue, [&] { done = true; });

  const int loop = epoll_create1(EPOLL_CLOEXEC);
  epoll_event ready = {.events = EPOLLIN, .data = {.fd = queue.fd()}};
  if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, queue.fd(), &ready) != 0) {
    std::perror("epoll");
    return 1;
  }
  while (!done) {
    const int count = epoll_wait(loop, &ready, 1, -1);
    if (count < 0 && errno != EINTR) break;
    if (count == 1 && ready.data.fd == queue.fd()) queue.Run(64);  // and then the loop's other events
  }
  close(loop);
  return greetings.Report();
}
