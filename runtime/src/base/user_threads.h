// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "base/reactor.h"
#include "base/thread.h"

namespace nearcall::base {

// Threads for what is the user's and must hold up nothing of ours: stop callbacks, log sinks. One thread runs the
// tasks, one after the other. A thread that has been in one task for kStuckUserCodeNs is replaced by another, and
// leaves when its task returns; so each task that is stuck costs a thread, and beyond `max_threads` the others wait.
// Threads are made when there is something to run, and end when there has been nothing for a while.
//
// With a reactor there are none, and the tasks run in its turns: whoever takes these has asked for it.
//
// Thread-safe. Owned by whoever posts, and by its threads.
class UserThreads : public std::enable_shared_from_this<UserThreads> {
 public:
  class Task : public ListNode<Task> {
   public:
    // Once for each Post(), without a lock. The task must exist until then; it may end itself, and its thread
    // (pthread_exit(3)).
    virtual void Run() = 0;

   protected:
    ~Task() = default;
  };

  // `name` and `stack_size`: of each thread, as Thread has them. `reactor`: outlives Join(); may be null.
  UserThreads(const char* name, size_t max_threads, size_t stack_size = 0, Reactor* reactor = nullptr)
      : name_(name), max_threads_(max_threads), stack_size_(Thread::StackFor(stack_size)), reactor_(reactor) {}
  UserThreads(const UserThreads&) = delete;
  UserThreads& operator=(const UserThreads&) = delete;

  // Makes the first thread, which then stays (none with a reactor). Errors as Thread::Start().
  absl::Status Start();

  // Hands over a task that is not waiting already. Never blocks, and allocates only for a thread: a task for which none
  // can be made now waits for the next Post(), or for RunHere().
  void Post(Task& task);

  // If there is no thread: runs what waits, on the calling one. Whether there was anything.
  bool RunHere();

  // Waits until all tasks have ended and all threads are gone, but the calling one, if it is one of them. Then nothing
  // may be posted.
  void Join();

  // Whether the calling thread is one of these, or runs a task just now.
  bool IsCurrent() const;

 private:
  class InTurns;

  struct Threads {
    size_t alive = 0;
    size_t waiting = 0;  // have no task, or are just being made
    size_t kept = 0;     // stay
  };
  // Of the thread that runs tasks.
  struct Turn {
    uint64_t current = 0;  // 0: there is no such thread
    uint64_t last = 0;
    SteadyNs began = 0;
  };

  absl::Status StartThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SeeToIt() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AskForATurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t TakeTurn(size_t max);
  bool RunOneHere();
  void ThreadMain();
  void RunTask(Task& task, uint64_t turn);
  void Lose(uint64_t turn);
  Task* NextTask() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayTake() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const char* const name_;
  const size_t max_threads_;
  const size_t stack_size_;
  Reactor* const reactor_;
  const ForkGuard fork_guard_;

  Mutex mutex_;
  CondVar changed_;  // for threads that wait
  CondVar gone_;     // a thread has left
  List<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  Threads threads_ ABSL_GUARDED_BY(mutex_);
  Turn turn_ ABSL_GUARDED_BY(mutex_);
  bool joining_ ABSL_GUARDED_BY(mutex_) = false;
  Reactor::Id in_turns_ ABSL_GUARDED_BY(mutex_) = 0;  // since the first task
};

}  // namespace nearcall::base
