// SPDX-License-Identifier: Apache-2.0
#include "base/user_threads.h"

#include <cxxabi.h>

#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/limits.h"
#include "base/no_memory.h"

namespace nearcall::base {

namespace {

// Long against the pauses of a busy program, short against a person.
constexpr int64_t kLingerNs = 1'000'000'000;

// Whose tasks the calling thread runs, one within the other.
class Current {
 public:
  explicit Current(const UserThreads* threads) : threads_(threads), outer_(std::exchange(innermost, this)) {}
  ~Current() { innermost = outer_; }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

  static bool Has(const UserThreads* threads) {
    const Current* one = innermost;
    while (one != nullptr && one->threads_ != threads) one = one->outer_;
    return one != nullptr;
  }

 private:
  static thread_local const Current* innermost;

  const UserThreads* const threads_;
  const Current* const outer_;
};

thread_local const Current* Current::innermost = nullptr;

}  // namespace

// Outlives what it is for: the reactor may be about to call it.
class UserThreads::InTurns final : public Reactor::Target {
 public:
  explicit InTurns(std::weak_ptr<UserThreads> threads) : threads_(std::move(threads)) {}

  void OnReady(uint32_t, uint32_t) override {}
  size_t OnTurn(size_t max) override {
    const std::shared_ptr<UserThreads> threads = threads_.lock();
    return threads == nullptr ? 0 : threads->TakeTurn(max);
  }

 private:
  const std::weak_ptr<UserThreads> threads_;
};

bool UserThreads::IsCurrent() const {
  return Current::Has(this);
}

absl::Status UserThreads::Start() {
  if (reactor_ != nullptr) return absl::OkStatus();
  MutexLock lock(mutex_);
  threads_.kept = 1;
  return threads_.alive != 0 ? absl::OkStatus() : StartThread();
}

void UserThreads::Post(Task& task) {
  MutexLock lock(mutex_);
  tasks_.PushBack(task);
  SeeToIt();
}

// Somebody runs what waits, or sees whether he who runs another task is stuck in it.
void UserThreads::SeeToIt() {
  if (reactor_ != nullptr) {
    AskForATurn();
  } else if (threads_.waiting != 0) {
    changed_.NotifyOne();
  } else {
    StartThread().IgnoreError();  // then the task waits
  }
}

void UserThreads::AskForATurn() {
  try {
    if (in_turns_ == 0) in_turns_ = reactor_->Add(std::make_shared<InTurns>(weak_from_this()));
    reactor_->Schedule(in_turns_);
  } catch (const std::bad_alloc&) {
    // The task waits.
  }
}

size_t UserThreads::TakeTurn(size_t max) {
  // A task may end its thread. The others have their turn, too.
  const absl::Cleanup rest = [this] {
    MutexLock lock(mutex_);
    if (!tasks_.empty()) AskForATurn();
  };
  size_t ran = 0;
  while (ran < max && RunOneHere()) ++ran;
  return ran;
}

absl::Status UserThreads::StartThread() {
  if (threads_.alive == max_threads_) return absl::ResourceExhaustedError("all threads are stuck");
  Thread thread;
  absl::Status started =
      OrNoMemory([&] { return thread.Start(name_, stack_size_, [self = shared_from_this()] { self->ThreadMain(); }); });
  if (!started.ok()) return started;
  thread.Detach();  // but counted: Join() waits until each has said its last word
  ++threads_.alive;
  ++threads_.waiting;
  return absl::OkStatus();
}

void UserThreads::ThreadMain() {
  const Current here(this);
  mutex_.Lock();
  while (Task* task = NextTask()) {
    const uint64_t turn = turn_.current;
    mutex_.Unlock();
    RunTask(*task, turn);
    mutex_.Lock();
    ++threads_.waiting;
    const bool replaced = turn_.current != turn;
    if (!replaced) turn_.current = 0;
    if (replaced && threads_.waiting > 1) break;  // one to stand by is enough
  }
  --threads_.waiting;
  --threads_.alive;
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
  if (turn_.current == turn) turn_.current = 0;
  --threads_.alive;
  if (!tasks_.empty() || threads_.alive < threads_.kept) SeeToIt();
  gone_.NotifyAll();
}

bool UserThreads::MayTake() const {
  return !tasks_.empty() && (turn_.current == 0 || NowNs() >= turn_.began + kStuckUserCodeNs);
}

// nullptr: the thread is to leave. It counts as waiting before, and unless it has got a task.
UserThreads::Task* UserThreads::NextTask() {
  const SteadyNs bored_at = AddNs(NowNs(), kLingerNs);
  while (!MayTake()) {
    const bool spare = joining_ || threads_.alive > threads_.kept;
    if (tasks_.empty() && (joining_ || (spare && NowNs() >= bored_at))) return nullptr;
    const SteadyNs idle_until = spare ? bored_at : kNever;
    changed_.WaitUntil(mutex_, tasks_.empty() ? idle_until : turn_.began + kStuckUserCodeNs);
  }
  --threads_.waiting;
  Task* task = tasks_.PopFront();
  turn_.current = ++turn_.last;
  turn_.began = NowNs();
  if (!tasks_.empty()) SeeToIt();
  return task;
}

bool UserThreads::RunHere() {
  if (fork_guard_.InChild()) return false;
  bool any = false;
  while (RunOneHere()) any = true;
  return any;
}

// False: there is none, or a thread for it.
bool UserThreads::RunOneHere() {
  Task* task;
  {
    MutexLock lock(mutex_);
    task = threads_.alive == 0 ? tasks_.PopFront() : nullptr;
  }
  if (task == nullptr) return false;
  const Current here(this);
  task->Run();  // without RunTask(): the caller's thread is none of ours to lose
  return true;
}

void UserThreads::Join() {
  if (fork_guard_.InChild()) return;  // the threads are the parent's
  RunHere();
  Reactor::Id in_turns;
  {
    MutexLock lock(mutex_);
    joining_ = true;
    changed_.NotifyAll();
    while (threads_.alive > (IsCurrent() ? 1 : 0)) gone_.Wait(mutex_);
    in_turns = std::exchange(in_turns_, 0);
  }
  // Waits for the task of another thread that takes the turns.
  if (in_turns != 0) reactor_->Remove(in_turns);
}

}  // namespace nearcall::base
