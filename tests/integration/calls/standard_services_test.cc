// SPDX-License-Identifier: Apache-2.0

// gRPC's health and reflection services, which every server has, called as a user would call them.
#include <future>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "driven_server.h"
#include "fixture.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/health/v1/health.nearcall.pb.h"
#include "grpc/reflection/v1/reflection.nearcall.pb.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using ::grpc::health::v1::Health;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;
using ::grpc::reflection::v1::ServerReflection;
using ::grpc::reflection::v1::ServerReflectionRequest;
using ::grpc::reflection::v1::ServerReflectionResponse;
using ::testing::UnorderedElementsAre;

constexpr char kEcho[] = "nearcall.integration.Echo";

HealthCheckRequest Of(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

class StandardServicesTest : public IntegrationTest {
 protected:
  using Reflected = ClientReaderWriter<ServerReflectionRequest, ServerReflectionResponse>;

  static std::string Check(const Health::Stub& health, const std::string& service) {
    const absl::StatusOr<HealthCheckResponse> response = health.Check(Of(service), InTime());
    return response.ok() ? HealthCheckResponse::ServingStatus_Name(response->status())
                         : absl::StatusCodeToString(response.status().code());
  }

  static std::string Next(ClientReader<HealthCheckResponse>& watch) {
    HealthCheckResponse response;
    return watch.Read(&response) ? HealthCheckResponse::ServingStatus_Name(response.status())
                                 : watch.Finish().ToString();
  }

  static ServerReflectionResponse Ask(Reflected& stream, const ServerReflectionRequest& request) {
    ServerReflectionResponse response;
    EXPECT_TRUE(stream.Write(request) && stream.Read(&response)) << stream.Finish();
    return response;
  }

  static ServerReflectionRequest Symbol(const std::string& name) {
    ServerReflectionRequest request;
    request.set_file_containing_symbol(name);
    return request;
  }

  // The names of all files that came, which make a pool.
  static std::set<std::string> Build(const ServerReflectionResponse& response, google::protobuf::DescriptorPool& pool) {
    std::set<std::string> names;
    for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto file;
      EXPECT_TRUE(file.ParseFromString(bytes));
      EXPECT_NE(pool.BuildFile(file), nullptr) << file.name();
      names.insert(file.name());
    }
    return names;
  }
};

// --- health ---

TEST_F(StandardServicesTest, AServerIsHealthyUnlessItSaysOtherwise) {
  const auto server = StartServer();
  const Health::Stub health(Connect());
  EXPECT_EQ(Check(health, ""), "SERVING");
  EXPECT_EQ(Check(health, kEcho), "SERVING");
  EXPECT_EQ(Check(health, "grpc.health.v1.Health"), "SERVING");
  EXPECT_EQ(Check(health, "no.Such"), "NOT_FOUND");
  server->SetServing(kEcho, false);
  EXPECT_EQ(Check(health, kEcho), "NOT_SERVING");
  EXPECT_EQ(Check(health, ""), "SERVING");
  server->SetServing("", false);
  server->SetServing("no.Such", true);
  EXPECT_EQ(Check(health, ""), "NOT_SERVING");
  EXPECT_EQ(Check(health, "no.Such"), "SERVING");
}

TEST_F(StandardServicesTest, AWatchTellsEachChangeOnce) {
  const auto server = StartServer();
  const Health::Stub health(Connect());
  const auto watch = health.Watch(Of(kEcho), InTime());
  const auto other = health.Watch(Of("later"), InTime());
  EXPECT_EQ(Next(*watch), "SERVING");
  EXPECT_EQ(Next(*other), "SERVICE_UNKNOWN");
  server->SetServing(kEcho, true);
  server->SetServing("", false);
  server->SetServing(kEcho, false);
  EXPECT_EQ(Next(*watch), "NOT_SERVING");
  server->SetServing("later", true);
  EXPECT_EQ(Next(*other), "SERVING");
}

TEST_F(StandardServicesTest, WatchesNeedNoThreads) {
  const auto server = StartServer();
  const Health::Stub health(Connect());
  EXPECT_EQ(Check(health, ""), "SERVING");
  const size_t threads = NumberIn(server->DebugString(), "threads: ");
  std::vector<std::unique_ptr<ClientReader<HealthCheckResponse>>> watches;
  for (int i = 0; i < 100; ++i) {
    watches.push_back(health.Watch(Of(""), InTime()));
    EXPECT_EQ(Next(*watches.back()), "SERVING");
  }
  EXPECT_EQ(CallsActive(*server), 100u);
  EXPECT_LT(NumberIn(server->DebugString(), "threads: "), threads + 10) << "a few may stand by";
  watches.clear();
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; })) << "a cancel ends them";
  server->SetServing("", false);
  EXPECT_EQ(Check(health, ""), "NOT_SERVING");
}

TEST_F(StandardServicesTest, AWatchEndsAtItsDeadline) {
  const auto server = StartServer();
  const Health::Stub health(Connect());
  const auto watch = health.Watch(Of(""), {.timeout = absl::Milliseconds(30)});
  HealthCheckResponse state;
  while (watch->Read(&state)) continue;
  EXPECT_EQ(watch->Finish().code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
}

TEST_F(StandardServicesTest, WatchesAreBoundedLikeAllStreams) {
  const auto server = StartServer({.stream_window_bytes = 1000, .max_stream_bytes = 3000});
  const Health::Stub health(Connect());
  std::vector<std::unique_ptr<ClientReader<HealthCheckResponse>>> watches;
  for (int i = 0; i < 3; ++i) {
    watches.push_back(health.Watch(Of(""), InTime()));
    EXPECT_EQ(Next(*watches.back()), "SERVING");
  }
  EXPECT_THAT(health.Watch(Of(""), InTime())->Finish(), FailsWith(StatusCode::kResourceExhausted, "max_stream_bytes"));
}

TEST_F(StandardServicesTest, AWatchKeepsNoLongNames) {
  const auto server = StartServer();
  const Health::Stub health(Connect());
  EXPECT_THAT(health.Watch(Of(std::string(1025, 'x')), InTime())->Finish(),
              FailsWith(StatusCode::kInvalidArgument, "1025 B"));
}

// --- reflection ---

TEST_F(StandardServicesTest, AServerTellsWhatItServes) {
  const auto server = StartServer();
  const auto stream = ServerReflection::Stub(Connect()).ServerReflectionInfo(InTime());
  ServerReflectionRequest list;
  list.set_host("here");
  list.set_list_services("*");
  const ServerReflectionResponse response = Ask(*stream, list);
  EXPECT_EQ(response.valid_host(), "here");
  EXPECT_EQ(response.original_request().host(), "here");
  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
  EXPECT_THAT(names, UnorderedElementsAre(kEcho, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                          "nearcall.stats.v1.Stats"));
}

TEST_F(StandardServicesTest, WhatItTellsMakesAPool) {
  const auto server = StartServer();
  const auto stream = ServerReflection::Stub(Connect()).ServerReflectionInfo(InTime());
  for (int i = 0; i < 2; ++i) {  // the whole, each time
    google::protobuf::DescriptorPool pool;
    const std::set<std::string> names = Build(Ask(*stream, Symbol(kEcho)), pool);
    EXPECT_TRUE(names.count("echo.proto") == 1 && names.count("nearcall/options.proto") == 1);
    ASSERT_NE(pool.FindServiceByName(kEcho), nullptr);
    EXPECT_EQ(pool.FindServiceByName(kEcho)->method_count(), 7);
  }
  google::protobuf::DescriptorPool pool;
  ServerReflectionRequest by_name;
  by_name.set_file_by_filename("grpc/health/v1/health.proto");
  Build(Ask(*stream, by_name), pool);
  EXPECT_NE(pool.FindServiceByName("grpc.health.v1.Health"), nullptr);
}

TEST_F(StandardServicesTest, ItKnowsExtensions) {
  const auto server = StartServer();
  const auto stream = ServerReflection::Stub(Connect()).ServerReflectionInfo(InTime());
  ServerReflectionRequest numbers;
  numbers.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  const auto told = Ask(*stream, numbers).all_extension_numbers_response();
  EXPECT_EQ(told.base_type_name(), "google.protobuf.MethodOptions");
  ASSERT_GT(told.extension_number_size(), 0);
  ServerReflectionRequest one;
  one.mutable_file_containing_extension()->set_containing_type("google.protobuf.MethodOptions");
  one.mutable_file_containing_extension()->set_extension_number(told.extension_number(0));
  google::protobuf::DescriptorPool pool;
  EXPECT_EQ(Build(Ask(*stream, one), pool).count("nearcall/options.proto"), 1u);
}

TEST_F(StandardServicesTest, WhatItDoesNotKnowIsAnAnswerToo) {
  const auto server = StartServer();
  const auto stream = ServerReflection::Stub(Connect()).ServerReflectionInfo(InTime());
  ServerReflectionRequest file;
  file.set_file_by_filename("no/such.proto");
  ServerReflectionRequest extension;
  extension.mutable_file_containing_extension()->set_containing_type("no.Such");
  ServerReflectionRequest numbers;
  numbers.set_all_extension_numbers_of_type("no.Such");
  for (const ServerReflectionRequest& request : {Symbol("no.Such\n"), Symbol(""), file, extension, numbers}) {
    const ServerReflectionResponse response = Ask(*stream, request);
    EXPECT_EQ(response.error_response().error_code(), static_cast<int>(StatusCode::kNotFound))
        << response.ShortDebugString();
    EXPECT_FALSE(absl::StrContains(response.error_response().error_message(), "\n"));
  }
  EXPECT_EQ(Ask(*stream, ServerReflectionRequest()).error_response().error_code(),
            static_cast<int>(StatusCode::kInvalidArgument));
  EXPECT_EQ(Ask(*stream, Symbol(kEcho)).error_response().error_code(), 0) << "and the stream goes on";
}

// --- both ---

TEST_F(StandardServicesTest, TheirStreamsEndWhenShutdownBegins) {
  auto server = StartServer();
  const auto channel = Connect();
  const auto watch = Health::Stub(channel).Watch(Of(""), InTime());
  EXPECT_EQ(Next(*watch), "SERVING");
  const auto reflected = ServerReflection::Stub(channel).ServerReflectionInfo(InTime());
  Ask(*reflected, Symbol(kEcho));
  server->Shutdown(kLong * 100);
  EXPECT_THAT(Next(*watch), ::testing::HasSubstr("UNAVAILABLE: the server shuts down"));
  EXPECT_THAT(reflected->Finish(), FailsWith(StatusCode::kUnavailable, "the server shuts down"));
  server->Wait();  // nothing else holds it up
}

TEST_F(StandardServicesTest, OtherCallsHaveTheirGrace) {
  Event in_handler;
  Event may_end;
  echo.may_block = [&](ServerContext& context, const Blob& request, Blob& reply) {
    in_handler.Set();
    while (!may_end.is_set() && !context.IsCancelled()) absl::SleepFor(absl::Milliseconds(1));
    return EchoBack(context, request, reply);
  };
  if (ServersHaveQueues()) GTEST_SKIP() << "its handler would hold up the queue";
  const auto server = StartServer();
  const auto channel = Connect();
  const auto watch = Health::Stub(channel).Watch(Of(""), InTime());
  EXPECT_EQ(Next(*watch), "SERVING");
  std::future<absl::StatusOr<Blob>> slow =
      std::async(std::launch::async, [&] { return Echo::Stub(channel).MayBlock(MakeBlob("x"), InTime()); });
  in_handler.Wait();
  server->Shutdown(kLong * 100);
  EXPECT_EQ(watch->Finish().code(), StatusCode::kUnavailable);
  may_end.Set();
  EXPECT_TRUE(slow.get().ok());
}

TEST_F(StandardServicesTest, EachHasItsSwitch) {
  const auto server = StartServer({.health = false, .reflection = false});
  const auto channel = Connect();
  EXPECT_EQ(Health::Stub(channel).Check(Of(""), InTime()).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(Health::Stub(channel).Watch(Of(""), InTime())->Finish().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(ServerReflection::Stub(channel).ServerReflectionInfo(InTime())->Finish().code(),
            StatusCode::kUnimplemented);
}

TEST_F(StandardServicesTest, WhoMayNotCallMayNotCallThem) {
  const auto server = StartServer({.authorize = [](const PeerIdentity&, absl::string_view method) {
    return absl::StartsWith(method, "grpc.") ? absl::PermissionDeniedError("not you") : absl::OkStatus();
  }});
  const auto channel = Connect();
  EXPECT_EQ(Health::Stub(channel).Check(Of(""), InTime()).status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(Health::Stub(channel).Watch(Of(""), InTime())->Finish().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(ServerReflection::Stub(channel).ServerReflectionInfo(InTime())->Finish().code(),
            StatusCode::kPermissionDenied);
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob(""), InTime()).ok());
}

class OwnHealth final : public Health::CoService {
 public:
  Task<absl::Status> Check(ServerContext&, const HealthCheckRequest&, HealthCheckResponse& response) override {
    response.set_status(HealthCheckResponse::UNKNOWN);
    co_return absl::OkStatus();
  }
};

TEST_F(StandardServicesTest, AProgramMayHaveItsOwn) {
  OwnHealth own;
  const auto server = Must(ServerBuilder().Register(&own).Start());
  const auto channel = Must(server->InProcessChannel());
  EXPECT_EQ(Check(Health::Stub(channel), ""), "UNKNOWN");
  EXPECT_EQ(Health::Stub(channel).Watch(Of(""), InTime())->Finish().code(), StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace nearcall::integration
