// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/reactor.h"

namespace nearcall::transport {

// What a client starts as its server, and how.
struct Program {
  std::string path;                    // absolute
  std::vector<std::string> argv = {};  // from argv[0] on; empty: the path alone
  std::vector<std::string> env = {};   // "NAME=value"; before what is inherited
  bool inherit_env = true;             // all other variables of this process
  std::string cwd = {};                // empty: this process's
};

// INVALID_ARGUMENT: what the kernel would not take, or read otherwise (a zero byte, a variable without '=').
absl::Status CheckProgram(const Program& program);

// A child of this process: a program that was started to be its server. Known by its pidfd, so that no other process
// is ever waited for, or sent a signal. It is reaped when it ends, and SIGCHLD plays no role.
//
// Thread-safe; does nothing in a fork()ed child, whose brother it is. Owned by who talks with it, and, until it has
// ended, by the reactor that watches it.
class Child {
 public:
  virtual ~Child() = default;

  virtual pid_t pid() const = 0;
  // Readable when it has ended.
  virtual int pidfd() const = 0;

  // How it has ended, as the end of a sentence: "exited with status 3", "was killed by signal 11 (Segmentation fault)".
  // nullopt: it runs. Never blocks.
  virtual std::optional<std::string> Fate() = 0;

  // It has hung up, and so is about to end. Calls `told`, where control messages are heard, when its fate is known, or
  // in kFateNs if it goes on. Once.
  virtual void AwaitFate(std::function<void()> told) = 0;

  // Nobody talks with it any more, and it is to end: by itself in kChildPatienceNs, else by SIGTERM in as much again,
  // else by SIGKILL. Does not block; may be repeated.
  enum class Ask { kByHangUp, kByTerm };  // what it is given time for first
  virtual void Dismiss(Ask ask) = 0;

  // Waits for the end of one that was dismissed; but not in a turn of the reactor that watches it, which goes on with
  // it. False: it has not come, as not even SIGKILL ends it.
  virtual bool WaitUntilEnded() = 0;
};

// A server just started, and this process's end of the socket that it has inherited ($NEARCALL_FD).
struct StartedServer {
  base::Fd socket;
  std::shared_ptr<Child> child;
};

// Starts it, with default dispositions of all signals and none blocked, in a process group of its own (the terminal's
// signals are for this process), and with no descriptor but the socket and the standard ones: input from /dev/null,
// output and error to this process's standard error.
//
// NOT_FOUND: there is no such program, or no interpreter for it, or no such directory. PERMISSION_DENIED: it is not
// executable. FAILED_PRECONDITION: no program for this machine. RESOURCE_EXHAUSTED: a limit, named in the text.
//
// `reactor`: as WatchControl().
absl::StatusOr<StartedServer> StartServer(const Program& program, base::Reactor* reactor);

}  // namespace nearcall::transport
