// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.h"

namespace nearcall::transport {

// The process that called listen(2) on the socket to which another one is connected, as far as the kernel says
// (SO_PEERPIDFD, Linux 6.5). It need not be the one that serves: that may be an heir, which was started with the socket
// (activation), forked (pre-forked workers), or took it over (a restart without a gap). Nor does its death free the
// name: any forked child that knows nothing of it keeps the socket open, and clients connect to nobody.
class ListeningProcess {
 public:
  explicit ListeningProcess(const base::Fd& connected);

  // Whether it is dead by now. False if the kernel does not say.
  bool IsDead() const;

  // Becomes readable with its death; -1: was dead before, or the kernel does not say.
  int fd() const { return pidfd_.get(); }

 private:
  base::Fd pidfd_;
  bool was_dead_ = false;
};

// Whether somebody answers a hello on that socket, or hangs up, within kHeirAnswerNs: an heir.
enum class HeirAnswer { kAnswers, kHangsUp, kSilent };
HeirAnswer AskHeir(const base::Fd& connected);

}  // namespace nearcall::transport
