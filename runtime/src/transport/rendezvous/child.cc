// SPDX-License-Identifier: Apache-2.0
#include "transport/child.h"

#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/poll.h"
#include "base/syscall.h"
#include "transport/rendezvous/monitor_use.h"
#include "transport/rendezvous/spawn.h"

namespace nearcall::transport {

namespace {

constexpr char kUnknownFate[] =
    "has ended, and how is not known: SIGCHLD is ignored, or something else in this process waits for all children";

std::string Describe(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return absl::StrCat("exited with status ", info.si_status);
  const char* const name = ::sigdescr_np(info.si_status);
  return absl::StrCat("was killed by signal ", info.si_status, " (", name == nullptr ? "unknown" : name,
                      info.si_code == CLD_DUMPED ? ", core dumped)" : ")");
}

class ChildImpl final : public Child, public base::Reactor::Target, public std::enable_shared_from_this<ChildImpl> {
 public:
  explicit ChildImpl(MonitorUse monitor) : monitor_(std::move(monitor)) {}

  // An event queue has ended, which would have gone on with it.
  ~ChildImpl() override {
    if (!pidfd_.valid() || monitor_.InChild() || Fate()) return;
    static_cast<void>(EndHere());
  }

  // Before all else.
  absl::Status Watch(pid_t pid, base::Fd pidfd) {
    pid_ = pid;
    pidfd_ = std::move(pidfd);
    id_ = monitor_->Add(shared_from_this());
    absl::Status watched = monitor_->Watch(id_, 0, pidfd_.get(), EPOLLIN);
    if (!watched.ok()) monitor_->Remove(id_);
    return watched;
  }

  pid_t pid() const override { return pid_; }
  int pidfd() const override { return pidfd_.get(); }

  std::optional<std::string> Fate() override {
    if (monitor_.InChild()) return std::nullopt;
    base::MutexLock lock(mutex_);
    if (fate_.empty() && base::IsReadable(pidfd_.get())) Reap();
    return fate_.empty() ? std::nullopt : std::optional<std::string>(fate_);
  }

  void AwaitFate(std::function<void()> told) override {
    if (monitor_.InChild()) return;
    if (Fate()) return told();
    {
      base::MutexLock lock(mutex_);
      told_ = std::move(told);
    }
    if (!After(base::kFateNs, &ChildImpl::Tell)) Tell();
  }

  void Dismiss(Ask ask) override {
    if (monitor_.InChild()) return;
    {
      base::MutexLock lock(mutex_);
      if (stage_ != Stage::kRuns || !fate_.empty()) return;
      stage_ = Stage::kDismissed;
    }
    if (ask == Ask::kByTerm || !After(base::kChildPatienceNs, &ChildImpl::Insist)) Insist();
  }

  bool WaitUntilEnded() override {
    if (monitor_.InChild() || monitor_->IsCurrent()) return true;
    const bool ended = EndHere();
    if (ended) Forget();
    return ended;
  }

  void OnReady(uint32_t /*slot*/, uint32_t /*events*/) override {
    if (!Fate()) return;
    Forget();
    Tell();
  }

 private:
  // How far its end has come.
  enum class Stage { kRuns, kDismissed, kTold, kKilled };

  // waitid(2) takes nobody else's child, nor another one that has its number.
  void Reap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    siginfo_t info{};
    const int result =
        base::Retry([&] { return ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG); });
    if (result == 0 && info.si_pid == 0) return;  // its debugger has still to let it go
    fate_ = result == 0 ? Describe(info) : kUnknownFate;
  }

  void Signal(int number) const { ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0); }

  void Tell() {
    std::function<void()> told;
    {
      base::MutexLock lock(mutex_);
      told.swap(told_);
    }
    if (told) told();
  }

  // The next, sharper way; and the one after that in a while. By timers, or by who waits here.
  void Insist() {
    {
      base::MutexLock lock(mutex_);
      if (somebody_waits_) return;
    }
    if (TakeStep() && !After(base::kChildPatienceNs, &ChildImpl::Insist)) Insist();
  }

  // False: there is no further one.
  bool TakeStep() {
    if (Fate()) return false;
    base::MutexLock lock(mutex_);
    if (stage_ == Stage::kKilled) return false;
    stage_ = stage_ == Stage::kTold ? Stage::kKilled : Stage::kTold;
    Signal(stage_ == Stage::kTold ? SIGTERM : SIGKILL);
    return true;
  }

  bool EndHere() {
    {
      base::MutexLock lock(mutex_);
      somebody_waits_ = true;
    }
    do {
      if (base::IsReadable(pidfd_.get(), base::AddNs(base::NowNs(), base::kChildPatienceNs)) && Fate()) return true;
    } while (TakeStep());
    return Fate().has_value();
  }

  // False: there is no memory for a timer.
  bool After(int64_t ns, void (ChildImpl::*step)()) {
    try {
      monitor_->AddTimer(base::AddNs(base::NowNs(), ns), [weak = weak_from_this(), step] {
        if (const std::shared_ptr<ChildImpl> self = weak.lock()) (*self.*step)();
      });
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  // Nothing is watched any more.
  void Forget() {
    monitor_->Unwatch(pidfd_.get());
    monitor_->Remove(id_);
  }

  const MonitorUse monitor_;
  pid_t pid_ = -1;
  base::Fd pidfd_;
  base::Reactor::Id id_ = 0;

  base::Mutex mutex_;
  std::string fate_ ABSL_GUARDED_BY(mutex_);  // empty: not known yet
  Stage stage_ ABSL_GUARDED_BY(mutex_) = Stage::kRuns;
  bool somebody_waits_ ABSL_GUARDED_BY(mutex_) = false;  // for its end, and takes the steps to it
  std::function<void()> told_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<StartedServer> StartServer(const Program& program, base::Reactor* reactor) {
  // First: what would be missing to watch it.
  absl::StatusOr<MonitorUse> monitor = MonitorUse::Acquire(reactor);
  if (!monitor.ok()) return monitor.status();
  const auto child = std::make_shared<ChildImpl>(*std::move(monitor));
  absl::StatusOr<Spawned> spawned = Spawn(program);
  if (!spawned.ok()) return spawned.status();
  // One that cannot be watched is hung up on, and then waited for.
  if (absl::Status watched = child->Watch(spawned->pid, std::move(spawned->pidfd)); !watched.ok()) return watched;
  return StartedServer{.socket = std::move(spawned->socket), .child = child};
}

}  // namespace nearcall::transport
