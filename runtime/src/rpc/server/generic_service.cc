// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "google/protobuf/message_lite.h"
#include "nearcall/generic.h"
#include "nearcall/internal/coroutine.h"
#include "rpc/server/generic_stream.h"

namespace nearcall {

namespace {

// What belongs to a handler that is a coroutine.
struct CoParts {
  explicit CoParts(internal::ServerCall& call) : any(call), stream(any) {}
  bool Parse(internal::ServerCall& call) { return any.Begin(call); }
  Task<absl::Status> Begin(Service& service, ServerContext& context) {
    return static_cast<CoGenericService&>(service).Call(context, any.kind(), stream);
  }
  void Finish(auto& call, const absl::Status& status) { any.Answer(call, status); }

  rpc::GenericStream any;
  CoServerReaderWriter<Bytes, Bytes> stream;
};

void RunGeneric(Service& service, internal::ServerCall& call) {
  rpc::GenericStream any(call);
  if (!any.Begin(call)) return;
  ServerReaderWriter<Bytes, Bytes> stream(any);
  any.Answer(call, static_cast<GenericService&>(service).Call(call.context(), any.kind(), stream));
}

// Its one method stands for all; that it streams says that its handlers may wait.
constexpr internal::ServerMethod AnyMethod(void (*run)(Service& service, internal::ServerCall& call), bool suspends) {
  internal::ServerMethod method = {
      internal::MakeMethod("a generic service", internal::MethodKind::kBidiStreaming, Priority::kNormal, 0, false), run,
      suspends};
  method.info.generic = true;
  return method;
}

}  // namespace

const internal::ServiceInfo& GenericService::GetServiceInfo() const {
  static constexpr internal::ServerMethod kMethods[] = {AnyMethod(&RunGeneric, false)};
  static constexpr internal::ServiceInfo kInfo = {"a generic service", kMethods};
  return kInfo;
}

const internal::ServiceInfo& CoGenericService::GetServiceInfo() const {
  static constexpr internal::ServerMethod kMethods[] = {AnyMethod(&internal::CoHandler<CoParts>::Run, true)};
  static constexpr internal::ServiceInfo kInfo = {"a generic service", kMethods};
  return kInfo;
}

}  // namespace nearcall
