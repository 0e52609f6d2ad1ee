// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "nearcall/internal/continuation.h"

// Task: a coroutine that another one, or ordinary code, waits for.
//
//   nearcall::Task<int> Twice(demo::Echo::CoStub echo, int n) {
//     ...
//     const absl::StatusOr<demo::Reply> reply = co_await echo.Say(request);
//     co_return ...;
//   }
//   int n = co_await Twice(echo, 2);                // in a coroutine
//   int n = nearcall::SyncWait(Twice(echo, 2));     // in ordinary code: waits
//   nearcall::Start(Watch(echo));                   // in ordinary code: does not wait
//
// A task is lazy: it begins when it is awaited. It may await whatever can be awaited; handlers of a generated CoService
// are tasks. What it awaits decides where it goes on: a call of a CoStub on the channel's thread, or on its executor
// (see nearcall::Channel); a stream of a CoService on a thread that runs handlers. So a task must not block there for
// long, and must not wait for another task but by co_await: what that goes on with may be in line behind it on its
// thread. (SyncWait() and blocking calls are all right in this, if slow.)
//
// However many tasks await one after the other, or each other, the stack does not grow. An exception that leaves a task
// comes out of the co_await, SyncWait(), WhenAll() that wait for it. A task must not end its thread (pthread_exit(3)).
namespace nearcall {

template <typename T>
class Task;

namespace internal {

// Puts a task in line, and knows who goes on when it has ended.
class TaskPromiseBase : public Continuation {
 public:
  std::suspend_always initial_suspend() noexcept { return {}; }
  auto final_suspend() noexcept { return Ended(); }
  void unhandled_exception() noexcept { exception_ = std::current_exception(); }

  void StartLater(Continuation& sequel) noexcept {
    SetSequel(&sequel);
    RunLater(*this);
  }
  void StartNow(Continuation& sequel) noexcept {
    SetSequel(&sequel);
    RunNow(*this);
  }
  void StartAndWait() noexcept {
    SetSequel(this);
    RunAndWait(*this, sequel_);
  }

  bool has_thrown() const noexcept { return static_cast<bool>(exception_); }

 protected:
  explicit TaskPromiseBase(Run run) : Continuation(run) {}

  void Rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  struct Ended {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    void await_suspend(std::coroutine_handle<Promise> task) const noexcept {
      RunLater(*task.promise().sequel_);
    }
    void await_resume() const noexcept {}
  };

  void SetSequel(Continuation* sequel) noexcept {
    Require(sequel_ == nullptr, "a Task is awaited once");
    sequel_ = sequel;
  }

  Continuation* sequel_ = nullptr;
  std::exception_ptr exception_;
};

template <typename T>
class TaskPromise final : public TaskPromiseBase {
 public:
  TaskPromise() : TaskPromiseBase(&Go) {}
  Task<T> get_return_object() noexcept;

  template <std::convertible_to<T> Value = T>
  void return_value(Value&& value) {
    value_.emplace(std::forward<Value>(value));
  }

  // What the task has returned, once; or its exception.
  T Take() {
    Rethrow();
    return *std::move(value_);
  }

 private:
  static void Go(Continuation& self) {
    std::coroutine_handle<TaskPromise>::from_promise(static_cast<TaskPromise&>(self)).resume();
  }

  std::optional<T> value_;
};

template <>
class TaskPromise<void> final : public TaskPromiseBase {
 public:
  TaskPromise() : TaskPromiseBase(&Go) {}
  Task<void> get_return_object() noexcept;

  void return_void() noexcept {}

  void Take() const { Rethrow(); }

 private:
  static void Go(Continuation& self) {
    std::coroutine_handle<TaskPromise>::from_promise(static_cast<TaskPromise&>(self)).resume();
  }
};

template <typename T>
class TaskAwaiter final : private Continuation {
 public:
  explicit TaskAwaiter(TaskPromise<T>& task) : Continuation(&Go), task_(task) {}

  bool await_ready() const noexcept { return false; }
  // SUBTLE: not inline, like all that another thread may overtake: a compiler may keep what is local to it in the
  // coroutine's frame, which may be gone when it returns (https://github.com/llvm/llvm-project/issues/56301).
  [[gnu::noinline]] void await_suspend(std::coroutine_handle<> caller) noexcept {
    caller_ = caller;
    task_.StartLater(*this);
  }
  T await_resume() { return task_.Take(); }

 private:
  static void Go(Continuation& self) { static_cast<TaskAwaiter&>(self).caller_.resume(); }

  TaskPromise<T>& task_;
  std::coroutine_handle<> caller_;
};

}  // namespace internal

// A coroutine that returns T, or nothing; see the top of this file. Owns it: a task that is destroyed takes with it
// what is awaited in it. Only a suspended task may be destroyed, or one that has not begun or has ended; whether it is
// suspended is known to whoever could resume it, so to stop one that another thread may resume, let it end (cancel its
// calls, by Cancel() or by CallOptions::stop_token).
template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::TaskPromise<T>;

  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    Task(std::move(other)).Swap(*this);
    return *this;
  }
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  // Once. Begins the task, and gives what it returns.
  auto operator co_await() noexcept { return internal::TaskAwaiter<T>(promise()); }

  // For the library.
  promise_type& promise() const noexcept {
    internal::Require(static_cast<bool>(coroutine_), "a Task that was moved from is not awaited");
    return coroutine_.promise();
  }

 private:
  friend promise_type;
  explicit Task(promise_type& promise) noexcept
      : coroutine_(std::coroutine_handle<promise_type>::from_promise(promise)) {}

  void Swap(Task& other) noexcept { std::swap(coroutine_, other.coroutine_); }

  std::coroutine_handle<promise_type> coroutine_;
};

namespace internal {

inline Task<void> TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(*this);
}

template <typename T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(*this);
}

// A task that owns itself.
template <typename T, typename Done>
class Started final : private Continuation {
 public:
  static void Start(Task<T> task, Done done) {
    auto* const started = new Started(std::move(task), std::move(done));
    started->task_.promise().StartNow(*started);
  }

 private:
  Started(Task<T> task, Done done) : Continuation(&End), task_(std::move(task)), done_(std::move(done)) {}

  static void End(Continuation& self) noexcept {
    const std::unique_ptr<Started> started(static_cast<Started*>(&self));
    if constexpr (std::is_void_v<T>) {
      started->task_.promise().Take();
      std::move(started->done_)();
    } else {
      std::move(started->done_)(started->task_.promise().Take());
    }
  }

  Task<T> task_;
  Done done_;
};

// Stands for what tasks return in a tuple or a vector.
template <typename T>
using Result = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename T>
Result<T> TakeResult(Task<T>& task) {
  if constexpr (std::is_void_v<T>) {
    task.promise().Take();
    return {};
  } else {
    return task.promise().Take();
  }
}

// Begins some tasks, and is awaited until the last of them has ended.
class Join final {
 public:
  // `stop` may be null.
  Join(const std::vector<TaskPromiseBase*>& tasks, std::stop_source* stop)
      : count_(tasks.size()), parts_(std::make_unique<Part[]>(tasks.size())), stop_(stop), left_(tasks.size() + 1) {
    for (size_t i = 0; i < count_; ++i) {
      parts_[i].join = this;
      parts_[i].task = tasks[i];
    }
  }

  bool await_ready() const noexcept { return false; }
  [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> caller) noexcept {
    caller_ = caller;
    for (size_t i = 0; i < count_; ++i) parts_[i].task->StartNow(parts_[i]);
    return !CountDown();
  }
  // The first that has ended.
  size_t await_resume() const noexcept { return first_; }

 private:
  struct Part final : Continuation {
    Part() : Continuation(&End) {}
    Join* join = nullptr;
    TaskPromiseBase* task = nullptr;
  };

  static void End(Continuation& self) {
    Part& part = static_cast<Part&>(self);
    Join& join = *part.join;
    if (!join.any_ended_.exchange(true, std::memory_order_relaxed)) {
      join.first_ = static_cast<size_t>(&part - join.parts_.get());
      if (join.stop_ != nullptr) join.stop_->request_stop();
    }
    if (join.CountDown()) join.caller_.resume();
  }

  // Whether that was the last.
  bool CountDown() noexcept { return left_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  const size_t count_;
  const std::unique_ptr<Part[]> parts_;
  std::stop_source* const stop_;
  std::coroutine_handle<> caller_;
  std::atomic<bool> any_ended_ = false;
  size_t first_ = 0;
  std::atomic<size_t> left_;  // and one more while they are begun
};

}  // namespace internal

// Begins `task` on this thread and waits until it has ended, wherever that is. Throws what it has thrown.
template <typename T>
T SyncWait(Task<T> task) {
  task.promise().StartAndWait();
  return task.promise().Take();
}

// Begins `task` on this thread and returns when it suspends. `done` is called with what it returns, on the thread on
// which it ends. A task that throws ends the process, as a thread does that throws.
template <typename T, std::invocable<T> Done>
void Start(Task<T> task, Done done) {
  internal::Started<T, Done>::Start(std::move(task), std::move(done));
}

template <std::invocable<> Done>
void Start(Task<void> task, Done done) {
  internal::Started<void, Done>::Start(std::move(task), std::move(done));
}

inline void Start(Task<void> task) {
  Start(std::move(task), [] {});
}

// Begins them all, one after the other, each until it suspends, and waits for all. Gives what they return, in this
// order, with std::monostate for nothing; or throws what the first of these has thrown.
//
//   auto [a, b] = co_await nearcall::WhenAll(Ask(one), Ask(other));
//
// (Calls of a CoStub run at the same time without this: they begin before they are awaited.)
template <typename... Ts>
requires(sizeof...(Ts) > 0) Task<std::tuple<internal::Result<Ts>...>> WhenAll(Task<Ts>... tasks) {
  const std::vector<internal::TaskPromiseBase*> promises = {&tasks.promise()...};
  co_await internal::Join(promises, nullptr);
  co_return std::tuple<internal::Result<Ts>...>{internal::TakeResult(tasks)...};
}

template <typename T>
Task<std::vector<internal::Result<T>>> WhenAll(std::vector<Task<T>> tasks) {
  std::vector<internal::TaskPromiseBase*> promises;
  for (Task<T>& task : tasks) promises.push_back(&task.promise());
  co_await internal::Join(promises, nullptr);
  std::vector<internal::Result<T>> results;
  for (Task<T>& task : tasks) results.push_back(internal::TakeResult(task));
  co_return results;
}

// What WhenAny() gives: which has ended first, counted from 0, and what all have returned.
template <typename... Ts>
struct FirstOf {
  size_t first;
  std::tuple<internal::Result<Ts>...> results;
};

// The same as WhenAll(); but the first that ends stops the others, by `stop`, of which their calls have the token. All
// are waited for, for they may use what is the caller's.
//
//   std::stop_source stop;
//   options.stop_token = stop.get_token();
//   auto [first, replies] = co_await nearcall::WhenAny(stop, Ask(one, options), Ask(other, options));
template <typename... Ts>
requires(sizeof...(Ts) > 0) Task<FirstOf<Ts...>> WhenAny(std::stop_source stop, Task<Ts>... tasks) {
  const std::vector<internal::TaskPromiseBase*> promises = {&tasks.promise()...};
  const size_t first = co_await internal::Join(promises, &stop);
  co_return FirstOf<Ts...>{first, {internal::TakeResult(tasks)...}};
}

}  // namespace nearcall
