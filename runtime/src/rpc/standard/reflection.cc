// SPDX-License-Identifier: Apache-2.0
#include "rpc/standard/reflection.h"

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nearcall/internal/coroutine.h"
#include "rpc/standard/descriptors.h"

namespace nearcall::rpc {

namespace {

using Reflected = Reflection::Response;
using Files = absl::StatusOr<std::vector<std::string>>;

void Put(const absl::Status& error, Reflected& response) {
  auto& to = *response.mutable_error_response();
  to.set_error_code(static_cast<int>(error.code()));
  to.set_error_message(std::string(error.message()));
}

void Put(Files files, Reflected& response) {
  if (!files.ok()) return Put(files.status(), response);
  for (std::string& file : *files) {
    response.mutable_file_descriptor_response()->add_file_descriptor_proto(std::move(file));
  }
}

void PutExtensions(const std::string& type, Reflected& response) {
  const absl::StatusOr<std::vector<int>> numbers = ExtensionsOf(type);
  if (!numbers.ok()) return Put(numbers.status(), response);
  auto& to = *response.mutable_all_extension_numbers_response();
  to.set_base_type_name(type);
  for (const int number : *numbers) to.add_extension_number(number);
}

}  // namespace

Reflection::Response Reflection::Answer(const Request& request) const {
  Response response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      Put(FileByName(request.file_by_filename()), response);
      break;
    case Request::kFileContainingSymbol:
      Put(FileOfSymbol(request.file_containing_symbol()), response);
      break;
    case Request::kFileContainingExtension:
      Put(FileOfExtension(request.file_containing_extension().containing_type(),
                          request.file_containing_extension().extension_number()),
          response);
      break;
    case Request::kAllExtensionNumbersOfType:
      PutExtensions(request.all_extension_numbers_of_type(), response);
      break;
    case Request::kListServices: {
      auto& list = *response.mutable_list_services_response();
      services_.ForEachName([&list](const std::string& name) { list.add_service()->set_name(name); });
      break;
    }
    case Request::MESSAGE_REQUEST_NOT_SET:
      Put(absl::InvalidArgumentError("the request asks for nothing that this version of reflection knows"), response);
  }
  return response;
}

Task<absl::Status> Reflection::ServerReflectionInfo(ServerContext& /*context*/,
                                                    CoServerReaderWriter<Request, Response>& stream) {
  Request request;
  while (co_await stream.Read(&request)) {
    const Response response = Answer(request);
    if (!co_await stream.Write(response)) break;
  }
  co_return absl::OkStatus();
}

const internal::ServiceInfo& Reflection::GetServiceInfo() const {
  static constexpr internal::ServerMethod kMethods[] = {
      {internal::MakeMethod("grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                            internal::MethodKind::kBidiStreaming, Priority::kNormal, 0, false),
       &internal::RunCoBidiStreaming<Reflection, Request, Response, &Reflection::ServerReflectionInfo>,
       /*suspends=*/true}};
  static constexpr internal::ServiceInfo kInfo = {"grpc.reflection.v1.ServerReflection", kMethods};
  return kInfo;
}

}  // namespace nearcall::rpc
