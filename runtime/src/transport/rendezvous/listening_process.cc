// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/listening_process.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include "base/clock.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::transport {

namespace {

// Before `deadline`; one that has passed: now.
bool IsReadable(int fd, base::SteadyNs deadline) {
  for (;;) {
    const base::SteadyNs now = base::NowNs();
    pollfd item{.fd = fd, .events = POLLIN, .revents = 0};
    const timespec left = base::ToTimespec(now < deadline ? deadline - now : 0);
    const int ready = ::ppoll(&item, 1, &left, nullptr);
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

}  // namespace

ListeningProcess::ListeningProcess(const base::Fd& connected) : pidfd_(MakersPidfd(connected)) {
  was_dead_ = !pidfd_.valid() && (errno == EINVAL || errno == ESRCH);
}

bool ListeningProcess::IsDead() const {
  return was_dead_ || (pidfd_.valid() && IsReadable(pidfd_.get(), 0));
}

HeirAnswer AskHeir(const base::Fd& connected) {
  // Asks for no transport, so it is refused before anything is made for it.
  if (!SendHello(connected, Encode(ClientHello{})).ok()) return HeirAnswer::kHangsUp;
  if (!IsReadable(connected.get(), base::AddNs(base::NowNs(), base::kHeirAnswerNs))) return HeirAnswer::kSilent;
  std::byte byte;
  const ssize_t size = base::Retry([&] { return ::recv(connected.get(), &byte, 1, MSG_DONTWAIT); });
  return size > 0 ? HeirAnswer::kAnswers : HeirAnswer::kHangsUp;
}

}  // namespace nearcall::transport
