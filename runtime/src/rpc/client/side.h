// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "nearcall/internal/operation.h"
#include "session/client_call.h"
#include "session/waiting.h"

namespace nearcall::rpc {

// One side of a call of which no thread waits, the reading or the writing one: whether there is news, and what is to be
// run then.
//
// When() and Withdraw() by who uses that side, Run() and Tell() by any.
class Side final : public session::Listener, public session::Completion {
 public:
  // `call` outlives it. News goes to its completion queue.
  explicit Side(session::ClientCall& call) : Completion(false), call_(call) { waiting_.listener = this; }

  session::ClientCall& call() { return call_; }
  session::Waiting& waiting() { return waiting_; }

  // Before it is looked at what the news is.
  void ForgetNews() { waiting_.ForgetNews(); }

  // True: `operation` will be run, or is being run. False: there has been news meanwhile.
  bool When(internal::Operation& operation) {
    operation_.store(&operation, std::memory_order_seq_cst);
    return !waiting_.has_news() || !Withdraw(operation);
  }
  // False: it has been taken to be run.
  bool Withdraw(internal::Operation& operation) {
    internal::Operation* expected = &operation;
    return operation_.compare_exchange_strong(expected, nullptr, std::memory_order_seq_cst);
  }

  // Runs what waits, if anything does.
  void Run() {
    if (internal::Operation* const operation = operation_.exchange(nullptr, std::memory_order_seq_cst)) {
      operation->Run();
    }
  }
  // There is news, and the thread may run things.
  void Tell() {
    waiting_.news.store(true, std::memory_order_seq_cst);
    Run();
  }

  // session::Listener
  void OnNews() override;

 private:
  session::ClientCall& call_;
  session::Waiting waiting_;
  std::atomic<internal::Operation*> operation_{nullptr};
};

}  // namespace nearcall::rpc
