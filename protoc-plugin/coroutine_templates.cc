// SPDX-License-Identifier: Apache-2.0
#include "class_templates.h"

namespace nearcall::plugin {

namespace {

// ---- CoStub ----

constexpr char kCoStubDoc[] = R"(
// Calls the service from coroutines, such as nearcall::Task: what a method returns is awaited. A call begins at once,
// and is cancelled if what the method has returned is destroyed before its end. See nearcall/co_stream.h. Copyable,
// thread-safe, keeps the channel alive. (GCC before 13 destroys options twice that are written in braces behind
// co_await: there a method that is awaited itself takes none without a name.)
)";

constexpr char kCoStubStreamsDoc[] = R"(
//
// A method that streams returns its stream, and what that has is awaited.
)";

constexpr char kCoStubOneWayDoc[] = R"(
//
// A one-way method has no reply: awaited, it gives a status that says whether its handler has started.
)";

constexpr char kCoStubUnary[] = R"(
$comment$
::nearcall::UnaryCall<$Reply$> $Method$(
    const $Request$& request, const ::nearcall::CallOptions& options = ::nearcall::internal::NoOptions()) const;
::nearcall::UnaryCall<$Reply$> $Method$(const $Request$&, ::nearcall::internal::UnsafeOptions) const = delete;
)";

constexpr char kCoStubUnaryDefinition[] = R"(
::nearcall::UnaryCall<$Reply$> $Service$::CoStub::$Method$(
    const $Request$& request, const ::nearcall::CallOptions& options) const {
  return ::nearcall::internal::BeginCall<::nearcall::UnaryCall<$Reply$>>(
      channel_, Methods::$Method$, &request, options);
}
)";

constexpr char kCoStubClientStreaming[] = R"(
$comment$
::nearcall::CoWriter<$Request$, $Reply$> $Method$(
    const ::nearcall::CallOptions& options = ::nearcall::internal::NoOptions()) const;
)";

constexpr char kCoStubClientStreamingDefinition[] = R"(
::nearcall::CoWriter<$Request$, $Reply$> $Service$::CoStub::$Method$(
    const ::nearcall::CallOptions& options) const {
  return ::nearcall::internal::BeginCall<::nearcall::CoWriter<$Request$, $Reply$>>(
      channel_, Methods::$Method$, nullptr, options);
}
)";

constexpr char kCoStubServerStreaming[] = R"(
$comment$
::nearcall::CoReader<$Reply$> $Method$(
    const $Request$& request, const ::nearcall::CallOptions& options = ::nearcall::internal::NoOptions()) const;
)";

constexpr char kCoStubServerStreamingDefinition[] = R"(
::nearcall::CoReader<$Reply$> $Service$::CoStub::$Method$(
    const $Request$& request, const ::nearcall::CallOptions& options) const {
  return ::nearcall::internal::BeginCall<::nearcall::CoReader<$Reply$>>(
      channel_, Methods::$Method$, &request, options);
}
)";

constexpr char kCoStubBidiStreaming[] = R"(
$comment$
::nearcall::CoReaderWriter<$Request$, $Reply$> $Method$(
    const ::nearcall::CallOptions& options = ::nearcall::internal::NoOptions()) const;
)";

constexpr char kCoStubBidiStreamingDefinition[] = R"(
::nearcall::CoReaderWriter<$Request$, $Reply$> $Service$::CoStub::$Method$(
    const ::nearcall::CallOptions& options) const {
  return ::nearcall::internal::BeginCall<::nearcall::CoReaderWriter<$Request$, $Reply$>>(
      channel_, Methods::$Method$, nullptr, options);
}
)";

constexpr char kCoStubOneWay[] = R"(
$comment$
::nearcall::OneWayCall $Method$(
    const $Request$& request, const ::nearcall::CallOptions& options = ::nearcall::internal::NoOptions()) const;
::nearcall::OneWayCall $Method$(const $Request$&, ::nearcall::internal::UnsafeOptions) const = delete;
)";

constexpr char kCoStubOneWayDefinition[] = R"(
::nearcall::OneWayCall $Service$::CoStub::$Method$(
    const $Request$& request, const ::nearcall::CallOptions& options) const {
  return ::nearcall::internal::BeginCall<::nearcall::OneWayCall>(
      channel_, Methods::$Method$, &request, options);
}
)";

// ---- CoService ----

constexpr char kCoServiceDoc[] = R"(
// To serve it by coroutines, derive from this and override its methods; the others answer UNIMPLEMENTED. A method runs
// on a thread only while it is not suspended. Context, request and reply live until it has ended.
)";

constexpr char kCoServiceStreamsDoc[] = R"(
//
// So do streams. See nearcall/co_stream.h.
)";

constexpr char kCoServiceOneWayDoc[] = R"(
//
// The status of a one-way method is logged if it is an error; its caller has gone on.
)";

constexpr char kCoServiceUnary[] = R"(
$comment$
virtual ::nearcall::Task<::absl::Status> $Method$(
    ::nearcall::ServerContext& context, const $Request$& request, $Reply$& reply);
)";

constexpr char kCoServiceUnaryDefinition[] = R"(
::nearcall::Task<::absl::Status> $Service$::CoService::$Method$(
    ::nearcall::ServerContext& /*context*/, const $Request$& /*request*/, $Reply$& /*reply*/) {
  return ::nearcall::internal::UnimplementedTask(Methods::$Method$);
}
)";

constexpr char kCoServiceClientStreaming[] = R"(
$comment$
virtual ::nearcall::Task<::absl::Status> $Method$(
    ::nearcall::ServerContext& context, ::nearcall::CoServerReader<$Request$>& reader, $Reply$& reply);
)";

constexpr char kCoServiceClientStreamingDefinition[] = R"(
::nearcall::Task<::absl::Status> $Service$::CoService::$Method$(
    ::nearcall::ServerContext& /*context*/, ::nearcall::CoServerReader<$Request$>& /*reader*/, $Reply$& /*reply*/) {
  return ::nearcall::internal::UnimplementedTask(Methods::$Method$);
}
)";

constexpr char kCoServiceServerStreaming[] = R"(
$comment$
virtual ::nearcall::Task<::absl::Status> $Method$(
    ::nearcall::ServerContext& context, const $Request$& request, ::nearcall::CoServerWriter<$Reply$>& writer);
)";

constexpr char kCoServiceServerStreamingDefinition[] = R"(
::nearcall::Task<::absl::Status> $Service$::CoService::$Method$(
    ::nearcall::ServerContext& /*context*/, const $Request$& /*request*/,
    ::nearcall::CoServerWriter<$Reply$>& /*writer*/) {
  return ::nearcall::internal::UnimplementedTask(Methods::$Method$);
}
)";

constexpr char kCoServiceBidiStreaming[] = R"(
$comment$
virtual ::nearcall::Task<::absl::Status> $Method$(
    ::nearcall::ServerContext& context, ::nearcall::CoServerReaderWriter<$Request$, $Reply$>& stream);
)";

constexpr char kCoServiceBidiStreamingDefinition[] = R"(
::nearcall::Task<::absl::Status> $Service$::CoService::$Method$(
    ::nearcall::ServerContext& /*context*/, ::nearcall::CoServerReaderWriter<$Request$, $Reply$>& /*stream*/) {
  return ::nearcall::internal::UnimplementedTask(Methods::$Method$);
}
)";

constexpr char kCoServiceOneWay[] = R"(
$comment$
virtual ::nearcall::Task<::absl::Status> $Method$(
    ::nearcall::ServerContext& context, const $Request$& request);
)";

constexpr char kCoServiceOneWayDefinition[] = R"(
::nearcall::Task<::absl::Status> $Service$::CoService::$Method$(
    ::nearcall::ServerContext& /*context*/, const $Request$& /*request*/) {
  return ::nearcall::internal::UnimplementedTask(Methods::$Method$);
}
)";

}  // namespace

const ClassTemplate kCoStub = {kStubClass,
                               "CoStub",
                               kCoStubDoc,
                               kCoStubStreamsDoc,
                               kCoStubOneWayDoc,
                               /*serves=*/false,
                               /*suspends=*/true,
                               {{kCoStubUnary, kCoStubUnaryDefinition},
                                {kCoStubClientStreaming, kCoStubClientStreamingDefinition},
                                {kCoStubServerStreaming, kCoStubServerStreamingDefinition},
                                {kCoStubBidiStreaming, kCoStubBidiStreamingDefinition},
                                {kCoStubOneWay, kCoStubOneWayDefinition}}};

const ClassTemplate kCoService = {
    kServiceClass,
    "CoService",
    kCoServiceDoc,
    kCoServiceStreamsDoc,
    kCoServiceOneWayDoc,
    /*serves=*/true,
    /*suspends=*/true,
    {{kCoServiceUnary, kCoServiceUnaryDefinition, "RunCoUnary"},
     {kCoServiceClientStreaming, kCoServiceClientStreamingDefinition, "RunCoClientStreaming"},
     {kCoServiceServerStreaming, kCoServiceServerStreamingDefinition, "RunCoServerStreaming"},
     {kCoServiceBidiStreaming, kCoServiceBidiStreamingDefinition, "RunCoBidiStreaming"},
     {kCoServiceOneWay, kCoServiceOneWayDefinition, "RunCoOneWay"}}};

}  // namespace nearcall::plugin
