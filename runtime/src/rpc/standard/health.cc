// SPDX-License-Identifier: Apache-2.0
#include "rpc/standard/health.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "nearcall/internal/coroutine.h"
#include "nearcall/internal/unary.h"

namespace nearcall::rpc {

namespace {

using internal::MakeMethod;
using internal::MethodKind;

struct WatchParts {
  explicit WatchParts(internal::ServerCall& call) : stream(call.stream()), writer(stream) {}
  bool Parse(internal::ServerCall& call) { return call.ParseRequest(request); }
  Task<absl::Status> Begin(Service& service, ServerContext& /*context*/) {
    return static_cast<Health&>(service).Watch(request, stream, writer);
  }
  void Finish(auto& call, const absl::Status& status) { call.FinishStream(status); }

  Health::Request request;
  internal::ServerStream& stream;
  CoServerWriter<Health::Response> writer;
};

}  // namespace

absl::Status Health::Check(ServerContext& /*context*/, const Request& request, Response& response) {
  const HealthStates::State state = states_.Get(request.service());
  if (state == Response::SERVICE_UNKNOWN) return absl::NotFoundError("the server has no service of that name");
  response.set_status(state);
  return absl::OkStatus();
}

Task<absl::Status> Health::Watch(const Request& request, internal::ServerStream& stream,
                                 CoServerWriter<Response>& writer) {
  // It is kept as long as the stream lasts.
  if (request.service().size() > base::kMaxMethodNameSize) {
    co_return absl::InvalidArgumentError(absl::StrCat("the service's name has ", request.service().size(),
                                                      " B, allowed are ", base::kMaxMethodNameSize));
  }
  const HealthStates::Watcher watcher(states_, request.service(), stream);
  internal::CallSide waiting;
  std::optional<HealthStates::State> told;
  // SUBTLE: no `continue`. g++ 12 lets one of a do loop jump over an awaited condition.
  for (bool goes_on = true; goes_on;) {
    Response response;
    response.set_status(watcher.Get());
    if (told != response.status()) {
      told = response.status();
      goes_on = co_await writer.Write(response);
    }
    if (goes_on) goes_on = co_await internal::NewsAwaiter(stream, waiting);
  }
  co_return absl::OkStatus();
}

const internal::ServiceInfo& Health::GetServiceInfo() const {
  static constexpr internal::ServerMethod kMethods[] = {
      {MakeMethod("grpc.health.v1.Health/Check", MethodKind::kUnary, Priority::kNormal, 0, false),
       &internal::RunUnary<Health, Request, Response, &Health::Check>},
      {MakeMethod("grpc.health.v1.Health/Watch", MethodKind::kServerStreaming, Priority::kNormal, 0, false),
       &internal::CoHandler<WatchParts>::Run, /*suspends=*/true},
  };
  static constexpr internal::ServiceInfo kInfo = {"grpc.health.v1.Health", kMethods};
  return kInfo;
}

}  // namespace nearcall::rpc
