// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "session/client_call.h"
#include "session/waiting.h"

namespace nearcall::session {

// What has happened to the asynchronous calls of one connection, and the one thread that waits for all of them.
//
// Push(), Forget() and Poke() by any thread, under the session's lock too; the rest by the thread that waits.
class CompletionQueue {
 public:
  CompletionQueue() = default;
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;

  // Before `call` begins: it comes here when it has ended.
  void Adopt(ClientCall& call) {
    call.waiting = &waiting_;
    call.completions = this;
  }

  // What is here already is here once.
  void Push(Completion& completion) {
    // SUBTLE: poked under the lock too. The thread that waits may take the call out at once, and the queue, if this was
    // its last, is gone.
    base::MutexLock lock(mutex_);
    if (!completion.linked()) completed_.PushBack(completion);
    Poke();
  }

  // It is not here any more.
  void Forget(Completion& completion) {
    base::MutexLock lock(mutex_);
    completion.Unlink();
  }

  // There is news for the thread that waits.
  void Poke() { waiting_.Poke(); }
  bool has_news() const { return waiting_.has_news(); }
  // Before it looks at what the news is.
  void ForgetNews() { waiting_.ForgetNews(); }

  // nullptr: nothing. The caller owns a call that has ended again. `more`: whether there is more now; what comes later
  // is news.
  Completion* Pop(bool* more = nullptr) {
    base::MutexLock lock(mutex_);
    Completion* const first = completed_.PopFront();
    if (more != nullptr) *more = !completed_.empty();
    return first;
  }

  Waiting& waiting() { return waiting_; }

 private:
  Waiting waiting_;
  base::Mutex mutex_;
  base::List<Completion> completed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::session
