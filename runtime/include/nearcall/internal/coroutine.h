// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "nearcall/call_options.h"
#include "nearcall/channel.h"
#include "nearcall/co_stream.h"
#include "nearcall/internal/continuation.h"
#include "nearcall/internal/method.h"
#include "nearcall/internal/unary.h"
#include "nearcall/service.h"
#include "nearcall/task.h"

// The typed edges of the classes of coroutines. Used by generated code; not for programs to use by hand.
namespace nearcall::internal {

// What a method of a CoStub that is awaited itself does not take: options without a name. GCC before version 13 copies
// an aggregate that is written in braces within a co_await expression bit by bit, and destroys it twice
// (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=98401). Elsewhere nothing is of this type.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
using UnsafeOptions = CallOptions&&;
#else
class UnsafeOptions final {
  UnsafeOptions(int, int);
};
#endif

// What a method of a CoStub takes where it is given no options: no temporary object.
inline const CallOptions& NoOptions() {
  static const CallOptions options;
  return options;
}

// `Call`: of nearcall/co_stream.h. `request` is null if the client streams.
template <typename Call>
Call BeginCall(std::shared_ptr<Channel> channel, const MethodInfo& method, const google::protobuf::MessageLite* request,
               const CallOptions& options) {
  std::unique_ptr<ClientCall> call = channel->BeginCall(method, request, options);
  return Call(std::move(channel), std::move(call));
}

// A handler that is a coroutine, from its beginning to its answer. `Parts`: what lives as long.
template <typename Parts>
class CoHandler final : private Continuation {
 public:
  // A handler that does not suspend costs no more than its two pieces of memory: it is answered here.
  static void Run(Service& service, ServerCall& call) {
    auto handler = std::make_unique<CoHandler>(call);
    if (!handler->parts_.Parse(call)) return;
    handler->task_.emplace(handler->parts_.Begin(service, call.context()));
    handler->task_->promise().StartNow(*handler);
    if (handler->stage_.load(std::memory_order_acquire) == Stage::kEnded) {
      handler->parts_.Finish(call, handler->task_->promise().Take());
      return;
    }
    handler->answer_ = call.Defer();
    // SUBTLE: from here on another thread may end it, and destroy it.
    if (handler->stage_.exchange(Stage::kDeferred, std::memory_order_acq_rel) == Stage::kEnded) {
      handler->Answer();
    } else {
      static_cast<void>(handler.release());
    }
  }

  explicit CoHandler(ServerCall& call) : Continuation(&End), parts_(call) {}

 private:
  enum class Stage { kBegun, kDeferred, kEnded };

  static void End(Continuation& self) {
    CoHandler& handler = static_cast<CoHandler&>(self);
    if (handler.stage_.exchange(Stage::kEnded, std::memory_order_acq_rel) != Stage::kDeferred) return;
    const std::unique_ptr<CoHandler> owned(&handler);
    handler.Answer();
  }

  void Answer() {
    if (task_->promise().has_thrown()) return answer_->FinishThrown();
    parts_.Finish(*answer_, task_->promise().Take());
  }

  Parts parts_;
  std::optional<Task<absl::Status>> task_;
  std::unique_ptr<PendingAnswer> answer_;
  std::atomic<Stage> stage_ = Stage::kBegun;
};

// What belongs to a handler of each kind, and the thunks between the runtime and the handler `kMethod` of the generated
// class `S`.
template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, const Request&, Reply&)>
struct CoUnaryParts {
  explicit CoUnaryParts(ServerCall& /*call*/) {}
  bool Parse(ServerCall& call) { return call.ParseRequest(request); }
  Task<absl::Status> Begin(Service& service, ServerContext& context) {
    return (static_cast<S&>(service).*kMethod)(context, request, reply);
  }
  void Finish(auto& call, const absl::Status& status) { call.Finish(status, reply); }

  Request request;
  Reply reply;
};

template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, const Request&, Reply&)>
void RunCoUnary(Service& service, ServerCall& call) {
  CoHandler<CoUnaryParts<S, Request, Reply, kMethod>>::Run(service, call);
}

template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, const Request&, CoServerWriter<Reply>&)>
struct CoServerStreamingParts {
  explicit CoServerStreamingParts(ServerCall& call) : writer(call.stream()) {}
  bool Parse(ServerCall& call) { return call.ParseRequest(request); }
  Task<absl::Status> Begin(Service& service, ServerContext& context) {
    return (static_cast<S&>(service).*kMethod)(context, request, writer);
  }
  void Finish(auto& call, const absl::Status& status) { call.FinishStream(status); }

  Request request;
  CoServerWriter<Reply> writer;
};

template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, const Request&, CoServerWriter<Reply>&)>
void RunCoServerStreaming(Service& service, ServerCall& call) {
  CoHandler<CoServerStreamingParts<S, Request, Reply, kMethod>>::Run(service, call);
}

template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, CoServerReader<Request>&, Reply&)>
struct CoClientStreamingParts {
  explicit CoClientStreamingParts(ServerCall& call) : reader(call.stream()) {}
  bool Parse(ServerCall& /*call*/) { return true; }
  Task<absl::Status> Begin(Service& service, ServerContext& context) {
    return (static_cast<S&>(service).*kMethod)(context, reader, reply);
  }
  void Finish(auto& call, const absl::Status& status) { call.Finish(status, reply); }

  CoServerReader<Request> reader;
  Reply reply;
};

template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, CoServerReader<Request>&, Reply&)>
void RunCoClientStreaming(Service& service, ServerCall& call) {
  CoHandler<CoClientStreamingParts<S, Request, Reply, kMethod>>::Run(service, call);
}

template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, CoServerReaderWriter<Request, Reply>&)>
struct CoBidiStreamingParts {
  explicit CoBidiStreamingParts(ServerCall& call) : stream(call.stream()) {}
  bool Parse(ServerCall& /*call*/) { return true; }
  Task<absl::Status> Begin(Service& service, ServerContext& context) {
    return (static_cast<S&>(service).*kMethod)(context, stream);
  }
  void Finish(auto& call, const absl::Status& status) { call.FinishStream(status); }

  CoServerReaderWriter<Request, Reply> stream;
};

template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, CoServerReaderWriter<Request, Reply>&)>
void RunCoBidiStreaming(Service& service, ServerCall& call) {
  CoHandler<CoBidiStreamingParts<S, Request, Reply, kMethod>>::Run(service, call);
}

template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, const Request&)>
struct CoOneWayParts {
  explicit CoOneWayParts(ServerCall& /*call*/) {}
  bool Parse(ServerCall& call) { return call.ParseRequest(request); }
  Task<absl::Status> Begin(Service& service, ServerContext& context) {
    return (static_cast<S&>(service).*kMethod)(context, request);
  }
  void Finish(auto& call, const absl::Status& status) { call.FinishStream(status); }

  Request request;
};

template <typename S, typename Request, typename Reply,
          Task<absl::Status> (S::*kMethod)(ServerContext&, const Request&)>
void RunCoOneWay(Service& service, ServerCall& call) {
  CoHandler<CoOneWayParts<S, Request, Reply, kMethod>>::Run(service, call);
}

// What a method answers that nobody has overridden.
inline Task<absl::Status> UnimplementedTask(const MethodInfo& method) {
  co_return Unimplemented(method);
}

}  // namespace nearcall::internal
