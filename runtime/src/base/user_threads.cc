// SPDX-License-Identifier: Apache-2.0
#include "base/user_threads.h"

#include <cxxabi.h>

#include "base/limits.h"
#include "base/no_memory.h"

namespace nearcall::base {

namespace {

// Long against the pauses of a busy program, short against a person.
constexpr int64_t kLingerNs = 1'000'000'000;

// Which threads the calling one belongs to.
thread_local const UserThreads* current = nullptr;

}  // namespace

bool UserThreads::IsCurrent() const {
  return current == this;
}

absl::Status UserThreads::Start() {
  MutexLock lock(mutex_);
  kept_ = 1;
  return threads_ != 0 ? absl::OkStatus() : StartThread();
}

void UserThreads::Post(Task& task) {
  MutexLock lock(mutex_);
  tasks_.PushBack(task);
  SeeToIt();
}

// Somebody runs what waits, or sees whether he who runs another task is stuck in it.
void UserThreads::SeeToIt() {
  if (waiting_ != 0) {
    changed_.NotifyOne();
  } else {
    StartThread().IgnoreError();  // then the task waits
  }
}

absl::Status UserThreads::StartThread() {
  if (threads_ == max_threads_) return absl::ResourceExhaustedError("all threads are stuck");
  Thread thread;
  absl::Status started =
      OrNoMemory([&] { return thread.Start(name_, stack_size_, [self = shared_from_this()] { self->ThreadMain(); }); });
  if (!started.ok()) return started;
  thread.Detach();  // but counted: Join() waits until each has said its last word
  ++threads_;
  ++waiting_;
  return absl::OkStatus();
}

void UserThreads::ThreadMain() {
  current = this;
  mutex_.Lock();
  while (Task* task = NextTask()) {
    const uint64_t turn = turn_;
    mutex_.Unlock();
    RunTask(*task, turn);
    mutex_.Lock();
    ++waiting_;
    const bool replaced = turn_ != turn;
    if (!replaced) turn_ = 0;
    if (replaced && waiting_ > 1) break;  // one to stand by is enough
  }
  --waiting_;
  --threads_;
  gone_.NotifyAll();
  mutex_.Unlock();
}

void UserThreads::RunTask(Task& task, uint64_t turn) {
  try {
    task.Run();
  } catch (abi::__forced_unwind&) {
    Lose(turn);
    throw;
  }
}

// A task has ended its thread. The others need one, too.
void UserThreads::Lose(uint64_t turn) {
  MutexLock lock(mutex_);
  if (turn_ == turn) turn_ = 0;
  --threads_;
  if (!tasks_.empty() || threads_ < kept_) SeeToIt();
  gone_.NotifyAll();
}

bool UserThreads::MayTake() const {
  return !tasks_.empty() && (turn_ == 0 || NowNs() >= turn_began_ + kStuckUserCodeNs);
}

// nullptr: the thread is to leave. It counts as waiting before, and unless it has got a task.
UserThreads::Task* UserThreads::NextTask() {
  const SteadyNs bored_at = AddNs(NowNs(), kLingerNs);
  while (!MayTake()) {
    const bool spare = joining_ || threads_ > kept_;
    if (tasks_.empty() && (joining_ || (spare && NowNs() >= bored_at))) return nullptr;
    const SteadyNs idle_until = spare ? bored_at : kNever;
    changed_.WaitUntil(mutex_, tasks_.empty() ? idle_until : turn_began_ + kStuckUserCodeNs);
  }
  --waiting_;
  Task* task = tasks_.PopFront();
  turn_ = ++last_turn_;
  turn_began_ = NowNs();
  if (!tasks_.empty()) SeeToIt();
  return task;
}

void UserThreads::RunHere() {
  if (fork_guard_.InChild()) return;
  MutexLock lock(mutex_);
  while (threads_ == 0) {
    Task* task = tasks_.PopFront();
    if (task == nullptr) return;
    mutex_.Unlock();
    task->Run();  // without RunTask(): the caller's thread is none of ours to lose
    mutex_.Lock();
  }
}

void UserThreads::Join() {
  if (fork_guard_.InChild()) return;  // the threads are the parent's
  RunHere();
  MutexLock lock(mutex_);
  joining_ = true;
  changed_.NotifyAll();
  while (threads_ > (IsCurrent() ? 1 : 0)) gone_.Wait(mutex_);
}

}  // namespace nearcall::base
