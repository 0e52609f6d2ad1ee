// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/listening_process.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include "base/clock.h"
#include "base/limits.h"
#include "base/poll.h"
#include "base/syscall.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::transport {

ListeningProcess::ListeningProcess(const base::Fd& connected) : pidfd_(MakersPidfd(connected)) {
  was_dead_ = !pidfd_.valid() && (errno == EINVAL || errno == ESRCH);
}

bool ListeningProcess::IsDead() const {
  return was_dead_ || (pidfd_.valid() && base::IsReadable(pidfd_.get()));
}

HeirAnswer AskHeir(const base::Fd& connected) {
  // Asks for no transport, so it is refused before anything is made for it.
  if (!SendHello(connected, Encode(ClientHello{})).ok()) return HeirAnswer::kHangsUp;
  if (!base::IsReadable(connected.get(), base::AddNs(base::NowNs(), base::kHeirAnswerNs))) return HeirAnswer::kSilent;
  std::byte byte;
  const ssize_t size = base::Retry([&] { return ::recv(connected.get(), &byte, 1, MSG_DONTWAIT); });
  return size > 0 ? HeirAnswer::kAnswers : HeirAnswer::kHangsUp;
}

}  // namespace nearcall::transport
