// SPDX-License-Identifier: Apache-2.0
#include "method_kinds.h"

#include <google/protobuf/descriptor.pb.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nearcall/bridge/reflection.pb.h"
#include "nearcall/generic.h"
#include "nearcall/options.pb.h"

namespace nearcall::grpc {

namespace {

constexpr absl::string_view kReflection = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
constexpr absl::Duration kReflectionTimeout = absl::Seconds(5);

CallKind KindOf(const google::protobuf::MethodDescriptorProto& method) {
  if (method.client_streaming()) {
    return method.server_streaming() ? CallKind::kBidiStreaming : CallKind::kClientStreaming;
  }
  if (method.server_streaming()) return CallKind::kServerStreaming;
  return method.options().GetExtension(nearcall::one_way) ? CallKind::kOneWay : CallKind::kUnary;
}

absl::Status Unimplemented(absl::string_view method, absl::string_view why) {
  return absl::UnimplementedError(absl::StrCat("no method ", absl::CHexEscape(method.substr(0, 256)), ": ", why));
}

}  // namespace

absl::string_view ServiceOf(absl::string_view method) {
  return method.substr(0, method.rfind('/'));
}

void MethodKinds::Describe(const Service& service) {
  for (const internal::ServerMethod& method : service.GetServiceInfo().methods) {
    // The two count alike, as generic services need it.
    described_[method.info.full_name] = static_cast<CallKind>(method.info.kind);
  }
}

absl::Status MethodKinds::Describe(const std::string& descriptor_set) {
  google::protobuf::FileDescriptorSet files;
  if (!files.ParseFromString(descriptor_set)) {
    return absl::InvalidArgumentError(
        "the descriptor set is none (protoc --include_imports --descriptor_set_out=FILE)");
  }
  may_ask_ = false;
  for (const auto& file : files.file()) Learn(file, "", described_);
  return absl::OkStatus();
}

void MethodKinds::Learn(const google::protobuf::FileDescriptorProto& file, absl::string_view only_service,
                        Kinds& kinds) {
  for (const auto& service : file.service()) {
    const std::string name =
        file.package().empty() ? service.name() : absl::StrCat(file.package(), ".", service.name());
    if (!only_service.empty() && name != only_service) continue;
    size_t count = 0;
    for (const auto& method : service.method()) {
      if (++count > kMaxMethods) break;
      kinds[absl::StrCat(name, "/", method.name())] = KindOf(method);
    }
  }
}

absl::StatusOr<CallKind> MethodKinds::Known(const std::string& method) {
  if (const auto found = described_.find(method); found != described_.end()) return found->second;
  const std::lock_guard lock(mutex_);
  if (const auto found = asked_.find(method); found != asked_.end()) return found->second;
  return Unimplemented(method, "no service of the server behind this port has it");
}

void MethodKinds::Forget(absl::string_view service) {
  const std::lock_guard lock(mutex_);
  std::erase_if(asked_, [&](const auto& kind) { return ServiceOf(kind.first) == service; });
}

Task<absl::StatusOr<CallKind>> MethodKinds::Find(std::string method, std::stop_token stop) {
  absl::StatusOr<CallKind> known = Known(method);
  if (known.ok() || !may_ask_) co_return known;
  std::string service(ServiceOf(method));
  const absl::Status asked = co_await Ask(std::move(service), std::move(stop));
  if (absl::IsUnimplemented(asked)) {
    co_return Unimplemented(method,
                            "whether it streams is not known, for the server behind this port has no "
                            "reflection, and there is no descriptor set");
  }
  if (!asked.ok()) co_return asked;
  co_return Known(method);
}

Task<absl::Status> MethodKinds::Ask(std::string service, std::stop_token stop) {
  bridge::reflection::ServerReflectionRequest question;
  question.set_file_containing_symbol(service);
  CallOptions options;
  options.timeout = kReflectionTimeout;
  options.stop_token = std::move(stop);
  const Bytes request(question.SerializeAsString());
  auto call = GenericCoStub(channel_).BidiStreaming(kReflection, options);
  co_await call.WriteLast(request);
  Bytes reply;
  const bool has_answer = co_await call.Read(&reply);
  const absl::Status status = co_await call.Finish();
  if (!has_answer) co_return status.ok() ? absl::UnavailableError("the server's reflection has no answer") : status;
  bridge::reflection::ServerReflectionResponse answer;
  if (!answer.ParseFromString(reply.str())) co_return absl::InternalError("the server's reflection is wrong");
  const std::lock_guard lock(mutex_);
  if (asked_.size() >= kMaxMethods) asked_.clear();
  for (const std::string& bytes : answer.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    if (file.ParseFromString(bytes)) Learn(file, service, asked_);
  }
  co_return absl::OkStatus();
}

}  // namespace nearcall::grpc
