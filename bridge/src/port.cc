// SPDX-License-Identifier: Apache-2.0
#include <grpc/grpc.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <future>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "address.h"
#include "forwarded_call.h"
#include "method_kinds.h"
#include "nearcall/grpc.h"
#include "translate.h"

namespace nearcall::grpc {

namespace {

// A call that ends where it begins.
class RefusedCall final : public ::grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedCall(const absl::Status& why) { Finish(ToGrpc(why)); }
  void OnDone() override { delete this; }
};

// Takes the calls of a port, as many as may be under way. Waits for their ends when it is destroyed.
class Gate final : public ::grpc::CallbackGenericService {
 public:
  Gate(std::vector<Destination> destinations, size_t max_calls)
      : destinations_(std::move(destinations)), max_calls_(max_calls) {}
  ~Gate() override { WaitForCalls(absl::InfiniteFuture()); }

  ::grpc::ServerGenericBidiReactor* CreateReactor(::grpc::GenericCallbackServerContext* context) override {
    std::string method(absl::StripPrefix(context->method(), "/"));
    const Destination* const destination = DestinationOf(ServiceOf(method));
    if (destination == nullptr) {
      return new RefusedCall(absl::UnimplementedError("no service behind this port has this name"));
    }
    if (!Enter()) {
      return new RefusedCall(absl::ResourceExhaustedError(
          absl::StrCat("the port has ", max_calls_, " calls under way, as many as it takes (PortOptions::max_calls)")));
    }
    return (new ForwardedCall(*destination, *context, std::move(method), [this] { Leave(); }))->Begin();
  }

  // Until there are none. (gRPC may have done with a call a moment before we have.)
  void WaitForCalls(absl::Time deadline) {
    std::unique_lock lock(mutex_);
    const auto none = [this] { return calls_ == 0; };
    if (deadline == absl::InfiniteFuture()) return all_ended_.wait(lock, none);
    all_ended_.wait_until(lock, absl::ToChronoTime(deadline), none);
  }

  size_t calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  const Destination* DestinationOf(absl::string_view service) const {
    for (const Destination& destination : destinations_) {
      const auto& services = destination.services;
      if (services.empty() || std::find(services.begin(), services.end(), service) != services.end()) {
        return &destination;
      }
    }
    return nullptr;
  }

  bool Enter() {
    const std::lock_guard lock(mutex_);
    if (calls_ == max_calls_) return false;
    ++calls_;
    return true;
  }
  void Leave() {
    const std::lock_guard lock(mutex_);
    if (--calls_ == 0) all_ended_.notify_all();
  }

  const std::vector<Destination> destinations_;
  const size_t max_calls_;
  mutable std::mutex mutex_;
  std::condition_variable all_ended_;
  size_t calls_ = 0;
};

class PortImpl final : public Port {
 public:
  PortImpl(std::vector<Destination> destinations, size_t max_calls) : gate_(std::move(destinations), max_calls) {}
  ~PortImpl() override { PortImpl::Close(absl::ZeroDuration()); }

  absl::Status Start(const std::string& target, const PortOptions& options);

  // Port
  int number() const override { return number_; }
  size_t calls() const override { return gate_.calls(); }
  void Close(absl::Duration grace) override;

 private:
  Gate gate_;
  std::unique_ptr<::grpc::Server> server_;
  int number_ = 0;
};

// gRPC's Shutdown() waits for connections too, though they have no calls, and clients that just do nothing may take
// seconds to notice that it asks them to go. So they are hung up on when the last call has ended.
void PortImpl::Close(absl::Duration grace) {
  constexpr auto kTimeToSayGoodbye = std::chrono::milliseconds(20);
  if (server_ == nullptr) return;
  const absl::Time end = absl::Now() + std::min(grace, absl::Hours(24 * 365));
  const auto shutdown = std::async(std::launch::async, [this, end] { server_->Shutdown(absl::ToChronoTime(end)); });
  gate_.WaitForCalls(end);
  while (shutdown.wait_for(kTimeToSayGoodbye) != std::future_status::ready) {
    ::grpc_server_cancel_all_calls(server_->c_server());
  }
  server_->Wait();
  gate_.WaitForCalls(absl::InfiniteFuture());
}

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(duration), 1, INT_MAX));
}

absl::Status PortImpl::Start(const std::string& target, const PortOptions& options) {
  constexpr absl::Duration kHandshakeTimeout = absl::Seconds(10);
  // As often as any client of ours asks.
  constexpr absl::Duration kMinPingInterval = absl::Seconds(5);
  const auto clamped = [](size_t size) { return static_cast<int>(std::min<size_t>(size, INT_MAX)); };
  ::grpc::ServerBuilder builder;
  auto credentials = options.credentials;
  if (credentials == nullptr) credentials = ::grpc::InsecureServerCredentials();
  builder.AddListeningPort(target, credentials, &number_);
  builder.RegisterCallbackGenericService(&gate_);
  builder.SetMaxReceiveMessageSize(clamped(options.max_message_size));
  builder.SetMaxSendMessageSize(-1);  // the services' own bound is enough
  builder.SetResourceQuota(::grpc::ResourceQuota("nearcall::grpc::Port").Resize(options.max_total_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, clamped(options.max_calls));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataSize);
  // Or a second server would take half of the clients of the first, and say nothing.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(kHandshakeTimeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive_interval));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, Milliseconds(kMinPingInterval));
  server_ = builder.BuildAndStart();
  if (server_ != nullptr && number_ != 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "cannot listen at grpc:", target, ": there is no such address here, or another program has the port (ss -tlnp)"));
}

absl::StatusOr<std::vector<Destination>> DestinationsOf(std::vector<Route> routes,
                                                        const std::vector<Service*>& services) {
  if (routes.empty()) return absl::InvalidArgumentError("a port needs a route");
  std::vector<Destination> destinations;
  for (Route& route : routes) {
    if (route.channel == nullptr) return absl::InvalidArgumentError("Route::channel is null");
    auto kinds = std::make_unique<MethodKinds>(route.channel);
    for (const Service* service : services) kinds->Describe(*service);
    if (!route.descriptor_set.empty()) {
      if (absl::Status described = kinds->Describe(route.descriptor_set); !described.ok()) return described;
    }
    destinations.push_back({std::move(route.channel), std::move(route.services), std::move(kinds)});
  }
  return destinations;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Port>> Port::Open(Server& server, absl::string_view address, PortOptions options) {
  absl::StatusOr<std::shared_ptr<Channel>> channel = server.InProcessChannel({
      .max_message_size = options.max_message_size,
      .max_queued_bytes = options.max_total_bytes,  // how many calls there are is bounded here
      .max_calls_in_flight = options.max_calls,
  });
  if (!channel.ok()) return channel.status();
  std::vector<Route> routes;
  routes.push_back({.channel = *std::move(channel)});
  return Open(std::move(routes), address, std::move(options));
}

absl::StatusOr<std::unique_ptr<Port>> Port::Open(std::vector<Route> routes, absl::string_view address,
                                                 PortOptions options) {
  absl::StatusOr<std::string> target = ParseAddress(address);
  if (!target.ok()) return target.status();
  if (options.max_calls == 0) return absl::InvalidArgumentError("PortOptions::max_calls is 0");
  absl::StatusOr<std::vector<Destination>> destinations = DestinationsOf(std::move(routes), options.services);
  if (!destinations.ok()) return destinations.status();
  auto port = std::make_unique<PortImpl>(*std::move(destinations), options.max_calls);
  if (absl::Status started = port->Start(*target, options); !started.ok()) return started;
  return port;
}

}  // namespace nearcall::grpc
