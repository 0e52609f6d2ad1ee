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

  // Takes what is first: news of a side, which is returned; or calls that have ended, `max` at most, up to the next
  // such news, to the end of `ended`. The caller owns these again. `more`: whether there is more now; what comes later
  // is news.
  Completion* Take(base::List<Completion>& ended, size_t max, bool& more) {
    base::MutexLock lock(mutex_);
    Completion* first = completed_.front();
    Completion* const side = first != nullptr && !first->is_end ? completed_.PopFront() : nullptr;
    if (side == nullptr) {
      for (size_t i = 0; i < max && first != nullptr && first->is_end; ++i, first = completed_.front()) {
        first->Unlink();
        ended.PushBack(*first);
      }
    }
    more = !completed_.empty();
    return side;
  }

  Waiting& waiting() { return waiting_; }

 private:
  Waiting waiting_;
  base::Mutex mutex_;
  base::List<Completion> completed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::session
