// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <concepts>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>

#include "nearcall/co_stream.h"
#include "nearcall/task.h"

// For programs of Asio 1.22 or newer (Debian: libasio-dev), which only those need that include this. A completion token
// says how they hear of the end of a call or of a task:
//
//   absl::StatusOr<demo::Reply> reply = co_await nearcall::Await(echo.Say(request), asio::use_awaitable);
//   std::future<absl::StatusOr<demo::Reply>> reply = nearcall::Await(echo.Say(request), asio::use_future);
//   nearcall::Await(echo.Say(request), asio::bind_executor(loop, [](absl::StatusOr<demo::Reply> reply) { ... }));
//   absl::Status status = co_await nearcall::Await(Talk(echo.Chat()), asio::use_awaitable);  // Talk: a nearcall::Task
//
// (Asio's own coroutines await nothing but what has a completion token. Streams are read and written in a task.)
//
// The handler is called by its executor, for which there is work until then, and never within Await(). One that has no
// executor: on the thread on which the call or the task ends (on one of Asio's own, if it has ended already). With an
// EventQueue that can be the thread of the io_context; see examples/event_loops.
//
// Its cancellation slot cancels a call, which ends with CANCELLED, an answer like any other; a task takes no notice of
// it (give its calls a CallOptions::stop_token). A task that throws ends the process.
namespace nearcall {

namespace internal {

// Ends with a call of `handler` with what the task returns, after `before_end`.
template <typename T, typename Handler, typename BeforeEnd>
void StartForAsio(Task<T> task, Handler handler, BeforeEnd before_end) {
  auto work = asio::make_work_guard(asio::get_associated_executor(handler));
  auto done = [work = std::move(work), handler = std::move(handler), before_end = std::move(before_end),
               begun_on = std::this_thread::get_id()](auto... result) mutable -> void {
    const auto executor = work.get_executor();
    auto end = [handler = std::move(handler), before_end = std::move(before_end),
                ... result = std::move(result)]() mutable {
      before_end();
      std::move(handler)(std::move(result)...);
    };
    // On the thread that began it this may still be within Await().
    if (std::this_thread::get_id() == begun_on) {
      asio::post(executor, std::move(end));
    } else {
      asio::dispatch(executor, std::move(end));
    }
  };
  Start(std::move(task), std::move(done));
}

template <typename Call>
using ResultOf = decltype(std::declval<Call&>().operator co_await().await_resume());

template <typename Call>
Task<ResultOf<Call>> AwaitShared(std::shared_ptr<Call> call) {
  co_return co_await *call;
}

}  // namespace internal

// A call of a CoStub, with one reply or one way.
template <std::derived_from<internal::CoCall> Call, typename Token>
auto Await(Call call, Token&& token) {
  const auto begin = [](auto handler, Call begun) {
    const auto shared = std::make_shared<Call>(std::move(begun));
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) slot.assign([shared](asio::cancellation_type /*kind*/) { shared->Cancel(); });
    internal::StartForAsio(internal::AwaitShared(shared), std::move(handler), [slot]() mutable {
      if (slot.is_connected()) slot.clear();
    });
  };
  return asio::async_initiate<Token, void(internal::ResultOf<Call>)>(begin, token, std::move(call));
}

// A task, which begins here.
template <typename T, typename Token>
auto Await(Task<T> task, Token&& token) {
  using Signature = std::conditional_t<std::is_void_v<T>, void(), void(internal::Result<T>)>;
  const auto begin = [](auto handler, Task<T> begun) {
    internal::StartForAsio(std::move(begun), std::move(handler), [] {});
  };
  return asio::async_initiate<Token, Signature>(begin, token, std::move(task));
}

}  // namespace nearcall
