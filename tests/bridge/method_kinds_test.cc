// SPDX-License-Identifier: Apache-2.0
#include "method_kinds.h"

#include <google/protobuf/descriptor.pb.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "nearcall/bridge/reflection.pb.h"
#include "nearcall/generic.h"
#include "nearcall/options.pb.h"
#include "one_way.nearcall.pb.h"

namespace nearcall::grpc {
namespace {

using google::protobuf::FileDescriptorProto;
using integration::Must;

google::protobuf::MethodDescriptorProto& AddMethod(FileDescriptorProto& file, const std::string& name,
                                                   bool client_streams, bool server_streams) {
  auto& method = *file.mutable_service(0)->add_method();
  method.set_name(name);
  method.set_client_streaming(client_streams);
  method.set_server_streaming(server_streams);
  return method;
}

// demo.Service with a method of each kind.
FileDescriptorProto EachKind() {
  FileDescriptorProto file;
  file.set_package("demo");
  file.add_service()->set_name("Service");
  AddMethod(file, "Unary", false, false);
  AddMethod(file, "Up", true, false);
  AddMethod(file, "Down", false, true);
  AddMethod(file, "Both", true, true);
  AddMethod(file, "Note", false, false).mutable_options()->SetExtension(nearcall::one_way, true);
  return file;
}

// A server whose reflection says what a test wants.
class Describing final : public GenericService {
 public:
  absl::Status Call(ServerContext&, CallKind, ServerReaderWriter<Bytes, Bytes>& stream) override {
    Bytes question;
    while (stream.Read(&question)) {
      ++asked;
      bridge::reflection::ServerReflectionResponse answer;
      answer.mutable_file_descriptor_response()->add_file_descriptor_proto(file.SerializeAsString());
      stream.Write(Bytes(answer.SerializeAsString()));
    }
    return status;
  }

  FileDescriptorProto file = EachKind();
  absl::Status status;
  std::atomic<int> asked = 0;
};

class MethodKindsTest : public ::testing::Test {
 protected:
  MethodKindsTest()
      : server(Must(ServerBuilder({.reflection = false}).RegisterGeneric(&describing).Start())),
        kinds(Must(server->InProcessChannel())) {}

  absl::StatusOr<CallKind> Find(const std::string& method) { return SyncWait(kinds.Find(method, {})); }

  Describing describing;
  std::unique_ptr<Server> server;
  MethodKinds kinds;
};

TEST_F(MethodKindsTest, AsksOnceForEachService) {
  EXPECT_EQ(Must(Find("demo.Service/Unary")), CallKind::kUnary);
  EXPECT_EQ(Must(Find("demo.Service/Up")), CallKind::kClientStreaming);
  EXPECT_EQ(Must(Find("demo.Service/Down")), CallKind::kServerStreaming);
  EXPECT_EQ(Must(Find("demo.Service/Both")), CallKind::kBidiStreaming);
  EXPECT_EQ(Must(Find("demo.Service/Note")), CallKind::kOneWay);
  EXPECT_EQ(describing.asked, 1);
  kinds.Forget("demo.Other");
  EXPECT_TRUE(Find("demo.Service/Unary").ok());
  EXPECT_EQ(describing.asked, 1);
  kinds.Forget("demo.Service");
  EXPECT_TRUE(Find("demo.Service/Unary").ok());
  EXPECT_EQ(describing.asked, 2);
}

TEST_F(MethodKindsTest, WhatThereIsNot) {
  EXPECT_EQ(Find("demo.Service/Nothing").status().code(), absl::StatusCode::kUnimplemented);
  for (const std::string method : {"", "/", "demo.Service", "demo.Service/"}) {
    EXPECT_EQ(Find(method).status().code(), absl::StatusCode::kUnimplemented) << method;
  }
}

TEST_F(MethodKindsTest, BelievesOnlyWhatWasAskedFor) {
  describing.file.add_service()->set_name("Other");
  describing.file.mutable_service(1)->add_method()->set_name("Method");
  EXPECT_TRUE(Find("demo.Service/Unary").ok());
  EXPECT_TRUE(Find("demo.Other/Method").ok());
  EXPECT_EQ(describing.asked, 2) << "what came beside the first answer does not count";
}

TEST_F(MethodKindsTest, AServiceWithoutEndIsCutOff) {
  for (size_t i = 0; i < MethodKinds::kMaxMethods; ++i) AddMethod(describing.file, absl::StrCat("m", i), false, false);
  EXPECT_TRUE(Find("demo.Service/m0").ok());
  EXPECT_EQ(Find(absl::StrCat("demo.Service/m", MethodKinds::kMaxMethods - 1)).status().code(),
            absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(Find("demo.Service/Unary").ok());
}

TEST_F(MethodKindsTest, ADescriptorSetIsInPlaceOfReflection) {
  google::protobuf::FileDescriptorSet files;
  *files.add_file() = EachKind();
  ASSERT_TRUE(kinds.Describe(files.SerializeAsString()).ok());
  EXPECT_EQ(Must(Find("demo.Service/Both")), CallKind::kBidiStreaming);
  EXPECT_EQ(Find("demo.Other/Method").status().code(), absl::StatusCode::kUnimplemented);
  kinds.Forget("demo.Service");
  EXPECT_TRUE(Find("demo.Service/Both").ok());
  EXPECT_EQ(describing.asked, 0);
  EXPECT_EQ(kinds.Describe("\xff").code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(MethodKindsTest, CodeSaysWhatReflectionDoesNotKnow) {
  class Notes final : public integration::Notes::Service {
  } notes;
  kinds.Describe(notes);
  EXPECT_EQ(Must(Find("nearcall.integration.Notes/Note")), CallKind::kOneWay);
  EXPECT_EQ(describing.asked, 0);
  EXPECT_TRUE(Find("demo.Service/Unary").ok());
}

TEST_F(MethodKindsTest, AServerThatIsGoneOrHangs) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(SyncWait(kinds.Find("demo.Service/Unary", stop.get_token())).status().code(), absl::StatusCode::kCancelled);
  server->Shutdown();
  server->Wait();
  EXPECT_EQ(Find("demo.Service/Unary").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace nearcall::grpc
