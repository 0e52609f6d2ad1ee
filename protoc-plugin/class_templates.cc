// SPDX-License-Identifier: Apache-2.0
#include "class_templates.h"

namespace nearcall::plugin {

const char kStubClass[] = R"(
$doc$
class $Class$ final {
 public:
  explicit $Class$(::std::shared_ptr<::nearcall::Channel> channel) : channel_(::std::move(channel)) {}

  $methods$

 private:
  ::std::shared_ptr<::nearcall::Channel> channel_;
};
)";

const char kServiceClass[] = R"(
$doc$
class $Class$ : public ::nearcall::Service {
 public:
  $methods$

  const ::nearcall::internal::ServiceInfo& GetServiceInfo() const final;
};
)";

namespace {

// ---- Stub ----

constexpr char kStubDoc[] = R"(
// Calls the service and waits for its answer. Copyable, thread-safe, keeps the channel alive. The second form of a
// method fills in `*reply`, which may be used again: no allocation when it is warm.
)";

constexpr char kStubStreamsDoc[] = R"(
//
// A method that streams returns its stream, never null: a call that could not be made has ended, and Finish() says why.
// See nearcall/stream.h.
)";

constexpr char kStubUnary[] = R"(
$comment$
::absl::StatusOr<$Reply$> $Method$(
    const $Request$& request, const ::nearcall::CallOptions& options = {}) const;
::absl::Status $Method$(
    const $Request$& request, ::std::same_as<$Reply$> auto* reply,
    const ::nearcall::CallOptions& options = {}) const {
  return channel_->BlockingCall(Methods::$Method$, request, *reply, options);
}
)";

constexpr char kStubUnaryDefinition[] = R"(
::absl::StatusOr<$Reply$> $Service$::Stub::$Method$(
    const $Request$& request, const ::nearcall::CallOptions& options) const {
  return ::nearcall::internal::BlockingUnary<$Request$, $Reply$>(
      *channel_, Methods::$Method$, request, options);
}
)";

constexpr char kStubClientStreaming[] = R"(
$comment$
::std::unique_ptr<::nearcall::ClientWriter<$Request$, $Reply$>> $Method$(
    const ::nearcall::CallOptions& options = {}) const;
)";

constexpr char kStubClientStreamingDefinition[] = R"(
::std::unique_ptr<::nearcall::ClientWriter<$Request$, $Reply$>> $Service$::Stub::$Method$(
    const ::nearcall::CallOptions& options) const {
  return ::nearcall::internal::OpenWriter<$Request$, $Reply$>(
      channel_, Methods::$Method$, options);
}
)";

constexpr char kStubServerStreaming[] = R"(
$comment$
::std::unique_ptr<::nearcall::ClientReader<$Reply$>> $Method$(
    const $Request$& request, const ::nearcall::CallOptions& options = {}) const;
)";

constexpr char kStubServerStreamingDefinition[] = R"(
::std::unique_ptr<::nearcall::ClientReader<$Reply$>> $Service$::Stub::$Method$(
    const $Request$& request, const ::nearcall::CallOptions& options) const {
  return ::nearcall::internal::OpenReader<$Request$, $Reply$>(
      channel_, Methods::$Method$, request, options);
}
)";

constexpr char kStubBidiStreaming[] = R"(
$comment$
::std::unique_ptr<::nearcall::ClientReaderWriter<$Request$, $Reply$>> $Method$(
    const ::nearcall::CallOptions& options = {}) const;
)";

constexpr char kStubBidiStreamingDefinition[] = R"(
::std::unique_ptr<::nearcall::ClientReaderWriter<$Request$, $Reply$>> $Service$::Stub::$Method$(
    const ::nearcall::CallOptions& options) const {
  return ::nearcall::internal::OpenReaderWriter<$Request$, $Reply$>(
      channel_, Methods::$Method$, options);
}
)";

constexpr char kStubOneWayDoc[] = R"(
//
// A one-way method has no reply: options.capacity says when it returns, the handler's status is not told.
)";

constexpr char kStubOneWay[] = R"(
$comment$
::absl::Status $Method$(
    const $Request$& request, const ::nearcall::CallOptions& options = {}) const;
)";

constexpr char kStubOneWayDefinition[] = R"(
::absl::Status $Service$::Stub::$Method$(
    const $Request$& request, const ::nearcall::CallOptions& options) const {
  return channel_->SendOneWay(Methods::$Method$, request, options);
}
)";

// ---- AsyncStub ----

constexpr char kAsyncStubDoc[] = R"(
// Calls the service and does not wait: `callback` hears how the call has ended, once, on another thread (see
// nearcall::Channel). The request is serialised before the method returns. Copyable, thread-safe, keeps the channel
// alive; the end of the channel ends its calls.
)";

constexpr char kAsyncStubStreamsDoc[] = R"(
//
// Methods that stream are not here: Stub and CoStub have them.
)";

constexpr char kAsyncStubUnary[] = R"(
$comment$
void $Method$(
    const $Request$& request, ::nearcall::Callback<$Reply$> callback,
    const ::nearcall::CallOptions& options = {}) const;
)";

constexpr char kAsyncStubUnaryDefinition[] = R"(
void $Service$::AsyncStub::$Method$(
    const $Request$& request, ::nearcall::Callback<$Reply$> callback, const ::nearcall::CallOptions& options) const {
  ::nearcall::internal::AsyncUnary<$Request$, $Reply$>(
      *channel_, Methods::$Method$, request, ::std::move(callback), options);
}
)";

constexpr char kAsyncStubOneWayDoc[] = R"(
//
// The callback of a one-way method hears that its handler has started, or why it has not.
)";

constexpr char kAsyncStubOneWay[] = R"(
$comment$
void $Method$(
    const $Request$& request, ::nearcall::StatusCallback callback,
    const ::nearcall::CallOptions& options = {}) const;
)";

constexpr char kAsyncStubOneWayDefinition[] = R"(
void $Service$::AsyncStub::$Method$(
    const $Request$& request, ::nearcall::StatusCallback callback, const ::nearcall::CallOptions& options) const {
  ::nearcall::internal::AsyncOneWay<$Reply$>(
      *channel_, Methods::$Method$, request, ::std::move(callback), options);
}
)";

// ---- Service ----

constexpr char kServiceDoc[] = R"(
// To serve it, derive from this and override its methods; the others answer UNIMPLEMENTED. Any number of them may run
// at once, each on its own thread.
)";

constexpr char kServiceStreamsDoc[] = R"(
//
// A stream ends with the handler that it was given to. See nearcall/stream.h.
)";

constexpr char kServiceUnary[] = R"(
$comment$
virtual ::absl::Status $Method$(
    ::nearcall::ServerContext& context, const $Request$& request, $Reply$& reply);
)";

constexpr char kServiceUnaryDefinition[] = R"(
::absl::Status $Service$::Service::$Method$(
    ::nearcall::ServerContext& /*context*/, const $Request$& /*request*/, $Reply$& /*reply*/) {
  return ::nearcall::internal::Unimplemented(Methods::$Method$);
}
)";

constexpr char kServiceClientStreaming[] = R"(
$comment$
virtual ::absl::Status $Method$(
    ::nearcall::ServerContext& context, ::nearcall::ServerReader<$Request$>& reader, $Reply$& reply);
)";

constexpr char kServiceClientStreamingDefinition[] = R"(
::absl::Status $Service$::Service::$Method$(
    ::nearcall::ServerContext& /*context*/, ::nearcall::ServerReader<$Request$>& /*reader*/, $Reply$& /*reply*/) {
  return ::nearcall::internal::Unimplemented(Methods::$Method$);
}
)";

constexpr char kServiceServerStreaming[] = R"(
$comment$
virtual ::absl::Status $Method$(
    ::nearcall::ServerContext& context, const $Request$& request, ::nearcall::ServerWriter<$Reply$>& writer);
)";

constexpr char kServiceServerStreamingDefinition[] = R"(
::absl::Status $Service$::Service::$Method$(
    ::nearcall::ServerContext& /*context*/, const $Request$& /*request*/,
    ::nearcall::ServerWriter<$Reply$>& /*writer*/) {
  return ::nearcall::internal::Unimplemented(Methods::$Method$);
}
)";

constexpr char kServiceBidiStreaming[] = R"(
$comment$
virtual ::absl::Status $Method$(
    ::nearcall::ServerContext& context, ::nearcall::ServerReaderWriter<$Request$, $Reply$>& stream);
)";

constexpr char kServiceBidiStreamingDefinition[] = R"(
::absl::Status $Service$::Service::$Method$(
    ::nearcall::ServerContext& /*context*/, ::nearcall::ServerReaderWriter<$Request$, $Reply$>& /*stream*/) {
  return ::nearcall::internal::Unimplemented(Methods::$Method$);
}
)";

constexpr char kServiceOneWayDoc[] = R"(
//
// The status of a one-way method is logged if it is an error; its caller has gone on.
)";

constexpr char kServiceOneWay[] = R"(
$comment$
virtual ::absl::Status $Method$(
    ::nearcall::ServerContext& context, const $Request$& request);
)";

constexpr char kServiceOneWayDefinition[] = R"(
::absl::Status $Service$::Service::$Method$(
    ::nearcall::ServerContext& /*context*/, const $Request$& /*request*/) {
  return ::nearcall::internal::Unimplemented(Methods::$Method$);
}
)";

// ---- AsyncService ----

constexpr char kAsyncServiceDoc[] = R"(
// To serve it without holding a thread for each call, derive from this and override its methods; the others answer
// UNIMPLEMENTED. A method may return before it has answered, and then calls `done` later, on any thread, once. Context,
// request and reply live until then. Dropping `done` answers INTERNAL.
)";

constexpr char kAsyncServiceStreamsDoc[] = R"(
//
// Methods that stream are not here, and answer UNIMPLEMENTED: Service and CoService have them.
)";

constexpr char kAsyncServiceUnary[] = R"(
$comment$
virtual void $Method$(
    ::nearcall::ServerContext& context, const $Request$& request, $Reply$& reply, ::nearcall::Done done);
)";

constexpr char kAsyncServiceUnaryDefinition[] = R"(
void $Service$::AsyncService::$Method$(
    ::nearcall::ServerContext& /*context*/, const $Request$& /*request*/, $Reply$& /*reply*/, ::nearcall::Done done) {
  ::std::move(done)(::nearcall::internal::Unimplemented(Methods::$Method$));
}
)";

constexpr char kAsyncServiceOneWayDoc[] = R"(
//
// A one-way method has no reply, and calls `done` all the same: the request lives until then.
)";

constexpr char kAsyncServiceOneWay[] = R"(
$comment$
virtual void $Method$(
    ::nearcall::ServerContext& context, const $Request$& request, ::nearcall::Done done);
)";

constexpr char kAsyncServiceOneWayDefinition[] = R"(
void $Service$::AsyncService::$Method$(
    ::nearcall::ServerContext& /*context*/, const $Request$& /*request*/, ::nearcall::Done done) {
  ::std::move(done)(::nearcall::internal::Unimplemented(Methods::$Method$));
}
)";

}  // namespace

std::span<const ClassTemplate> ClassTemplates() {
  static const ClassTemplate classes[] = {
      {kStubClass,
       "Stub",
       kStubDoc,
       kStubStreamsDoc,
       kStubOneWayDoc,
       /*serves=*/false,
       /*suspends=*/false,
       {{kStubUnary, kStubUnaryDefinition},
        {kStubClientStreaming, kStubClientStreamingDefinition},
        {kStubServerStreaming, kStubServerStreamingDefinition},
        {kStubBidiStreaming, kStubBidiStreamingDefinition},
        {kStubOneWay, kStubOneWayDefinition}}},
      {kStubClass,
       "AsyncStub",
       kAsyncStubDoc,
       kAsyncStubStreamsDoc,
       kAsyncStubOneWayDoc,
       /*serves=*/false,
       /*suspends=*/false,
       {{kAsyncStubUnary, kAsyncStubUnaryDefinition}, {}, {}, {}, {kAsyncStubOneWay, kAsyncStubOneWayDefinition}}},
      kCoStub,
      {kServiceClass,
       "Service",
       kServiceDoc,
       kServiceStreamsDoc,
       kServiceOneWayDoc,
       /*serves=*/true,
       /*suspends=*/false,
       {{kServiceUnary, kServiceUnaryDefinition, "RunUnary"},
        {kServiceClientStreaming, kServiceClientStreamingDefinition, "RunClientStreaming"},
        {kServiceServerStreaming, kServiceServerStreamingDefinition, "RunServerStreaming"},
        {kServiceBidiStreaming, kServiceBidiStreamingDefinition, "RunBidiStreaming"},
        {kServiceOneWay, kServiceOneWayDefinition, "RunOneWay"}}},
      {kServiceClass,
       "AsyncService",
       kAsyncServiceDoc,
       kAsyncServiceStreamsDoc,
       kAsyncServiceOneWayDoc,
       /*serves=*/true,
       /*suspends=*/false,
       {{kAsyncServiceUnary, kAsyncServiceUnaryDefinition, "RunAsyncUnary"},
        {},
        {},
        {},
        {kAsyncServiceOneWay, kAsyncServiceOneWayDefinition, "RunAsyncOneWay"}}},
      kCoService};
  return classes;
}

}  // namespace nearcall::plugin
