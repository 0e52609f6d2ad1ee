// SPDX-License-Identifier: Apache-2.0
#include "fuzz/mutated_file.h"

#include <iterator>
#include <string>

namespace nearcall::fuzz {

namespace {

using google::protobuf::FileDescriptorProto;
using google::protobuf::MethodDescriptorProto;
using google::protobuf::ServiceDescriptorProto;
using google::protobuf::SourceCodeInfo;

constexpr int kMaxServices = 8;
constexpr int kMaxMethods = 16;

// A name that is likely to make trouble, or one of the script's own.
std::string Name(Input& script) {
  static constexpr const char* kNames[] = {"Echo",    "Stub",       "Service", "AsyncStub", "AsyncService",
                                           "delete",  "class",      "int",     "nearcall",  "std",
                                           "_",       "__reserved", "NULL",    "EOF",       "GetServiceInfo",
                                           "request", "reply",      "context", "Method",    "method",
                                           "é",       "a.b",        "",        "operator"};
  const uint8_t which = script.Take<uint8_t>();
  if (which < std::size(kNames)) return kNames[which];
  const auto bytes = script.TakeBytes(which % 16);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string Type(Input& script) {
  static constexpr const char* kTypes[] = {".base.Request", ".base.Outer.Inner", ".base.delete", ".base.Color", "Local",
                                           "Request"};
  const uint8_t which = script.Take<uint8_t>();
  return which < 250 ? kTypes[which % std::size(kTypes)] : Name(script);
}

ServiceDescriptorProto& AnyService(FileDescriptorProto& file, Input& script) {
  if (file.service_size() == 0) file.add_service()->set_name("First");
  return *file.mutable_service(script.Take<uint8_t>() % file.service_size());
}

MethodDescriptorProto& AnyMethod(FileDescriptorProto& file, Input& script) {
  ServiceDescriptorProto& service = AnyService(file, script);
  if (service.method_size() == 0) {
    MethodDescriptorProto& method = *service.add_method();
    method.set_name("First");
    method.set_input_type(".base.Request");
    method.set_output_type(".base.Request");
  }
  return *service.mutable_method(script.Take<uint8_t>() % service.method_size());
}

void AddMethod(ServiceDescriptorProto& service, Input& script) {
  if (service.method_size() == kMaxMethods) return;
  MethodDescriptorProto& method = *service.add_method();
  method.set_name(Name(script));
  method.set_input_type(Type(script));
  method.set_output_type(Type(script));
}

// Where something stands, and what the comment says.
void AddLocation(FileDescriptorProto& file, Input& script) {
  SourceCodeInfo::Location& location = *file.mutable_source_code_info()->add_location();
  // 6: services, 2: their methods.
  for (int step : {6, static_cast<int>(script.Take<uint8_t>() % 4), 2, static_cast<int>(script.Take<uint8_t>() % 4)}) {
    location.add_path(step);
  }
  for (size_t i = script.Take<uint8_t>() % 5; i > 0; --i) location.add_span(script.Take<int16_t>());
  if (script.Take<uint8_t>() % 2 == 0) location.mutable_path()->Truncate(2);
  const auto text = script.TakeBytes(script.Take<uint8_t>());
  location.mutable_leading_comments()->assign(reinterpret_cast<const char*>(text.data()), text.size());
  location.set_trailing_comments(Name(script));
}

void Mutate(FileDescriptorProto& file, Input& script) {
  switch (script.Take<uint8_t>() % 12) {
    case 0:
      file.set_package(Name(script));
      break;
    case 1:
      file.set_name(Name(script) + ".proto");
      break;
    case 2:
      if (file.service_size() < kMaxServices) file.add_service()->set_name(Name(script));
      break;
    case 3:
    case 4:
      AddMethod(AnyService(file, script), script);
      break;
    case 5:
      AnyService(file, script).set_name(Name(script));
      break;
    case 6:
      AnyMethod(file, script).set_name(Name(script));
      break;
    case 7: {
      MethodDescriptorProto& method = AnyMethod(file, script);
      method.set_client_streaming(script.Take<uint8_t>() % 2 == 0);
      method.set_server_streaming(script.Take<uint8_t>() % 2 == 0);
      break;
    }
    case 8: {
      const auto bytes = script.TakeBytes(script.Take<uint8_t>() % 32);
      // As far as it parses.
      static_cast<void>(AnyMethod(file, script)
                            .mutable_options()
                            ->ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size())));
      break;
    }
    case 9:
      AddLocation(file, script);
      break;
    case 10:
      file.add_message_type()->set_name(Name(script));
      break;
    default: {
      const auto bytes = script.TakeBytes(script.Take<uint8_t>());
      FileDescriptorProto more;
      if (more.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()))) file.MergeFrom(more);
    }
  }
}

}  // namespace

FileDescriptorProto MutatedFile(Input& script) {
  FileDescriptorProto file;
  file.set_name("x.proto");
  file.set_syntax(script.Take<uint8_t>() % 2 == 0 ? "proto3" : "proto2");
  file.add_dependency("base.proto");
  file.add_dependency("nearcall/options.proto");
  file.add_message_type()->set_name("Local");
  while (!script.empty()) Mutate(file, script);
  return file;
}

}  // namespace nearcall::fuzz
